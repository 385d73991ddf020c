"""iNaturalist: photographs of animals, plants and fungi, identified by people (API v1: "GET /observations")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.json_api import JsonApi
from collectors.sources.parsing import documented_shape, expect_hits, pixels, plain_text
from workspace.config.collect import SearchConfig
from workspace.licenses import license_from

_PAGE_SIZE = 100
_MEDIUM_PX = 500  # longer side of the size called medium
_LICENSE_CODES = {"cc0": "cc0", "pdm": "pd"}


class INaturalist:
    """Search research-grade observations of a taxon by its scientific or common name.

    Args:
        search: base URL and licence filter.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._api = JsonApi(INFO.base_url(search))
        self._licenses = search.licenses

    def scope(self, keyword: str) -> object:
        """See Scoped.scope: the licences that are asked for."""
        return self._licenses

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request up to 100 observations, newest first; a keyword that is no taxon is then searched in all texts.

        The cursor is `field:id`: page numbers end at 10,000 results, ids do not; see Source.search.
        """
        field, _, id_below = (cursor or "taxon_name:").partition(":")
        hits, last_id, total = parse(self._api.get(session, self._params(field, keyword, id_below), "/observations"))
        if field == "taxon_name" and not id_below and not total:
            return ResultPage((), "q:")
        # Ids that do not fall come from a service that leaves id_below unheeded: they would never end.
        more = last_id is not None and (not id_below or last_id < int(id_below))
        return ResultPage(hits, f"{field}:{last_id}" if more else None)

    def _params(self, field: str, keyword: str, id_below: str) -> dict[str, str]:
        params = {
            field: keyword,
            "photos": "true",
            "quality_grade": "research",
            "order_by": "id",
            "order": "desc",
            "per_page": str(_PAGE_SIZE),
        }
        if id_below:
            params["id_below"] = id_below
        if self._licenses:
            params["photo_license"] = ",".join(_LICENSE_CODES.get(name, f"cc-{name}") for name in self._licenses)
        return params


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], int | None, int]:
    """Parse one answer: the hits, the last observation's id (None on the last page), and the total number.

    Raises:
        SourceFailed: `changed`: the answer does not have the documented shape.
    """
    with documented_shape("iNaturalist"):
        total, rows = int(payload["total_results"]), payload["results"]
        hits = tuple(_hit(row, photo) for row in rows for photo in row["photos"] if photo.get("url"))
        # total_results counts the observations below `id_below`, so the last page is the one that holds them all.
        last_id = int(rows[-1]["id"]) if rows and total > len(rows) else None
        expect_hits(rows, hits)
    return hits, last_id, total


def _hit(row: Mapping[str, Any], photo: Mapping[str, Any]) -> SearchHit:
    taxon, user = row.get("taxon") or {}, row.get("user") or {}
    size = photo.get("original_dimensions") or {}
    width, height = pixels(size.get("width")), pixels(size.get("height"))
    if width and height:
        scale = min(1.0, _MEDIUM_PX / max(width, height))
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    return SearchHit(
        # The sizes are square, small, medium, large, original; the API gives the url of square only.
        image_url=re.sub(r"/square(?=\.\w+)", "/medium", str(photo["url"])),
        page_url=str(row.get("uri") or f"https://www.inaturalist.org/observations/{row['id']}"),
        title=plain_text(taxon.get("preferred_common_name") or taxon.get("name") or row.get("species_guess")),
        creator=plain_text(user.get("name") or user.get("login")),
        license=license_from(str(photo.get("license_code") or "")),
        attribution=plain_text(photo.get("attribution")),
        width=width,
        height=height,
    )


def _probe_keyword(_search: SearchConfig) -> str:
    return "mallard"


INFO = SourceInfo(
    name="inaturalist",
    factory=INaturalist,
    summary="Photographs of animals, plants and fungi, identified by at least two people, with licence.",
    limits="100 observations a page; at most 60 requests a minute and 10,000 a day; pictures of 500 px",
    licenses=True,
    pause_s=1.0,  # "API Recommended Practices": about one request a second
    image_urls=re.compile(  # "iNaturalist Licensed Observation Images" (open data)
        r"https?://(?:inaturalist-open-data\.s3(?:[.\w-]*)\.amazonaws\.com|static\.inaturalist\.org)"
        r"/photos/(\d+)/\w+\.\w+"
    ),
    url="https://api.inaturalist.org/v1",
    probe=_probe_keyword,
)
