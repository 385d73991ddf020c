"""Crawl a website from start pages along its own links, and collect the images of every page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.fetch import captcha, fetch_page
from collectors.sources.html.images import read_page
from collectors.sources.parsing import looks_like_captcha
from workspace.config.collect import SearchConfig
from workspace.errors import ConfigError, SourceFailed
from workspace.names import name_key
from workspace.reasons import GIVEN_UP, OPTED_OUT, RESERVED

# Failures of the whole site, which stop the crawl for now; any other is of one page, which the crawl skips: it would
# stand in the way of all that follow for as long as it fails. A host that fails page after page is given up.
_OF_THE_SITE = frozenset(
    {"captcha", "rate_limited", "unknown_host", "robots_unreachable", GIVEN_UP, "stopped", "not_recorded"}
)
# What is met on any site, and needs no note: links that lead nowhere, to other files, or where nobody may go.
_EXPECTED = frozenset({"http_404", "http_410", "changed", "too_large", "robots", OPTED_OUT, RESERVED})
_MAX_URL_LENGTH = 1000  # characters; longer urls are crawler traps or session ids


@dataclass(slots=True)
class _Crawl:
    """The cursor: urls to read with their depth, digests of all urls ever queued, and the number of pages read."""

    queue: list[tuple[str, int]]
    seen: list[str]
    read: int = 0

    def push(self, url: str, depth: int, limit: int) -> None:
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        if len(self.seen) < limit and len(url) <= _MAX_URL_LENGTH and digest not in self.seen:
            self.seen.append(digest)
            self.queue.append((url, depth))


class Website:
    """Crawl one site breadth first; each search reads one page, so that a stopped run continues where it was.

    Args:
        search: start pages by keyword, depth, and maximum pages per keyword.

    Raises:
        ConfigError: there is no start page.
    """

    def __init__(self, search: SearchConfig) -> None:
        if not any(search.website.start_pages.values()):
            raise ConfigError(
                'the source website needs start pages: [search.website] start_pages = {"red panda" = ["https://…"]}'
            )
        self._starts: dict[str, tuple[str, ...]] = {}
        for keyword, pages in search.website.start_pages.items():
            self._starts[name_key(keyword)] = self._starts.get(name_key(keyword), ()) + pages
        self._depth, self._limit = search.website.depth, search.website.pages

    def scope(self, keyword: str) -> object:
        """See Scoped.scope: the start pages, and how far their links are followed."""
        return self._pages(keyword), self._depth, self._limit

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Read one page; a keyword without start pages has no hits; see Source.search.

        A page that cannot be read is skipped, unless no page at all could be read.

        Raises:
            SourceFailed: no page at all could be read, or the site cannot be asked now; the cursor still has the page.
        """
        crawl = self._resume(keyword, cursor)
        if not crawl.queue:
            return ResultPage((), None)
        url, depth = crawl.queue.pop(0)
        hits: tuple[SearchHit, ...] = ()
        notes: tuple[str, ...] = ()
        try:
            hits = self._read(session, crawl, url, depth)
        except SourceFailed as error:
            redirected_elsewhere = bool(error.url) and _site(error.url) != _site(url)
            if (error.reason in _OF_THE_SITE and not redirected_elsewhere) or not (crawl.queue or crawl.read):
                raise
            if error.reason not in _EXPECTED:
                notes = (f"a page was passed over: {error.detail}",)
        return ResultPage(hits, _cursor(crawl) if crawl.queue else None, notes)

    def _resume(self, keyword: str, cursor: str | None) -> _Crawl:
        if cursor is not None:
            state = json.loads(cursor)
            return _Crawl([(url, depth) for url, depth in state["queue"]], state["seen"], state["read"])
        crawl = _Crawl([], [])
        for page in self._pages(keyword):
            crawl.push(page, 0, self._limit)
        return crawl

    def _pages(self, keyword: str) -> list[str]:
        """Return the start pages of a keyword."""
        pages = (*self._starts.get(name_key(keyword), ()), *self._starts.get("*", ()))
        return [page.replace("{keyword}", quote(keyword, safe="")) for page in pages]

    def _read(self, session: PoliteSession, crawl: _Crawl, url: str, depth: int) -> tuple[SearchHit, ...]:
        html, final_url = fetch_page(session, url)
        site = _site(final_url if depth == 0 else url)
        if _site(final_url) != site:
            return ()  # it redirects to another site
        content = read_page(html, final_url)
        if not content.hits and looks_like_captcha(html):
            raise captcha(url)
        if depth == 0 and not content.hits and not content.links:
            raise SourceFailed(
                "changed",
                f"{url} has neither pictures nor links; pages drawn by scripts cannot be read",
            )
        crawl.read += 1
        if depth < self._depth:
            for link in content.links:
                if _site(link) == site:
                    crawl.push(link, depth + 1, self._limit)
        return content.hits


def _cursor(crawl: _Crawl) -> str:
    return json.dumps({"queue": crawl.queue, "seen": crawl.seen, "read": crawl.read}, separators=(",", ":"))


def _site(url: str) -> tuple[str, int | None] | None:
    """Return host and port of a url, alike with and without `www.`; None where it has no valid ones."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").removeprefix("www."), parts.port
    except ValueError:
        return None


def _probe_keyword(search: SearchConfig) -> str:
    return next((keyword for keyword, pages in search.website.start_pages.items() if pages and keyword != "*"), "cat")


INFO = SourceInfo(
    name="website",
    factory=Website,
    summary="The pictures of any website, from start pages that you name along the site's own links.",
    limits="search.website.depth links deep, search.website.pages pages per keyword, on one site",
    licenses=True,
    crawled=True,
    settings=("start_pages",),
    opt_in="you must check whether a site's pictures may be used, unless its pages state a licence",
    probe=_probe_keyword,
)
