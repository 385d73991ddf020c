"""Wikimedia Commons, asked through MediaWiki's API (documentation: "API:Search", "API:Imageinfo")."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo, documented_shape, pixels, plain_text
from collectors.sources.json_api import JsonApi
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed
from workspace.licenses import license_from

# One of the widths that Commons still renders (20 40 60 120 250 330 500 960 1280 1920 3840); others are refused.
_WIDTH_PX = 960
_PAGE_SIZE = 50
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff")
_METADATA = "Artist|Attribution|LicenseShortName|LicenseUrl|License|ObjectName"
_SUFFIX = re.compile(r"\.(?:jpe?g|png|webp|gif|tiff?)$", re.I)
_ERRORS = {"ratelimited": "rate_limited", "maxlag": "unreachable", "readonly": "unreachable"}


class Wikimedia:
    """A full-text search among the files of Commons.

    Args:
        search: base address; it cannot filter by licence.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._api = JsonApi(INFO.base_url(search))

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Ask for one page of up to 50; the cursor is MediaWiki's own `continue`; see Source.search."""
        question = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "generator": "search",
            "gsrsearch": f"{keyword} filetype:bitmap",
            "gsrnamespace": "6",
            "gsrlimit": str(_PAGE_SIZE),
            "prop": "imageinfo",
            "iiprop": "url|size|mime|user|extmetadata",
            "iiextmetadatafilter": _METADATA,
            "iiurlwidth": str(_WIDTH_PX),
            "maxlag": "5",
        } | (json.loads(cursor) if cursor else {})
        found, following = parse(self._api.ask(session, question))
        return ResultPage(found, json.dumps(following, sort_keys=True) if following else None)


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], dict[str, str]]:
    """Read one answer: the pictures in the search's order, and what asks for the next page, empty at the end.

    Pages without imageinfo are left out: their turn comes in a later part of the same answer.

    Raises:
        SourceFailed: it says what is wrong, or has not the documented shape.
    """
    with documented_shape("Commons"):
        if error := payload.get("error"):
            code = str(error["code"])
            raise SourceFailed(_ERRORS.get(code, "changed"), f"Commons answered {code}: {error.get('info', '')}"[:300])
        if not payload.keys() & {"query", "batchcomplete", "continue"}:
            raise KeyError("query")
        pages = payload.get("query", {}).get("pages", [])
        rows = list(pages.values()) if isinstance(pages, dict) else list(pages)
        rows.sort(key=lambda row: row.get("index", 0))
        found = [_found(row, info) for row in rows for info in row.get("imageinfo", [])[:1] if _is_picture(info)]
        following = {str(key): str(value) for key, value in payload.get("continue", {}).items()}
    return tuple(found), following if following.keys() - {"continue"} else {}


def _is_picture(info: Mapping[str, Any]) -> bool:
    return bool(info.get("url")) and info.get("mime", _PICTURES[0]) in _PICTURES


def _found(row: Mapping[str, Any], info: Mapping[str, Any]) -> SearchHit:
    facts = {key: field.get("value") for key, field in info.get("extmetadata", {}).items()}
    url, width, height = info["url"], pixels(info.get("width")), pixels(info.get("height"))
    if info.get("thumburl") and (width is None or width > _WIDTH_PX):
        url, width, height = info["thumburl"], pixels(info.get("thumbwidth")), pixels(info.get("thumbheight"))
    names = [plain_text(facts.get(key)) for key in ("LicenseUrl", "License", "LicenseShortName")]
    title = plain_text(facts.get("ObjectName")) or str(row.get("title", "")).removeprefix("File:")
    return SearchHit(
        image_url=without_tracking(url),
        page_url=without_tracking(info.get("descriptionurl") or info.get("descriptionshorturl") or ""),
        title=_SUFFIX.sub("", title),
        creator=plain_text(facts.get("Artist")) or str(info.get("user", "")),
        license=next((short for name in names if (short := license_from(name))), ""),
        license_url=names[0],
        attribution=plain_text(facts.get("Attribution")),
        width=width,
        height=height,
    )


def without_tracking(url: str) -> str:
    """The address without `utm_…` parameters, which differ by the way a picture was found."""
    parts = urlsplit(url)
    kept = [(key, value) for key, value in parse_qsl(parts.query, True) if not key.startswith("utm_")]
    return urlunsplit(parts._replace(query=urlencode(kept))) if "utm_" in parts.query else url


INFO = SourceInfo(
    name="wikimedia",
    factory=Wikimedia,
    summary="Free pictures of Wikimedia Commons, with licence, author and description page.",
    limits="50 a page; one question at a time; scaled to 960 px by the service; network.contact is required",
    licenses=True,
    image_urls=re.compile(  # MediaWiki, "Help:Thumbnails"
        r"https?://upload\.wikimedia\.org/wikipedia/commons/(?:thumb/)?([0-9a-f]/[0-9a-f]{2}/[^/?#]+).*"
    ),
    url="https://commons.wikimedia.org/w/api.php",
)
