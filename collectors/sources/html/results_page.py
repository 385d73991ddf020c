"""The image search of one website: an HTML results page with linked images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from urllib.parse import quote

from bs4 import Tag

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.fetch import captcha, fetch_page
from collectors.sources.html.images import base_of, best_image_url, resolve
from collectors.sources.parsing import looks_like_captcha, parse_html, says_no_results
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed
from workspace.licenses import license_name

_MAX_PAGES = 1000  # per keyword: a site may name a next page without end
_SKIPPED_PARTS = ("header", "footer", "nav", "aside")


@dataclass(frozen=True, slots=True)
class _Position:
    """The cursor: the page to ask for, digests of the addresses and contents of those before it, and their number."""

    url: str
    seen: tuple[str, ...] = ()
    read: int = 0

    def after(self, final_url: str, content: str, next_url: str | None) -> _Position | None:
        """Return the position after this page; None where no page follows that was not asked for before."""
        seen = tuple(dict.fromkeys([*self.seen, _digest(self.url), _digest(final_url), content]))
        if next_url is None or _digest(next_url) in seen or self.read + 1 >= _MAX_PAGES:
            return None
        return _Position(next_url, seen, self.read + 1)


class ResultsPage:
    """Search the results pages of one site.

    Args:
        search: `url` of its table, with {keyword} and {page}.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._template = search.results_page.url

    def scope(self, keyword: str) -> object:
        """See Scoped.scope: the site's page."""
        return self._template

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request one page; the next one is the page's rel=next link; see Source.search.

        The end is also a page that links to itself or to an earlier one, and one that shows what an earlier one did:
        many sites do so past their last page.
        """
        position = self._resume(keyword, cursor)
        url = position.url
        html, final_url = fetch_page(session, url)
        hits, next_url = parse(html, final_url)
        if not hits and looks_like_captcha(html):
            raise captcha(url)
        if not hits and cursor is None and not says_no_results(html):
            raise SourceFailed(
                "changed",
                f"{url} has no linked picture and does not say that there are none: is it the site's search page?",
            )
        content = _digest("\n".join(hit.image_url for hit in hits))
        if content in position.seen:
            return ResultPage((), None)
        following = position.after(final_url, content, next_url)
        return ResultPage(hits, json.dumps(asdict(following), separators=(",", ":")) if following else None)

    def _resume(self, keyword: str, cursor: str | None) -> _Position:
        if cursor is None:
            return _Position(self._template.replace("{keyword}", quote(keyword, safe="")).replace("{page}", "1"))
        if not cursor.startswith("{"):
            return _Position(cursor)  # of an earlier version, whose cursor was the url
        return _Position(**json.loads(cursor))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def parse(html: bytes, url: str) -> tuple[tuple[SearchHit, ...], str | None]:
    """Parse a results page: the linked images in page order, and the url of the next page.

    Each image in its largest version (best_image_url); images in header, footer, nav and aside are skipped.

    Args:
        html: the page.
        url: url of the page, which resolves relative urls.
    """
    page = parse_html(html)
    base_url = base_of(page, url)
    hits: dict[str, SearchHit] = {}
    for image in page.find_all("img"):
        if image.find_parent(_SKIPPED_PARTS) is None and (hit := _hit(image, base_url)):
            hits.setdefault(hit.image_url, hit)
    following = page.find(["a", "link"], rel="next", href=True)
    next_url = resolve(base_url, str(following["href"])) if isinstance(following, Tag) else ""
    return tuple(hits.values()), next_url or None


def _hit(image: Tag, base_url: str) -> SearchHit | None:
    image_src, _is_declared = best_image_url(image)
    link = image.find_parent("a", href=True)
    image_url = resolve(base_url, image_src)
    if not image_url or link is None:
        return None
    tile = image.find_parent(["figure", "li", "article"]) or link
    license_link = tile.find("a", rel="license", href=True)
    license_url = resolve(base_url, str(license_link["href"])) if isinstance(license_link, Tag) else ""
    creator = tile.find(rel="author") or tile.find(class_="creator")
    return SearchHit(
        image_url=image_url,
        page_url=resolve(base_url, str(link["href"])),
        title=str(image.get("alt") or image.get("title") or "").strip(),
        creator=creator.get_text(" ", strip=True) if isinstance(creator, Tag) else "",
        license=license_name(license_url),
        license_url=license_url,
    )


INFO = SourceInfo(
    name="results_page",
    factory=ResultsPage,
    summary="One site's own image search: its page of results.",
    limits="as many pages as the site links (rel=next), at most 1,000 per keyword",
    licenses=True,
    crawled=True,
    settings=("url",),
)
