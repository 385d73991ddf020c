"""What a source is: it answers a keyword with pages of found pictures, or says why it cannot."""

from __future__ import annotations

import html
import io
import json
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from bs4 import BeautifulSoup

from collectors.http.recording import FetchResult, without_secrets
from collectors.http.robots import page_opt_out
from collectors.http.session import PoliteSession
from workspace.config.collect import SearchConfig
from workspace.errors import ConfigError, SourceFailed, TransferFailed

_MAX_ANSWER_BYTES = 8_000_000
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
_KEY_IN_URL = re.compile(r"(api_key|access_token|client_secret)=[^&\s]+")


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A picture as a source describes it; `width`, `height` in px or None, texts empty when not known.

    `license` is a short lower-case name (`by`, `by-sa`, `cc0`, `pdm`), without version.
    """

    image_url: str
    page_url: str = ""
    title: str = ""
    creator: str = ""
    license: str = ""
    license_url: str = ""
    attribution: str = ""
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page of answers, best first; `next_cursor` is what asks for the page after it, None at the end."""

    hits: tuple[SearchHit, ...]
    next_cursor: str | None


class Source(Protocol):
    """Where pictures are looked for."""

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Ask for one page.

        Args:
            session: every request goes through it.
            keyword: what to look for, in any script.
            cursor: None for the first page, then what the page before gave; never holds a key.

        Raises:
            SourceFailed: it did not answer the question; has the reason.
        """


def _any_cat(_search: SearchConfig) -> str:
    return "cat"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a person should know of a source before choosing it, and how to make one.

    Attributes:
        name: what the settings and the catalogue call it; also the name of its module.
        factory: makes it from the settings.
        summary: one sentence.
        limits: how much and how fast, in words, with what the service's own documentation says.
        licenses: whether it says under which licence a picture is.
        keys: sets of environment variables; one whole set is needed, the first that is there is used.
        keys_optional: it works without a key, less well.
        settings: keys of its table [search.NAME] that it cannot do without.
        url: base URL of its API, which `url` of its table [search.NAME] overrides; empty when it has none.
        pause_s: shortest time between two requests to the host of `url`, in seconds, where the service asks for it.
        image_urls: matches whole URLs of its image host; group 1 is the image, without the size in which it comes.
        opt_in: why it should be chosen knowingly; empty when there is nothing to consider.
        probe: a keyword that it must find something for, given the settings.
    """

    name: str
    factory: Callable[[SearchConfig], Source]
    summary: str
    limits: str
    licenses: bool
    keys: tuple[tuple[str, ...], ...] = ()
    keys_optional: bool = False
    settings: tuple[str, ...] = ()
    url: str = ""
    pause_s: float = 0.0
    image_urls: re.Pattern[str] | None = None
    opt_in: str = ""
    probe: Callable[[SearchConfig], str] = _any_cat

    def base_url(self, search: SearchConfig) -> str:
        """Choose the base URL: that of the settings, else the service's own."""
        return search.base_url(self.name, self.url)

    def find_keys(self, search: SearchConfig) -> dict[str, str]:
        """Find the first whole set of keys: their values by the name of their environment variable.

        Raises:
            ConfigError: no set is whole, although the source needs one, or a value cannot be a key.
        """
        for names in self.keys:
            if values := find_keys(search, names):
                return dict(zip(names, values, strict=True))
        if self.keys and not self.keys_optional:
            sets = ", or ".join(" and ".join(names) for names in self.keys)
            raise ConfigError(f"the source {self.name} needs a key: set {sets} in the environment")
        return {}


