"""Bing's image results page, parsed as HTML, since Microsoft ended its search API in August 2025.

It is used only where the settings name it: its markup changes without notice, it gives no licence, and its terms of
use leave it to you whether your use of the results is allowed.
"""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

from bs4 import Tag

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.fetch import captcha, fetch_html
from collectors.sources.parsing import looks_like_captcha, parse_html, pixels, plain_text, read_json, says_no_results
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed

_STEP = 35
_MAX_FIRST = 30 * _STEP


class Bing:
    """Search Bing's images.

    Args:
        search: base URL.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._url = INFO.base_url(search)

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request one page of 35; see Source.search.

        The cursor is `first:digest` with the digest of the page before, since past its end Bing repeats its last page.
        """
        first, _, previous_digest = (cursor or "0:").partition(":")
        params = {"q": keyword, "first": first, "count": _STEP, "adlt": "moderate"}
        hits = parse(fetch_html(session, f"{self._url}/images/async?{urlencode(params)}"))
        digest = hashlib.sha256("\n".join(hit.image_url for hit in hits).encode()).hexdigest()[:16]
        if not hits or digest == previous_digest:
            return ResultPage((), None)
        following = int(first) + _STEP
        return ResultPage(hits, f"{following}:{digest}" if following <= _MAX_FIRST else None)


def parse(html: bytes) -> tuple[SearchHit, ...]:
    """Parse one results page; a tile that cannot be parsed is skipped, unless none can.

    Raises:
        SourceFailed: `captcha`, or `changed` when no tile can be parsed and the page does not say that there are none.
    """
    page = parse_html(html)
    tiles = page.select("a.iusc")
    hits: dict[str, SearchHit] = {}
    for tile in tiles:
        try:
            hit = _hit(tile)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        hits.setdefault(hit.image_url, hit)
    if hits:
        return tuple(hits.values())
    if looks_like_captcha(html):
        raise captcha("Bing")
    if tiles or not says_no_results(html):
        raise SourceFailed("changed", f"none of {len(tiles)} tiles on Bing's page can be parsed: its markup changed")
    return ()


def _hit(tile: Tag) -> SearchHit:
    metadata = read_json(str(tile["m"]))
    size = parse_qs(urlsplit(str(tile.get("href") or "")).query)
    url = str(metadata["murl"])
    if not url.startswith(("http://", "https://")):
        raise ValueError(url)
    return SearchHit(
        image_url=url,
        page_url=str(metadata.get("purl") or ""),
        title=plain_text(metadata.get("t")),
        width=pixels(metadata.get("expw") or size.get("expw", [None])[0]),
        height=pixels(metadata.get("exph") or size.get("exph", [None])[0]),
    )


INFO = SourceInfo(
    name="bing",
    factory=Bing,
    summary="Bing's page of image results; no licence and no creator is given.",
    limits="35 a page, about 1,000 per keyword; answers many requests with captchas",
    licenses=False,
    crawled=True,
    url="https://www.bing.com",
    opt_in="it is a page for people and no API: its markup changes, and its terms are yours to read",
)
