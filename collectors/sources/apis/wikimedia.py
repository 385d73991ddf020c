"""Wikimedia Commons, through MediaWiki's API (documentation: "API:Search", "API:Imageinfo")."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.json_api import JsonApi
from collectors.sources.parsing import documented_shape, pixels, plain_text
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed
from workspace.licenses import license_from

# One of the widths that Commons renders (20 40 60 120 250 330 500 960 1280 1920 3840); others are refused.
_WIDTH_PX = 960
_PAGE_SIZE = 50
_MIME_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/tiff")
_METADATA = "Artist|Attribution|LicenseShortName|LicenseUrl|License|ObjectName"
_SUFFIX = re.compile(r"\.(?:jpe?g|png|webp|gif|tiff?)$", re.I)
_ERROR_REASONS = {"ratelimited": "rate_limited", "maxlag": "unreachable", "readonly": "unreachable"}


class Wikimedia:
    """Search the files of Commons by full text.

    Args:
        search: base URL; the API has no licence filter.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._api = JsonApi(INFO.base_url(search))

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request one page of up to 50; the cursor is MediaWiki's `continue`; see Source.search."""
        params = {
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
        hits, following = parse(self._api.get(session, params))
        return ResultPage(hits, json.dumps(following, sort_keys=True) if following else None)


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], dict[str, str]]:
    """Parse one answer: the hits in search order, and the parameters of the next page, empty at the end.

    Pages without imageinfo are skipped: a later part of the same answer holds it.

    Raises:
        SourceFailed: the service reports an error, or the answer does not have the documented shape.
    """
    with documented_shape("Commons"):
        if error := payload.get("error"):
            code = str(error["code"])
            raise SourceFailed(
                _ERROR_REASONS.get(code, "changed"), f"Commons answered {code}: {error.get('info', '')}"[:300]
            )
        if not payload.keys() & {"query", "batchcomplete", "continue"}:
            raise KeyError("query")
        pages = payload.get("query", {}).get("pages", [])
        rows = list(pages.values()) if isinstance(pages, dict) else list(pages)
        rows.sort(key=lambda row: row.get("index", 0))
        hits = [_hit(row, info) for row in rows for info in row.get("imageinfo", [])[:1] if _is_image(info)]
        following = {str(key): str(value) for key, value in payload.get("continue", {}).items()}
    return tuple(hits), following if following.keys() - {"continue"} else {}


def _is_image(info: Mapping[str, Any]) -> bool:
    return bool(info.get("url")) and info.get("mime", _MIME_TYPES[0]) in _MIME_TYPES


def _hit(row: Mapping[str, Any], info: Mapping[str, Any]) -> SearchHit:
    metadata = {key: field.get("value") for key, field in info.get("extmetadata", {}).items()}
    url, width, height = info["url"], pixels(info.get("width")), pixels(info.get("height"))
    if info.get("thumburl") and (width is None or width > _WIDTH_PX):
        url, width, height = info["thumburl"], pixels(info.get("thumbwidth")), pixels(info.get("thumbheight"))
    names = [plain_text(metadata.get(key)) for key in ("LicenseUrl", "License", "LicenseShortName")]
    title = plain_text(metadata.get("ObjectName")) or str(row.get("title", "")).removeprefix("File:")
    return SearchHit(
        image_url=without_tracking(url),
        page_url=without_tracking(info.get("descriptionurl") or info.get("descriptionshorturl") or ""),
        title=_SUFFIX.sub("", title),
        creator=plain_text(metadata.get("Artist")) or str(info.get("user", "")),
        license=next((short for name in names if (short := license_from(name))), ""),
        license_url=names[0],
        attribution=plain_text(metadata.get("Attribution")),
        width=width,
        height=height,
    )


def without_tracking(url: str) -> str:
    """Remove `utm_…` parameters from a url: they differ between searches that find the same image."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # it is refused where it is fetched, and costs no other picture of the answer
    kept = [(key, value) for key, value in parse_qsl(parts.query, True) if not key.startswith("utm_")]
    return urlunsplit(parts._replace(query=urlencode(kept))) if "utm_" in parts.query else url


INFO = SourceInfo(
    name="wikimedia",
    factory=Wikimedia,
    summary="Free pictures of Wikimedia Commons, with licence, author and description page.",
    limits="50 a page; one request at a time; scaled to 960 px by the service; network.contact is required",
    licenses=True,
    image_urls=re.compile(  # MediaWiki, "Help:Thumbnails"
        r"https?://upload\.wikimedia\.org/wikipedia/commons/(?:thumb/)?([0-9a-f]/[0-9a-f]{2}/[^/?#]+).*"
    ),
    url="https://commons.wikimedia.org/w/api.php",
)
