"""Parse a web page: its images in their largest size with the page's licence, and its links."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from collectors.sources.base import SearchHit
from collectors.sources.parsing import parse_html, pixels
from workspace.licenses import license_name

LAZY_ATTRIBUTES = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-full", "data-image")
SRCSET_ATTRIBUTES = ("srcset", "data-srcset", "data-lazy-srcset")
_SKIPPED_PARTS = ("header", "footer", "nav", "aside")
_ICON_PX = 48  # an image declared smaller is a button, a flag or a counter
_IMAGE_FILE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif|hei[cf]|bmp|tiff?)$", re.I)
_OTHER_FILE = re.compile(
    r"\.(?:pdf|zip|gz|7z|rar|mp[34]|webm|mov|avi|docx?|xlsx?|pptx?|css|js|json|xml|rss|svg|ico)$", re.I
)
_XML_DECLARATION = re.compile(rb"^\s*<\?xml[^>]*\?>")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)[wx]")


@dataclass(frozen=True, slots=True)
class PageContent:
    """The content of a page: its images in page order, and the urls of linked pages, without fragments."""

    hits: tuple[SearchHit, ...]
    links: tuple[str, ...]


def read_page(html: bytes, url: str) -> PageContent:
    """Parse a page: og:image, `img` (srcset, picture, lazy-loading attributes), and links to image files.

    A small image that links to a large one counts once, as the large one. Images in header, footer, nav and aside, and
    those declared smaller than 48 px, are skipped. A page with `noimageindex` in its robots tag has no images, one with
    `nofollow` no links; `noai` is checked where the page is fetched.

    Args:
        html: the page, in whatever encoding it declares.
        url: url of the page, which resolves relative urls.
    """
    page = parse_html(_XML_DECLARATION.sub(b"", html))  # XHTML is read as html
    base_url = base_of(page, url)
    directives = {
        word.strip().lower()
        for tag in page.find_all("meta", attrs={"name": re.compile(r"^robots$", re.I)})
        for word in str(tag.get("content") or "").split(",")
    }
    links = [link for tag in page.find_all(["a", "area"], href=True) if (link := resolve(base_url, str(tag["href"])))]
    pages = (
        () if directives & {"nofollow", "none"} else tuple(dict.fromkeys(link for link in links if _may_be_page(link)))
    )
    return PageContent(() if "noimageindex" in directives else _images(page, base_url, url), pages)


def _images(page: BeautifulSoup, base_url: str, page_url: str) -> tuple[SearchHit, ...]:
    license_link = page.find(["a", "link"], rel="license", href=True)
    license_url = resolve(base_url, str(license_link["href"])) if isinstance(license_link, Tag) else ""
    heading = _words(page.title.get_text() if page.title else "")
    hits: dict[str, SearchHit] = {}

    def add(image_url: str, title: str, width: int | None = None, height: int | None = None) -> None:
        if image_url and not _OTHER_FILE.search(urlsplit(image_url).path):
            hit = SearchHit(image_url, page_url, title, "", license_name(license_url), license_url, "", width, height)
            hits.setdefault(image_url, hit)

    for tag in page.find_all("meta", attrs={"property": re.compile(r"^og:image(:url|:secure_url)?$")}):
        add(resolve(base_url, str(tag.get("content") or "")), heading)
    for image in page.find_all("img"):
        width, height = pixels(image.get("width")), pixels(image.get("height"))
        if image.find_parent(_SKIPPED_PARTS) or min(width or _ICON_PX, height or _ICON_PX) < _ICON_PX:
            continue
        title = _words(str(image.get("alt") or image.get("title") or ""))
        parent_link = image.find_parent("a", href=True)
        linked = resolve(base_url, str(parent_link["href"])) if parent_link else ""
        if _IMAGE_FILE.search(urlsplit(linked).path):
            add(linked, title)
        else:
            image_url, is_declared = best_image_url(image)
            add(resolve(base_url, image_url), title, *((width, height) if is_declared else (None, None)))
    for link in page.find_all("a", href=_IMAGE_FILE):
        if not link.find_parent(_SKIPPED_PARTS):
            add(resolve(base_url, str(link["href"])), _words(link.get_text(" ")))
    return tuple(hits.values())


def best_image_url(image: Tag) -> tuple[str, bool]:
    """Find the url of an image's largest version, and whether the tag's width and height describe it.

    The largest of several sizes (srcset, picture) wins; lazy-loading attributes win over a placeholder `src`.
    """
    picture = image.find_parent("picture")
    tags = [image, *(picture.find_all("source") if picture else [])]
    sized = [
        candidate for tag in tags for name in SRCSET_ATTRIBUTES for candidate in read_srcset(str(tag.get(name) or ""))
    ]
    if sized:
        return max(sized, key=lambda candidate: candidate[1])[0], False
    for name in (*LAZY_ATTRIBUTES, "src"):
        url = str(image.get(name) or "").strip()
        if url and not url.startswith("data:"):
            return url, name == "src"
    return "", False


def read_srcset(text: str) -> list[tuple[str, float]]:
    """Parse a srcset into urls and sizes (`640w` or `2x`; 1 without one); data: urls are skipped.

    >>> read_srcset("small.jpg 320w, large.jpg 1280w")
    [('small.jpg', 320.0), ('large.jpg', 1280.0)]
    """
    candidates: list[tuple[str, float]] = []
    words = deque(text.split())
    while words:
        word = words.popleft()
        url, size, ended = word.strip(","), 1.0, word.endswith(",")
        while words and url and not ended:  # sizes up to the next comma (HTML standard, "Parse a srcset attribute")
            descriptor, comma, rest = words.popleft().partition(",")
            size = float(match[1]) if (match := _SIZE.fullmatch(descriptor)) else size
            ended = bool(comma)
            if rest:
                words.appendleft(rest)
        if url and not url.startswith("data:"):
            candidates.append((url, size))
    return candidates


def _words(text: str) -> str:
    return " ".join(text.split())  # the parser has decoded entities; what looks like a tag is text


def _may_be_page(url: str) -> bool:
    path = urlsplit(url).path
    return not _IMAGE_FILE.search(path) and not _OTHER_FILE.search(path)


def base_of(page: BeautifulSoup, url: str) -> str:
    """Return the url that resolves the relative urls of a page: that of its `base`, else the page's own."""
    base = page.find("base", href=True)
    return resolve(url, str(base["href"])) or url if isinstance(base, Tag) else url


def resolve(base_url: str, url: str) -> str:
    """Resolve a url against the base URL, without its fragment; empty unless it is a valid http or https url."""
    if not url.strip():
        return ""
    try:
        absolute = urldefrag(urljoin(base_url, url.strip())).url
        parts = urlsplit(absolute)
        _ = parts.port  # raises where it is no number of a port
        return absolute if parts.scheme in {"http", "https"} and parts.hostname else ""
    except ValueError:
        return ""
