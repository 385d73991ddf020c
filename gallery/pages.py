"""The site's answers: Openverse's JSON search, the HTML results page, a picture's landing page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil
from urllib.parse import quote, urlencode

from gallery.collection import LICENCES, SitePicture

ANONYMOUS_PAGE_SIZE = 20  # Openverse's MAX_ANONYMOUS_PAGE_SIZE
ANONYMOUS_DEPTH = 240  # works per query that Openverse shows without a key (WordPress/openverse issue 4474)
TILES_PER_PAGE = 15

_PLACEHOLDER_GIF = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
_PLACEHOLDER_SVG = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 4 3'%3E%3C/svg%3E"
_SRCSET_WIDTHS = (240, 480)


def openverse_search(
    pictures: Sequence[SitePicture], parameters: dict[str, str], base_url: str
) -> tuple[int, dict[str, object]]:
    """Answer a search as api.openverse.org does to a caller without a key.

    Args:
        pictures: What the query finds, by rank.
        parameters: The request's query string.
        base_url: The site's own address, put into every result.

    Returns:
        The HTTP status and the JSON body.
    """
    try:
        page, page_size = int(parameters.get("page", "1")), int(parameters.get("page_size", "20"))
    except ValueError:
        return 400, {"detail": {"page": ["A valid integer is required."]}}
    if page < 1 or page_size < 1:
        return 400, {"detail": {"page": ["Ensure this value is greater than or equal to 1."]}}
    if page_size > ANONYMOUS_PAGE_SIZE:
        return 401, {"detail": f"page_size may not exceed {ANONYMOUS_PAGE_SIZE} for anonymous requests"}
    if page * page_size > ANONYMOUS_DEPTH:
        return 401, {
            "detail": f"The max total page depth (page * page_size) may not exceed {ANONYMOUS_DEPTH}"
            " for anonymous requests"
        }
    if licences := parameters.get("license"):
        wanted = {code.strip().lower() for code in licences.split(",")}
        pictures = [picture for picture in pictures if picture.license in wanted]
    count = min(len(pictures), ANONYMOUS_DEPTH)
    shown = pictures[:count][(page - 1) * page_size : page * page_size]
    # A page beyond the end counts nothing: Openverse's _get_result_and_page_count returns (0, 0) without results.
    return 200, {
        "result_count": count if shown else 0,
        "page_count": ceil(count / page_size) if shown else 0,
        "page_size": page_size,
        "page": page,
        "results": [openverse_result(picture, base_url) for picture in shown],
    }


def openverse_result(picture: SitePicture, base_url: str) -> dict[str, object]:
    """Return one result of the JSON search."""
    ours: dict[str, object] = {
        "url": base_url + picture.url_path,
        "thumbnail": f"{base_url}/v1/images/{picture.id}/thumb/",
    }
    if picture.recorded is not None:
        return {**picture.recorded, **ours}
    return {
        "id": picture.id,
        "title": picture.title,
        "foreign_landing_url": picture.landing_url or f"{base_url}/photo/{picture.id}",
        "creator": picture.creator,
        "creator_url": picture.creator_url,
        "license": picture.license,
        "license_version": picture.license_version,
        "license_url": picture.license_url,
        "attribution": attribution(picture),
        "provider": "gallery",
        "source": "gallery",
        "category": None,
        "filesize": None,
        "filetype": picture.name.rpartition(".")[2],
        "tags": [{"name": picture.keyword, "accuracy": None}],
        "width": picture.width,
        "height": picture.height,
        "detail_url": f"{base_url}/v1/images/{picture.id}/",
        **ours,
    }


def attribution(picture: SitePicture) -> str | None:
    """Return the credit line in Openverse's wording; None where no licence is known."""
    if picture.license is None or picture.license not in LICENCES:
        return None
    name = LICENCES[picture.license][2]
    by = f" by {picture.creator}" if picture.creator else ""
    if picture.license in ("cc0", "pdm"):
        return f'"{picture.title}"{by} is marked with {name}. To view the terms, visit {picture.license_url}.'
    return (
        f'"{picture.title}"{by} is licensed under {name}. To view a copy of this license, visit {picture.license_url}.'
    )


def results_page(query: str, pictures: Sequence[SitePicture], page: int, base_url: str) -> str:
    """Render the HTML results page number ``page`` (from 1), with the ways in which real pages show an image."""
    start = (page - 1) * TILES_PER_PAGE
    shown = pictures[start : start + TILES_PER_PAGE]
    tiles = "\n".join(_tile(picture, start + n, base_url) for n, picture in enumerate(shown))
    more = ""
    if start + TILES_PER_PAGE < len(pictures):
        address = escape("/search?" + urlencode({"q": query, "page": page + 1}))
        more = f'<nav><a rel="next" href="{address}">More pictures</a></nav>'
    body = f"<main>\n<h1>{len(pictures)} pictures of {escape(query)}</h1>\n{tiles}\n{more}\n</main>"
    return _document(f"{query} – page {page}", body)


def landing_page(picture: SitePicture) -> str:
    """Render the page of one picture."""
    body = (
        f'<main><h1>{escape(picture.title)}</h1><img src="{picture.url_path}" alt="{escape(picture.title)}">'
        f"<p>{_credit(picture)}</p></main>"
    )
    return _document(picture.title, body)


def _document(title: str, body: str) -> str:
    # The logo and the icons stand for the furniture of real pages: images that are no results.
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)} – The Gallery</title>'
        '<link rel="icon" href="/assets/icon.png"></head>\n<body>\n'
        '<header><a href="/"><img class="logo" src="/assets/logo.png" width="120" height="32" alt="The Gallery"></a>'
        '<img class="icon" src="/assets/icon.png" width="24" height="24" alt="search"></header>\n'
        f"{body}\n</body>\n</html>\n"
    )


def _tile(picture: SitePicture, number: int, base_url: str) -> str:
    return (
        f'<figure class="tile"><a href="/photo/{quote(picture.id)}">{_image(picture, number, base_url)}</a>'
        f"<figcaption>{_credit(picture)}</figcaption></figure>"
    )


def _credit(picture: SitePicture) -> str:
    by = f' by <span class="creator">{escape(picture.creator)}</span>' if picture.creator else ""
    licence = ""
    if picture.license and picture.license_url:
        name = escape(picture.license.upper())
        licence = f' <a rel="license" href="{escape(picture.license_url)}">{name}</a>'
    return f'<span class="title">{escape(picture.title)}</span>{by}{licence}'


def _image(picture: SitePicture, number: int, base_url: str) -> str:
    path, alt = picture.url_path, f'alt="{escape(picture.title)}"'
    style = number % 6
    if style == 1:
        return f'<img class="lazy" src="{_PLACEHOLDER_GIF}" data-src="{path}" {alt}>'
    if style == 2 and picture.width is not None:
        smaller = [w for w in _SRCSET_WIDTHS if w < picture.width]
        widths = [f"{path}?w={w} {w}w" for w in smaller] + [f"{path} {picture.width}w"]
        first = f"{path}?w={smaller[0]}" if smaller else path
        return f'<img src="{first}" srcset="{", ".join(widths)}" sizes="33vw" {alt}>'
    if style == 3:
        return f'<picture><source media="(min-width: 600px)" srcset="{path}"><img src="{path}?w=240" {alt}></picture>'
    if style == 4:
        return f'<img src="{_PLACEHOLDER_SVG}" data-src="{base_url}{path}" loading="lazy" {alt}>'
    if style == 5:
        return f'<img src="{base_url}{path}" {alt}>'
    return f'<img src="{path}" {alt}>'
