"""Helpers to parse what services answer: JSON, texts, sizes, and signs that the format has changed."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from bs4 import BeautifulSoup, UnicodeDammit
from bs4.exceptions import ParserRejectedMarkup

from collectors.sources.base import SearchHit
from workspace.errors import SourceFailed

_CAPTCHA = re.compile(
    rb"captcha|unusual traffic|are you (a )?(human|robot)|verify (that )?you are|cf-challenge|challenge-platform", re.I
)
_NO_RESULTS = re.compile(
    r"(?<![\d.,])(?:0|no) (?:results|pictures|images|photos|matches|hits)|no .{1,20} found|nothing (?:was )?found|"
    r"did not match any|검색 ?결과가 없|keine (?:ergebnisse|treffer|bilder)|aucun résultat|sin resultados|"
    r"nessun risultato|見つかりません|没有找到",
    re.I,
)
_MANY_ROWS = 5
_TAG = re.compile(r"<[^<>]*>")
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # in JSON: not the text of a backslash before u0000


def read_json(text: str | bytes) -> Any:
    """Parse untrusted JSON; half a surrogate pair, which no database stores, becomes `?`, and NUL is left out.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    try:
        value = json.loads(text)
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        if b"\\ud" in raw.lower():
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        if b"\\u0000" in raw:
            value = json.loads(_NUL.sub(r"\1", json.dumps(value)))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


@contextmanager
def documented_shape(service: str) -> Iterator[None]:
    """Turn an error in parsing an answer into SourceFailed `changed`.

    Raises:
        SourceFailed: the block met a missing field or a value of the wrong type.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SourceFailed(
            "changed", f"{service}'s answer no longer has the documented shape: {repr(error)[:200]}"
        ) from error


def expect_hits(rows: Collection[Any], hits: tuple[SearchHit, ...]) -> tuple[SearchHit, ...]:
    """Return the hits parsed from an answer's rows; some rows without an image are usual, many without any are not.

    Raises:
        ValueError: five or more rows gave no hit; documented_shape makes `changed` of it.
    """
    if len(rows) >= _MANY_ROWS and not hits:
        raise ValueError(f"none of {len(rows)} results has an image url where it used to be")
    return hits


def parse_html(html: bytes) -> BeautifulSoup:
    """Parse a page from the network, in whatever encoding it declares.

    Python's parser refuses a page for one malformed marked section, such as `<![ endif]-->`. Browsers read such a
    section as a comment up to the next `>` (HTML standard, "markup declaration open state"), and so does this.

    Raises:
        SourceFailed: `changed`: it cannot be parsed.
    """
    try:
        try:
            return BeautifulSoup(html, "html.parser")
        except ParserRejectedMarkup:
            text = UnicodeDammit(html, is_html=True).unicode_markup or ""
            # `</!` begins such a comment too, and is one in every version of the parser.
            return BeautifulSoup(text.replace("<![", "</!["), "html.parser")
    except (ParserRejectedMarkup, ValueError) as error:
        raise SourceFailed("changed", f"a page cannot be parsed as HTML: {repr(error)[:200]}") from error


def looks_like_captcha(body: bytes) -> bool:
    """Return whether a page asks its reader to prove to be human; for pages without the expected content."""
    return _CAPTCHA.search(body) is not None


def says_no_results(html: bytes) -> bool:
    """Return whether a result page states that there are no results; one without such words may have changed."""
    return _NO_RESULTS.search(html.decode("utf-8", "replace")) is not None


def plain_text(value: object) -> str:
    """Convert a field of an answer to text without markup, entities, NUL and extra space; empty for None.

    >>> plain_text("<b>Ada</b> &amp; Bob")
    'Ada & Bob'
    """
    text = str(value if value is not None else "")
    if "<" in text:
        try:
            soup = BeautifulSoup(text, "html.parser")
            for hidden in soup.select('[style*="display:none"], [style*="display: none"]'):
                hidden.decompose()
            text = soup.get_text(" ")
        except (ParserRejectedMarkup, ValueError):  # a malformed section: text that people type, such as `<![love]`
            text = _TAG.sub(" ", text)
    return " ".join(html.unescape(text).replace("\0", "").split())


def pixels(value: object) -> int | None:
    """Parse a width or height, a number or a text; None when it is absent, zero, absurd or something else."""
    text = str(value)
    return int(text) or None if text.isascii() and text.isdigit() and len(text) < 7 else None
