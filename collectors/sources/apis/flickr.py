"""Flickr's photo search (API documentation: "flickr.photos.search", "flickr.photos.licenses.getInfo")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.json_api import JsonApi
from collectors.sources.parsing import documented_shape, expect_hits, pixels, plain_text
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed
from workspace.licenses import license_from

_KEYS = ("FLICKR_API_KEY",)
_PAGE_SIZE = 100
_MAX_DEPTH = 4000  # later pages repeat earlier ones (documentation of flickr.photos.search)
_SIZES = ("l", "c", "z", "m", "n", "s")  # 1024, 800, 640, 500, 320, 240 px; a small photo lacks the large ones
_ERRORS = {100: "needs_key", 10: "unreachable", 105: "unreachable", 106: "unreachable"}


class Flickr:
    """Search public photographs by any of their texts, most relevant first.

    Args:
        search: base URL, licence filter and key.

    Raises:
        ConfigError: there is no key; names the environment variable.
    """

    def __init__(self, search: SearchConfig) -> None:
        (self._key,) = INFO.find_keys(search).values()
        self._api = JsonApi(INFO.base_url(search), secrets=(self._key,))
        self._licenses = search.licenses
        self._license_urls: dict[str, str] = {}

    def scope(self, keyword: str) -> object:
        """See Scoped.scope: the licences that are asked for."""
        return self._licenses

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request one page of 100; the cursor is the page number; see Source.search."""
        if not self._license_urls:  # requested, since Flickr adds licences (version 4.0 in June 2025)
            self._license_urls = parse_licenses(self._ask(session, {"method": "flickr.photos.licenses.getInfo"}))
        number = int(cursor or 1)
        params = {
            "method": "flickr.photos.search",
            "text": keyword,
            "sort": "relevance",
            "media": "photos",
            "content_types": "0",
            "safe_search": "1",
            "extras": "license,owner_name," + ",".join(f"url_{size}" for size in _SIZES),
            "per_page": str(_PAGE_SIZE),
            "page": str(number),
        }
        if self._licenses:
            wanted = [key for key, url in self._license_urls.items() if license_from(url) in self._licenses]
            if not wanted:
                return ResultPage((), None)  # Flickr has no photograph under any of them
            params["license"] = ",".join(wanted)
        hits, pages = parse(self._ask(session, params), self._license_urls)
        more = number < pages and number * _PAGE_SIZE < _MAX_DEPTH
        return ResultPage(hits, str(number + 1) if more else None)

    def _ask(self, session: PoliteSession, params: Mapping[str, str]) -> Any:
        all_params = {**params, "format": "json", "nojsoncallback": "1", "api_key": self._key}
        return self._api.get(session, all_params, "/")


def parse(payload: Any, license_urls: Mapping[str, str]) -> tuple[tuple[SearchHit, ...], int]:
    """Parse one answer: the hits, best first, and the number of pages.

    Args:
        payload: of flickr.photos.search.
        license_urls: url of each licence by Flickr's number for it.

    Raises:
        SourceFailed: the service reports an error, or the answer does not have the documented shape.
    """
    with documented_shape("Flickr"):
        _check(payload)
        photos, pages = payload["photos"]["photo"], int(payload["photos"]["pages"])
        hits = tuple(hit for photo in photos if (hit := _hit(photo, license_urls)))
        return expect_hits(photos, hits), pages


def parse_licenses(payload: Any) -> dict[str, str]:
    """Parse the list of licences: their urls by number.

    Raises:
        SourceFailed: the service reports an error, or the answer does not have the documented shape.
    """
    with documented_shape("Flickr"):
        _check(payload)
        return {str(row["id"]): str(row.get("url") or "") for row in payload["licenses"]["license"]}


def _check(payload: Any) -> None:
    if payload.get("stat", "ok") != "ok":
        code = int(payload.get("code", 0))
        raise SourceFailed(
            _ERRORS.get(code, "changed"), f"Flickr answered error {code} (100: {' or '.join(_KEYS)} is not valid)"
        )


def _hit(photo: Mapping[str, Any], license_urls: Mapping[str, str]) -> SearchHit | None:
    size = next((name for name in _SIZES if photo.get(f"url_{name}")), None)
    if size is None:
        return None  # its owner shows only thumbnails
    license_url = license_urls.get(str(photo.get("license", "")), "")
    return SearchHit(
        image_url=str(photo[f"url_{size}"]),
        page_url=f"https://www.flickr.com/photos/{photo['owner']}/{photo['id']}",
        title=plain_text(photo.get("title")),
        creator=plain_text(photo.get("ownername")),
        license=license_from(license_url),
        license_url=license_url,
        width=pixels(photo.get(f"width_{size}")),
        height=pixels(photo.get(f"height_{size}")),
    )


INFO = SourceInfo(
    name="flickr",
    factory=Flickr,
    summary="Photographs that people share on Flickr, with licence and owner.",
    limits="100 a page, 4,000 per keyword, 3,600 requests an hour; a key is for non-commercial use unless agreed",
    licenses=True,
    keys=(_KEYS,),
    image_urls=re.compile(  # "Photo Image URLs"; the id is unique over all servers
        r"https?://(?:live|farm\d+)\.static\.?flickr\.com/\d+/(\d+)_[0-9a-f]+(?:_\w)?\.\w+"
    ),
    url="https://api.flickr.com/services/rest",
)
