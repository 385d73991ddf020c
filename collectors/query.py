"""Request one page of a query from a source; record the hits and the new state of the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, Source
from collectors.url_identity import MAX_URL_BYTES, canonical_url, image_key, is_too_long
from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import urls_of
from workspace.catalog.exclusions import record_exclusions
from workspace.catalog.hits.questions import Removed, adopt_found_again
from workspace.catalog.records import Download, Hit, Search
from workspace.errors import SourceFailed
from workspace.reasons import find_reason


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """The outcome of one page: new state of the query, number of urls new to the class, and how many are excluded.

    `notes` say in sentences what the source passed over.
    """

    state: Search
    new_urls: int = 0
    excluded: int = 0
    notes: tuple[str, ...] = ()


def known_images(catalog: Catalog, label: str, removed: Removed) -> dict[str, str]:
    """Map the images found for a class, by `image_key`, to the url at which each was found.

    One that only `removed` found, and that was not fetched, is not among them, so that it is found anew.
    """
    return {image_key(url): url for url in urls_of(catalog, label, removed)}


def current_state(catalog: Catalog, query: Search, scope: str) -> Search:
    """Return how far a query has come; one that was asked of something else than today begins anew.

    A folder to which files were added, or another list, depth, licence or service, has other answers than before.

    Args:
        catalog: holds the states.
        query: names label, keyword and source.
        scope: from `search_scope`, of today's settings and files.
    """
    state = catalog.search_state(query.label, query.keyword, query.source)
    if state is not None and not state.scope:  # of a version that did not record it; what has changed since is seen
        state = replace(state, scope=scope)
        catalog.put([state])
    if state is not None and state.scope == scope:
        return state
    return Search(query.label, query.keyword, query.source, "open", scope=scope)


def query_next_page(
    catalog: Catalog,
    session: PoliteSession,
    source: Source,
    state: Search,
    known: dict[str, str],
    licenses: Sequence[str] | None,
    removed: Removed,
    asked: set[int] | None = None,
) -> QueryOutcome:
    """Request the page at the query's cursor, and record the hits first, then the query's new state.

    A url of an image that the class has at another url is recorded as skipped. An exhausted query requests its first
    page again, and stays exhausted. A query whose next page was asked for before is exhausted too: a service that names
    such a page would name them for ever.

    Args:
        catalog: receives the hits and the state.
        session: sends the request.
        source: the source that `state` names.
        state: the query and its cursor.
        known: from `known_images`; images new to the class are added.
        licenses: the accepted licences (SearchConfig.wanted_licenses); None: any.
        removed: from `removed_questions`; what they found and this query finds too belongs to this query from then on.
        asked: hashes of the query's earlier cursors in this run; this one is added. Cursors themselves can be long.
    """
    asked = set() if asked is None else asked
    asked.add(hash(state.cursor))
    try:
        page = source.search(session, state.keyword, state.cursor)
    except SourceFailed as error:
        reason = find_reason(error.reason)
        is_end = reason is not None and reason.outcome == "exhausted"
        outcome = QueryOutcome(
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
        if hash(page.next_cursor) in asked:
            page = replace(page, next_cursor=None)
        outcome = _record(catalog, state, page, known, licenses, removed, session.now())
    catalog.put([outcome.state])
    return outcome


def _record(
    catalog: Catalog,
    state: Search,
    page: ResultPage,
    known: dict[str, str],
    licenses: Sequence[str] | None,
    removed: Removed,
    now: str,
) -> QueryOutcome:
    is_repeat = state.cursor is None and state.found > 0  # the first page again: ranks restart, most hits are known
    hits = hit_rows(replace(state, found=0) if is_repeat else state, page, now)
    new_urls, excluded = _add(catalog, hits, known, licenses)
    adopt_found_again(catalog, removed, hits)
    is_exhausted = page.next_cursor is None or state.status == "exhausted"
    after = replace(
        state,
        status="exhausted" if is_exhausted else "open",
        cursor=None if is_exhausted else page.next_cursor,
        found=state.found + (new_urls if is_repeat else len(page.hits)),
        reason="",
        detail="; ".join(filter(None, [state.detail if state.cursor is not None else "", *page.notes]))[:500],
        asked_at=now,
    )
    return QueryOutcome(after, new_urls, excluded, page.notes)


def _add(catalog: Catalog, hits: list[Hit], known: dict[str, str], licenses: Sequence[str] | None) -> tuple[int, int]:
    new_urls: set[str] = set()
    not_fetched = []
    for hit in hits:
        key = image_key(hit.image_url)
        if is_too_long(hit.image_url):
            detail = f"the url has more than {MAX_URL_BYTES:,} bytes"
            not_fetched.append(
                Download(hit.image_url, "refused", "bad_url", detail, attempts=0, fetched_at=hit.found_at)
            )
        if key not in known:
            known[key] = hit.image_url
            new_urls.add(hit.image_url)
        elif known[key] != hit.image_url:
            detail = f"another size of {known[key]}"
            not_fetched.append(
                Download(hit.image_url, "skipped", "same_picture", detail, attempts=0, fetched_at=hit.found_at)
            )
    catalog.add_new(hits)
    catalog.add_new(not_fetched)
    excluded = record_exclusions(catalog, licenses, [hit.image_url for hit in hits])
    return len(new_urls), len(new_urls & excluded)


def hit_rows(state: Search, page: ResultPage, now: str) -> list[Hit]:
    """Convert the hits of a page to rows of the catalogue; ranks continue from `state.found`."""
    return [
        Hit(
            label=state.label,
            keyword=state.keyword,
            source=state.source,
            rank=state.found + index,
            image_url=canonical_url(hit.image_url),
            page_url=hit.page_url,
            title=hit.title,
            creator=hit.creator,
            license=hit.license,
            license_url=hit.license_url,
            attribution=hit.attribution,
            width=hit.width,
            height=hit.height,
            found_at=now,
        )
        for index, hit in enumerate(page.hits)
    ]
