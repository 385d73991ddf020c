"""Ask a source for one page of a query, and record the hits and the query's new state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, Source
from collectors.url_identity import canonical_url, image_key
from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import urls_of
from workspace.catalog.exclusions import record_exclusions
from workspace.catalog.records import Download, Hit, Search
from workspace.errors import SourceFailed
from workspace.reasons import find_reason


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """What came of one page: the query's new state, urls new to the class, and how many of these are left out."""

    state: Search
    fresh: int = 0
    left_out: int = 0


def known_images(catalog: Catalog, label: str) -> dict[str, str]:
    """Map the images that were found for a class, by `image_key`, to the url at which each was found."""
    return {image_key(url): url for url in urls_of(catalog, label)}


def query_next_page(
    catalog: Catalog,
    session: PoliteSession,
    source: Source,
    state: Search,
    known: dict[str, str],
    licenses: Sequence[str] | None,
) -> QueryOutcome:
    """Ask for the page at the query's cursor, and record the hits first, then the query's new state.

    A url of an image that the class has at another url is recorded as skipped. A query that was exhausted is asked for
    its first page, and stays exhausted.

    Args:
        catalog: where it is recorded.
        session: the request goes through it.
        source: the one that `state` names.
        state: how far the query has come.
        known: as `known_images` gives it; what is new to the class is added.
        licenses: what an image may have (SearchConfig.wanted_licenses); None: any.
    """
    try:
        page = source.search(session, state.keyword, state.cursor)
    except SourceFailed as error:
        reason = find_reason(error.reason)
        is_end = reason is not None and reason.outcome == "exhausted"
        asked = QueryOutcome(
            replace(
                state,
                status="exhausted" if is_end else "failed",
                cursor=None if is_end else state.cursor,
                reason=error.reason,
                detail=error.detail,
                asked_at=session.now(),
            )
        )
    else:
        asked = _record(catalog, state, page, known, licenses, session.now())
    catalog.put([asked.state])
    return asked


def _record(
    catalog: Catalog, state: Search, page: ResultPage, known: dict[str, str], licenses: Sequence[str] | None, now: str
) -> QueryOutcome:
    again = state.cursor is None and state.found > 0  # the first page anew: ranks begin again, and most is known
    hits = hit_rows(replace(state, found=0) if again else state, page, now)
    fresh, left_out = _add(catalog, hits, known, licenses)
    over = page.next_cursor is None or state.status == "exhausted"
    after = replace(
        state,
        status="exhausted" if over else "open",
        cursor=None if over else page.next_cursor,
        found=state.found + (fresh if again else len(page.hits)),
        reason="",
        detail="",
        asked_at=now,
    )
    return QueryOutcome(after, fresh, left_out)


def _add(catalog: Catalog, hits: list[Hit], known: dict[str, str], licenses: Sequence[str] | None) -> tuple[int, int]:
    fresh: set[str] = set()
    same = []
    for hit in hits:
        key = image_key(hit.image_url)
        if key not in known:
            known[key] = hit.image_url
            fresh.add(hit.image_url)
        elif known[key] != hit.image_url:
            detail = f"another size of {known[key]}"
            same.append(Download(hit.image_url, "skipped", "same_picture", detail, attempts=0, fetched_at=hit.found_at))
    catalog.add_new(hits)
    catalog.add_new(same)
    left_out = record_exclusions(catalog, licenses, [hit.image_url for hit in hits])
    return len(fresh), len(fresh & left_out)


def hit_rows(state: Search, page: ResultPage, now: str) -> list[Hit]:
    """What a page gave, as rows; ranks go on from `state.found`."""
    return [
        Hit(
            label=state.label,
            keyword=state.keyword,
            source=state.source,
            rank=state.found + place,
            image_url=canonical_url(found.image_url),
            page_url=found.page_url,
            title=found.title,
            creator=found.creator,
            license=found.license,
            license_url=found.license_url,
            attribution=found.attribution,
            width=found.width,
            height=found.height,
            found_at=now,
        )
        for place, found in enumerate(page.hits)
    ]
