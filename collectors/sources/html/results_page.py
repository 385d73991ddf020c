"""The image search of one website: an HTML results page with linked images."""

from __future__ import annotations

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

_SKIPPED_PARTS = ("header", "footer", "nav", "aside")


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
        """Request one page; the next one is the page's rel=next link; see Source.search."""
        url = cursor or self._template.replace("{keyword}", quote(keyword, safe="")).replace("{page}", "1")
        html, final_url = fetch_page(session, url)
        hits, next_url = parse(html, final_url)
        if not hits and looks_like_captcha(html):
            raise captcha(url)
        if not hits and cursor is None and not says_no_results(html):
            raise SourceFailed(
                "changed",
                f"{url} has no linked picture and does not say that there are none: is it the site's search page?",
            )
        return ResultPage(hits, next_url)


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
    limits="as many pages as the site links (rel=next)",
    licenses=True,
    crawled=True,
    settings=("url",),
)
