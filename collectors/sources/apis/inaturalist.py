"""iNaturalist: photographs of animals, plants and fungi, named by people (API v1: "GET /observations")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo, documented_shape, expect_hits, pixels, plain_text
from collectors.sources.json_api import JsonApi
from workspace.config.collect import SearchConfig
from workspace.licenses import license_from

_PAGE_SIZE = 100
_MEDIUM_PX = 500  # longer side of the size called medium
_OWN_NAMES = {"cc0": "cc0", "pdm": "pd"}


class INaturalist:
    """Research-grade observations of a taxon, by its scientific or common name.

    Args:
        search: base address and licence filter.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._api = JsonApi(INFO.base_url(search))
        self._licenses = search.licenses

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Ask for up to 100 observations, newest first; a name of no taxon is then looked for in all texts.

        The cursor is `field:id`: page numbers end at 10,000 results, while ids do not; see Source.search.
        """
        field, _, below = (cursor or "taxon_name:").partition(":")
        found, last, total = parse(self._api.ask(session, self._question(field, keyword, below), "/observations"))
        if field == "taxon_name" and not below and not total:
            return ResultPage((), "q:")
        return ResultPage(found, f"{field}:{last}" if last is not None else None)

    def _question(self, field: str, keyword: str, below: str) -> dict[str, str]:
        question = {
            field: keyword,
            "photos": "true",
            "quality_grade": "research",
            "order_by": "id",
            "order": "desc",
            "per_page": str(_PAGE_SIZE),
        }
        if below:
            question["id_below"] = below
        if self._licenses:
            question["photo_license"] = ",".join(_OWN_NAMES.get(name, f"cc-{name}") for name in self._licenses)
        return question


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], int | None, int]:
    """Read one answer: the pictures, the last observation's id (None at the end), and how many there are in all.

    Raises:
        SourceFailed: `changed`: the answer has not the documented shape.
    """
    with documented_shape("iNaturalist"):
        total, rows = int(payload["total_results"]), payload["results"]
        found = tuple(_found(row, photo) for row in rows for photo in row["photos"] if photo.get("url"))
        # total_results counts what is left below the last id, so the last page is the one that holds all of it.
        last = int(rows[-1]["id"]) if rows and total > len(rows) else None
        expect_hits(rows, found)
    return found, last, total


def _found(row: Mapping[str, Any], photo: Mapping[str, Any]) -> SearchHit:
    taxon, user = row.get("taxon") or {}, row.get("user") or {}
    size = photo.get("original_dimensions") or {}
    width, height = pixels(size.get("width")), pixels(size.get("height"))
    if width and height:
        scale = min(1.0, _MEDIUM_PX / max(width, height))
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    return SearchHit(
        # The sizes are square, small, medium, large, original; the API gives the address of square only.
        image_url=re.sub(r"/square(?=\.\w+)", "/medium", str(photo["url"])),
        page_url=str(row.get("uri") or f"https://www.inaturalist.org/observations/{row['id']}"),
        title=plain_text(taxon.get("preferred_common_name") or taxon.get("name") or row.get("species_guess")),
        creator=plain_text(user.get("name") or user.get("login")),
        license=license_from(str(photo.get("license_code") or "")),
        attribution=plain_text(photo.get("attribution")),
        width=width,
        height=height,
    )


def _common_bird(_search: SearchConfig) -> str:
    return "mallard"


INFO = SourceInfo(
    name="inaturalist",
    factory=INaturalist,
    summary="Photographs of animals, plants and fungi, identified by at least two people, with licence.",
    limits="100 observations a page; at most 60 questions a minute and 10,000 a day; pictures of 500 px",
    licenses=True,
    pause_s=1.0,  # "API Recommended Practices": about one question a second
    image_urls=re.compile(  # "iNaturalist Licensed Observation Images" (open data)
        r"https?://(?:inaturalist-open-data\.s3(?:[.\w-]*)\.amazonaws\.com|static\.inaturalist\.org)"
        r"/photos/(\d+)/\w+\.\w+"
    ),
    url="https://api.inaturalist.org/v1",
    probe=_common_bird,
)
