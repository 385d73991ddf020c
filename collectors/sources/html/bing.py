"""Bing's page of image results, read as html: Microsoft ended its search API in August 2025 and left no other way.

It is never asked unless the settings name it: its markup changes without notice, no licence is given, and its terms
of use leave it to you whether your use of the results is allowed.
"""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

from bs4 import BeautifulSoup, Tag

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.fetch import fetch_html
from collectors.sources.parsing import looks_like_captcha, pixels, plain_text, read_json, says_no_results
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed

_STEP = 35
_MAX_FIRST = 30 * _STEP


class Bing:
    """The tiles of Bing's image search.

    Args:
        search: base address.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._url = INFO.base_url(search)

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Ask for one page of 35; see Source.search.

        The cursor is `first:digest` with the digest of the last page, since past its end Bing repeats that page.
        """
        first, _, before = (cursor or "0:").partition(":")
        question = {"q": keyword, "first": first, "count": _STEP, "adlt": "moderate"}
        found = parse(fetch_html(session, f"{self._url}/images/async?{urlencode(question)}"))
        digest = hashlib.sha256("\n".join(picture.image_url for picture in found).encode()).hexdigest()[:16]
        if not found or digest == before:
            return ResultPage((), None)
        following = int(first) + _STEP
        return ResultPage(found, f"{following}:{digest}" if following <= _MAX_FIRST else None)


def parse(html: bytes) -> tuple[SearchHit, ...]:
    """Read one page of results; a tile that cannot be read is left out, unless none can.

    Raises:
        SourceFailed: `captcha`, or `changed` when there are no tiles although the page does not say so.
    """
    page = BeautifulSoup(html, "html.parser")
    tiles = page.select("a.iusc")
    found: dict[str, SearchHit] = {}
    for tile in tiles:
        try:
            picture = _found(tile)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        found.setdefault(picture.image_url, picture)
    if found:
        return tuple(found.values())
    if looks_like_captcha(html):
        raise SourceFailed("captcha", "Bing answered with a captcha page; ask less, or tomorrow")
    if tiles or not says_no_results(html):
        raise SourceFailed("changed", f"Bing's page has {len(tiles)} tiles, none of them as known: its markup changed")
    return ()


def _found(tile: Tag) -> SearchHit:
    facts = read_json(str(tile["m"]))
    size = parse_qs(urlsplit(str(tile.get("href") or "")).query)
    url = str(facts["murl"])
    if not url.startswith(("http://", "https://")):
        raise ValueError(url)
    return SearchHit(
        image_url=url,
        page_url=str(facts.get("purl") or ""),
        title=plain_text(facts.get("t")),
        width=pixels(facts.get("expw") or size.get("expw", [None])[0]),
        height=pixels(facts.get("exph") or size.get("exph", [None])[0]),
    )


INFO = SourceInfo(
    name="bing",
    factory=Bing,
    summary="Bing's page of image results; no licence and no creator is given.",
    limits="35 a page, about 1,000 per keyword; answers with captchas when asked much",
    licenses=False,
    url="https://www.bing.com",
    opt_in="it is a page for people and no API: its markup changes, and its terms are yours to read",
)
