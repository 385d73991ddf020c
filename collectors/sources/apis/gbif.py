"""GBIF: images of occurrence records from museums and observers (API documentation: "Occurrence search")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.json_api import JsonApi
from collectors.sources.parsing import documented_shape, plain_text
from workspace.config.collect import SearchConfig
from workspace.licenses import license_from

_PAGE_SIZE = 100  # at most 300
_MAX_DEPTH = 100_000  # offset + limit; beyond it the service offers asynchronous downloads only


class Gbif:
    """Search occurrences with still images by scientific name, else by any text of the record.

    Args:
        search: base URL; the API filters by the record's licence only, not by the image's.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._api = JsonApi(INFO.base_url(search))

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request up to 100 records; the cursor is `field:offset`; see Source.search."""
        field, _, text = (cursor or "scientificName:0").partition(":")
        offset = int(text)
        params = {field: keyword, "mediaType": "StillImage", "limit": _PAGE_SIZE, "offset": offset}
        hits, total, at_end = parse(self._api.get(session, params, "/occurrence/search"))
        if field == "scientificName" and not total:
            return ResultPage((), "q:0")
        following = offset + _PAGE_SIZE
        more = not at_end and following + _PAGE_SIZE <= _MAX_DEPTH
        return ResultPage(hits, f"{field}:{following}" if more else None)


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], int, bool]:
    """Parse one answer: the hits, the total number of records, and whether this was the last page.

    Raises:
        SourceFailed: `changed`: the answer does not have the documented shape.
    """
    with documented_shape("GBIF"):
        total, at_end = int(payload["count"]), bool(payload["endOfRecords"])
        hits = [
            _hit(row, medium)
            for row in payload["results"]
            for medium in row.get("media", [])
            if medium.get("identifier") and _is_image(medium)
        ]
    return tuple(hits), total, at_end


def _is_image(medium: Mapping[str, Any]) -> bool:
    kind, form = medium.get("type") or "StillImage", medium.get("format") or "image/"
    return kind == "StillImage" and str(form).startswith("image/")


def _hit(row: Mapping[str, Any], medium: Mapping[str, Any]) -> SearchHit:
    terms = str(medium.get("license") or "")
    return SearchHit(
        image_url=str(medium["identifier"]),
        page_url=str(medium.get("references") or f"https://www.gbif.org/occurrence/{row['key']}"),
        title=plain_text(medium.get("title") or row.get("vernacularName") or row.get("scientificName")),
        creator=plain_text(medium.get("creator") or medium.get("rightsHolder") or row.get("rightsHolder")),
        license=license_from(terms),
        license_url=terms if "://" in terms else "",
    )


def _probe_keyword(_search: SearchConfig) -> str:
    return "Anas platyrhynchos"


INFO = SourceInfo(
    name="gbif",
    factory=Gbif,
    summary="Pictures of animals, plants and fungi from museums and observers; best with scientific names.",
    limits="100 records a page, 100,000 records deep; pictures come from many hosts, some of them slow; "
    "many are specimens on a sheet",
    licenses=True,
    url="https://api.gbif.org/v1",
    probe=_probe_keyword,
)
