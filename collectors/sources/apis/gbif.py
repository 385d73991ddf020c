"""GBIF: pictures of occurrence records from museums and observers (API documentation: "Occurrence search")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo, documented_shape, plain_text
from collectors.sources.json_api import JsonApi
from workspace.config.collect import SearchConfig
from workspace.licenses import license_from

_PAGE_SIZE = 100  # at most 300
_MAX_DEPTH = 100_000  # offset + limit; beyond it the service asks for a download order


class Gbif:
    """Occurrences with still images, by scientific name, else by any text of the record.

    Args:
        search: base address; it cannot filter by licence, since it knows the record's licence and not the picture's.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._api = JsonApi(INFO.base_url(search))

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Ask for up to 100 records; the cursor is `field:offset`; see Source.search."""
        field, _, text = (cursor or "scientificName:0").partition(":")
        offset = int(text)
        question = {field: keyword, "mediaType": "StillImage", "limit": _PAGE_SIZE, "offset": offset}
        found, total, at_end = parse(self._api.ask(session, question, "/occurrence/search"))
        if field == "scientificName" and not total:
            return ResultPage((), "q:0")
        following = offset + _PAGE_SIZE
        more = not at_end and following + _PAGE_SIZE <= _MAX_DEPTH
        return ResultPage(found, f"{field}:{following}" if more else None)


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], int, bool]:
    """Read one answer: the pictures, the number of records in all, and whether these were the last.

    Raises:
        SourceFailed: `changed`: the answer has not the documented shape.
    """
    with documented_shape("GBIF"):
        total, at_end = int(payload["count"]), bool(payload["endOfRecords"])
        found = [
            _found(row, medium)
            for row in payload["results"]
            for medium in row.get("media", [])
            if medium.get("identifier") and _is_picture(medium)
        ]
    return tuple(found), total, at_end


def _is_picture(medium: Mapping[str, Any]) -> bool:
    kind, form = medium.get("type") or "StillImage", medium.get("format") or "image/"
    return kind == "StillImage" and str(form).startswith("image/")


def _found(row: Mapping[str, Any], medium: Mapping[str, Any]) -> SearchHit:
    terms = str(medium.get("license") or "")
    return SearchHit(
        image_url=str(medium["identifier"]),
        page_url=str(medium.get("references") or f"https://www.gbif.org/occurrence/{row['key']}"),
        title=plain_text(medium.get("title") or row.get("vernacularName") or row.get("scientificName")),
        creator=plain_text(medium.get("creator") or medium.get("rightsHolder") or row.get("rightsHolder")),
        license=license_from(terms),
        license_url=terms if "://" in terms else "",
    )


def _common_bird(_search: SearchConfig) -> str:
    return "Anas platyrhynchos"


INFO = SourceInfo(
    name="gbif",
    factory=Gbif,
    summary="Pictures of animals, plants and fungi from museums and observers; best with scientific names.",
    limits="100 records a page, 100,000 records deep; pictures come from many hosts, some of them slow; "
    "many are specimens on a sheet",
    licenses=True,
    url="https://api.gbif.org/v1",
    probe=_common_bird,
)
