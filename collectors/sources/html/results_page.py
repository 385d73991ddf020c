"""An ordinary site's own image search: a page of html with linked pictures, read with BeautifulSoup."""

from __future__ import annotations

from urllib.parse import quote, urljoin

from bs4 import BeautifulSoup, Tag

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.fetch import fetch_page
from collectors.sources.html.images import best_image_url
from collectors.sources.parsing import looks_like_captcha, says_no_results
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed
from workspace.licenses import license_name

_FURNITURE = ("header", "footer", "nav", "aside")


class ResultsPage:
    """The results page of one site.

    Args:
        search: `url` of its table, with {keyword} and {page}.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._template = search.results_page.url

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Ask for one page; the next one is where the page's own rel=next points; see Source.search."""
        url = cursor or self._template.replace("{keyword}", quote(keyword, safe="")).replace("{page}", "1")
        html, here = fetch_page(session, url)
        found, next_url = parse(html, here)
        if not found and looks_like_captcha(html):
            raise SourceFailed("captcha", f"{url} answered with a captcha page; ask less, or tomorrow")
        if not found and cursor is None and not says_no_results(html):
            raise SourceFailed(
                "changed", f"{url} has no linked picture and does not say that there is none: is it that site's search?"
            )
        return ResultPage(found, next_url)


def parse(html: bytes, url: str) -> tuple[tuple[SearchHit, ...], str | None]:
    """Read a results page: the linked pictures in the order of the page, and the address of the next page.

    Each in its largest version (best_image_url); pictures in header, footer, nav and aside are the site's
    furniture.

    Args:
        html: the page.
        url: where it came from, to complete relative addresses.
    """
    page = BeautifulSoup(html, "html.parser")
    base = page.find("base", href=True)
    here = urljoin(url, str(base["href"])) if isinstance(base, Tag) else url
    found: dict[str, SearchHit] = {}
    for image in page.find_all("img"):
        if image.find_parent(_FURNITURE) is None and (picture := _picture(image, here)):
            found.setdefault(picture.image_url, picture)
    following = page.find(["a", "link"], rel="next", href=True)
    return tuple(found.values()), urljoin(here, str(following["href"])) if isinstance(following, Tag) else None


def _picture(image: Tag, here: str) -> SearchHit | None:
    address, _declared = best_image_url(image)
    link = image.find_parent("a", href=True)
    if not address or link is None:
        return None
    tile = image.find_parent(["figure", "li", "article"]) or link
    license_link = tile.find("a", rel="license", href=True)
    license_url = str(license_link["href"]) if isinstance(license_link, Tag) else ""
    creator = tile.find(rel="author") or tile.find(class_="creator")
    return SearchHit(
        image_url=urljoin(here, address),
        page_url=urljoin(here, str(link["href"])),
        title=str(image.get("alt") or image.get("title") or "").strip(),
        creator=creator.get_text(" ", strip=True) if isinstance(creator, Tag) else "",
        license=license_name(license_url),
        license_url=license_url,
    )


INFO = SourceInfo(
    name="results_page",
    factory=ResultsPage,
    summary="One site's own image search: its page of results.",
    limits="as the site's own pages go on (rel=next)",
    licenses=True,
    settings=("url",),
)