def find_keys(search: SearchConfig, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The values of one set of keys, from the environment or else from [search.credentials]; None when one is missing.

    Raises:
        ConfigError: a value cannot be a key; names the variable and never shows the value.
    """
    values = []
    for name in names:
        secret = search.credentials.get(name)
        value = (_environment(search, name) or (secret.get_secret_value() if secret else "")).strip()
        if not value:
            return None
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(f"the value of {name} cannot be a key: it has spaces, line breaks or odd characters")
        values.append(value)
    return tuple(values)


def _environment(search: SearchConfig, name: str) -> str:
    return os.environ.get(name, "") if search.keys_from_environment else ""


def fetch_json(
    session: PoliteSession, url: str, *, headers: Mapping[str, str] | None = None, secrets: Collection[str] = ()
) -> Any:
    """Fetch an answer that must be JSON.

    Args:
        session: the request goes through it.
        url: whole address.
        headers: more headers, such as a key.
        secrets: what must not appear in an error's text.

    Raises:
        SourceFailed: no answer, a refusal, a captcha, or something else than JSON.
    """
    body, answer = _ask(session, url, "application/json", headers, secrets)
    try:
        return read_json(body)
    except ValueError:
        pass  # raised below, outside of this block, so that no unredacted text hangs on the error
    if looks_like_captcha(body):
        raise SourceFailed(
            "captcha", without_secrets(f"{url} answered with a captcha page; ask less, or tomorrow", secrets)
        )
    start = body[:80].decode("utf-8", "replace")
    kind = answer.content_type or "no content type"
    raise SourceFailed("not_json", without_secrets(f"{url} answered {kind} where JSON was due: {start!r}", secrets))


def read_json(text: str | bytes) -> Any:
    """Like json.loads, for text from strangers: half a surrogate pair, which no database takes, becomes `?`.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    try:
        value = json.loads(text)
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        if b"\\ud" in raw.lower():
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def fetch_html(session: PoliteSession, url: str) -> bytes:
    """Fetch an answer that must be a page of html, as bytes with whatever encoding it declares.

    Raises:
        SourceFailed: no answer, a refusal, or something else than html.
    """
    return fetch_page(session, url)[0]


def fetch_page(session: PoliteSession, url: str) -> tuple[bytes, str]:
    """Like fetch_html, with the address where redirects led to, which completes the page's relative addresses.

    Raises:
        SourceFailed: no answer, a refusal (by robots.txt or an opt-out too), or something else than html.
    """
    body, answer = _ask(session, url, "text/html", None, (), crawled=True)
    if session.network.opt_outs and (said := page_opt_out(body)):
        raise SourceFailed("opted_out", f"{url} says {said} in its robots tag")
    if "html" not in answer.content_type and b"<html" not in body[:2048].lower():
        raise SourceFailed("changed", f"{url} answered {answer.content_type or 'no content type'} where a page was due")
    return body, answer.final_url


def looks_like_captcha(body: bytes) -> bool:
    """Whether a page asks its reader to prove to be human; to be asked only where the expected content is missing."""
    return _CAPTCHA.search(body) is not None


@contextmanager
def documented_shape(service: str) -> Iterator[None]:
    """Turn what goes wrong while an answer is read into SourceFailed `changed`.

    Raises:
        SourceFailed: the block met a missing field or a value of another kind.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SourceFailed(
            "changed", f"{service}'s answer has no longer the documented shape: {repr(error)[:200]}"
        ) from error


def expect_hits(rows: Collection[Any], found: tuple[SearchHit, ...]) -> tuple[SearchHit, ...]:
    """What was found in an answer's rows: some rows without a picture are usual, many without any are another format.

    Raises:
        ValueError: not one of many; documented_shape makes `changed` of it.
    """
    if len(rows) >= _MANY_ROWS and not found:
        raise ValueError(f"none of {len(rows)} results has a picture's address where it was")
    return found


def says_no_results(html: bytes) -> bool:
    """Whether a page of results says in words that there are none; a page that says nothing may have changed."""
    return _NO_RESULTS.search(html.decode("utf-8", "replace")) is not None


def plain_text(value: object) -> str:
    """A field of an answer as text, without markup, entities and needless space; empty for None."""
    text = str(value if value is not None else "")
    if "<" in text:
        soup = BeautifulSoup(text, "html.parser")
        for hidden in soup.select('[style*="display:none"], [style*="display: none"]'):
            hidden.decompose()
        text = soup.get_text(" ")
    return " ".join(html.unescape(text).split())


def pixels(value: object) -> int | None:
    """A width or height that may be a number or a text; None when it is absent, zero, absurd or something else."""
    text = str(value)
    return int(text) or None if text.isascii() and text.isdigit() and len(text) < 7 else None


def _ask(
    session: PoliteSession,
    url: str,
    accept: str,
    headers: Mapping[str, str] | None,
    secrets: Collection[str],
    *,
    crawled: bool = False,
) -> tuple[bytes, FetchResult]:
    out = io.BytesIO()
    failure: TransferFailed
    try:
        answer = session.fetch(
            url, out, max_bytes=_MAX_ANSWER_BYTES, accept=accept, headers=headers, crawled=crawled, secrets=secrets
        )
        return out.getvalue(), answer
    except TransferFailed as error:
        failure = error
    reason = {401: "needs_key", 403: "blocked"}.get(failure.http_status or 0, failure.reason)
    raise SourceFailed(reason, without_secrets(f"{url}: {failure.detail}", secrets))


class _HidesKeys(logging.Filter):
    """Keeps keys out of urllib3's debug log, which shows whole addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                _KEY_IN_URL.sub(r"\1=***", value) if isinstance(value, str) else value for value in record.args
            )
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_HidesKeys())
