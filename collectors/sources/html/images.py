"""The pictures and links of an ordinary web page, in their largest size, with what the page says about their use."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from collectors.sources.base import SearchHit
from collectors.sources.parsing import pixels
from workspace.licenses import license_name

LAZY_ATTRIBUTES = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-full", "data-image")
SRCSET_ATTRIBUTES = ("srcset", "data-srcset", "data-lazy-srcset")
_FURNITURE = ("header", "footer", "nav", "aside")
_ICON_PX = 48  # a picture declared smaller is a button, a flag or a counter
_PICTURE_FILE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif|bmp|tiff?)$", re.I)
_OTHER_FILE = re.compile(
    r"\.(?:pdf|zip|gz|7z|rar|mp[34]|webm|mov|avi|docx?|xlsx?|pptx?|css|js|json|xml|rss|svg|ico)$", re.I
)
_XML_DECLARATION = re.compile(rb"^\s*<\?xml[^>]*\?>")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)[wx]")


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a page offers: pictures in its order, and the addresses of pages it links to, without fragments."""

    hits: tuple[SearchHit, ...]
    links: tuple[str, ...]


def read_page(html: bytes, url: str) -> PageContent:
    """Read a page: og:image, `img` (srcset, picture, lazy-loading attributes), and links to picture files.

    A link around a small picture to a large one counts once, as the large one. Pictures in header, footer, nav and
    aside, and those declared smaller than 48 px, are the site's furniture. A page that says `noimageindex` in
    its robots tag gives no picture, one that says `nofollow` no link; `noai` is judged where pages are asked for.

    Args:
        html: the page, in whatever encoding it declares.
        url: where it came from, to complete relative addresses.
    """
    page = BeautifulSoup(_XML_DECLARATION.sub(b"", html), "html.parser")  # XHTML is read as html
    base = page.find("base", href=True)
    here = _joined(url, str(base["href"])) or url if isinstance(base, Tag) else url
    said = {
        word.strip().lower()
        for tag in page.find_all("meta", attrs={"name": re.compile(r"^robots$", re.I)})
        for word in str(tag.get("content") or "").split(",")
    }
    links = [address for tag in page.find_all(["a", "area"], href=True) if (address := _joined(here, str(tag["href"])))]
    pages = () if said & {"nofollow", "none"} else tuple(dict.fromkeys(link for link in links if _may_be_page(link)))
    return PageContent(() if "noimageindex" in said else _pictures(page, here, url), pages)


def _pictures(page: BeautifulSoup, here: str, page_url: str) -> tuple[SearchHit, ...]:
    license_link = page.find(["a", "link"], rel="license", href=True)
    terms = _joined(here, str(license_link["href"])) if isinstance(license_link, Tag) else ""
    heading = _words(page.title.get_text() if page.title else "")
    found: dict[str, SearchHit] = {}

    def add(address: str, title: str, width: int | None = None, height: int | None = None) -> None:
        if address and not _OTHER_FILE.search(urlsplit(address).path):
            picture = SearchHit(address, page_url, title, "", license_name(terms), terms, "", width, height)
            found.setdefault(address, picture)

    for tag in page.find_all("meta", attrs={"property": re.compile(r"^og:image(:url|:secure_url)?$")}):
        add(_joined(here, str(tag.get("content") or "")), heading)
    for image in page.find_all("img"):
        width, height = pixels(image.get("width")), pixels(image.get("height"))
        if image.find_parent(_FURNITURE) or min(width or _ICON_PX, height or _ICON_PX) < _ICON_PX:
            continue
        title = _words(str(image.get("alt") or image.get("title") or ""))
        around = image.find_parent("a", href=True)
        linked = _joined(here, str(around["href"])) if around else ""
        if _PICTURE_FILE.search(urlsplit(linked).path):
            add(linked, title)
        else:
            address, declared = best_image_url(image)
            add(_joined(here, address), title, *((width, height) if declared else (None, None)))
    for link in page.find_all("a", href=_PICTURE_FILE):
        if not link.find_parent(_FURNITURE):
            add(_joined(here, str(link["href"])), _words(link.get_text(" ")))
    return tuple(found.values())


def best_image_url(image: Tag) -> tuple[str, bool]:
    """Find the URL of an image's largest version, and whether the tag's width and height are about it.

    Of several sizes (srcset, picture) the largest is taken; lazy-loading attributes come before a placeholder `src`.
    """
    picture = image.find_parent("picture")
    tags = [image, *(picture.find_all("source") if picture else [])]
    sized = [
        candidate for tag in tags for name in SRCSET_ATTRIBUTES for candidate in read_srcset(str(tag.get(name) or ""))
    ]
    if sized:
        return max(sized, key=lambda candidate: candidate[1])[0], False
    for name in (*LAZY_ATTRIBUTES, "src"):
        address = str(image.get(name) or "").strip()
        if address and not address.startswith("data:"):
            return address, name == "src"
    return "", False


def read_srcset(text: str) -> list[tuple[str, float]]:
    """Split a srcset into addresses and sizes (`640w` or `2x`; 1 when none is given); data: addresses are left out."""
    candidates: list[tuple[str, float]] = []
    words = deque(text.split())
    while words:
        word = words.popleft()
        url, size, ended = word.strip(","), 1.0, word.endswith(",")
        while words and url and not ended:  # sizes up to the next comma (HTML standard, "Parse a srcset attribute")
            told, comma, rest = words.popleft().partition(",")
            size = float(match[1]) if (match := _SIZE.fullmatch(told)) else size
            ended = bool(comma)
            if rest:
                words.appendleft(rest)
        if url and not url.startswith("data:"):
            candidates.append((url, size))
    return candidates


def _words(text: str) -> str:
    return " ".join(text.split())  # the parser has undone entities already; what looks like a tag here is text


def _may_be_page(url: str) -> bool:
    path = urlsplit(url).path
    return not _PICTURE_FILE.search(path) and not _OTHER_FILE.search(path)


def _joined(here: str, address: str) -> str:
    """The whole address without its fragment; empty for what is not http or https, or no address at all."""
    if not address.strip():
        return ""
    try:
        whole = urldefrag(urljoin(here, address.strip())).url
        return whole if urlsplit(whole).scheme in {"http", "https"} and urlsplit(whole).hostname else ""
    except ValueError:
        return ""
