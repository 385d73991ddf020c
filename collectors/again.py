"""Searches that already ran, asked again: a page each, once in a while, for what has come since."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from collectors.picture_url import picture_key
from collectors.polite import PoliteSession
from collectors.registry import make_sources, with_recorded_keys
from collectors.search import hits_of
from collectors.source import Source
from workspace.catalog import Catalog
from workspace.collection import class_states, urls_of
from workspace.config import WorkspaceConfig
from workspace.errors import SourceFailed
from workspace.paths import Workspace
from workspace.progress import SILENT, Progress
from workspace.records import Search, StepCounts


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Ask for one more page of every question that is due (`retrain.search_again_h`), and record what is new.

    An open question goes on with its next page. An exhausted one is asked for its first page anew, where a source
    shows what was added; the same for one that failed before its first. So a watch costs one request per class,
    keyword and source in so many hours, whatever it finds.

    Raises:
        ConfigError: a source is not known.
        WorkspaceError: the catalogue cannot be written.
    """
    due = due_searches(workspace, config)
    outcomes: Counter[str] = Counter()
    if due:
        sources = make_sources(with_recorded_keys(config))
        with Catalog(workspace.catalog_file) as catalog, PoliteSession(config.network) as session:
            progress.begin("Asking searches again", len(due))
            for state in due:
                before = catalog.hits_per_label().get(state.label, 0)
                after = _ask(catalog, session, sources[state.source], state)
                outcomes["new hits"] += catalog.hits_per_label().get(state.label, 0) - before
                if after.status == "failed":
                    outcomes["failed searches"] += 1
                    progress.warn(f"{state.source} failed for {state.keyword!r}: {after.reason} ({after.detail})")
                progress.advance()
    return StepCounts("search again", done=len(due), by_reason=dict(outcomes))


def due_searches(workspace: Workspace, config: WorkspaceConfig) -> list[Search]:
    """The questions of today's settings that were asked before, but not within `retrain.search_again_h`.

    Only those of classes that have fewer clean pictures than `search.per_class`: the others want no more.
    """
    hours = config.retrain.search_again_h
    if not hours:
        return []
    latest = datetime.now(UTC) - timedelta(hours=hours)
    with Catalog(workspace.catalog_file) as catalog:
        states = catalog.all(Search)
        classes = class_states(catalog, config.classes)
    lacking = {label for label, state in classes.items() if state.still_to_fetch(config.search.per_class)}
    return [
        state
        for state in states
        if state.label in lacking
        and state.keyword in config.classes.get(state.label, ())
        and state.source in config.search.sources
        and (not state.asked_at or datetime.fromisoformat(state.asked_at) <= latest)
    ]


def _ask(catalog: Catalog, session: PoliteSession, source: Source, state: Search) -> Search:
    try:
        page = source.search(session, state.keyword, state.cursor)
    except SourceFailed as error:
        after = replace(state, status="failed", reason=error.reason, detail=error.detail, asked_at=session.now())
    else:
        first_page = replace(state, found=0) if state.cursor is None else state
        known = {picture_key(url) for url in urls_of(catalog, state.label)}
        hits = [hit for hit in hits_of(first_page, page, session.now()) if picture_key(hit.image_url) not in known]
        catalog.add_new(hits)
        # An exhausted question stays so: its first page is all that is looked at from then on.
        exhausted = state.status == "exhausted" or page.next_cursor is None
        after = Search(
            state.label,
            state.keyword,
            state.source,
            "exhausted" if exhausted else "open",
            cursor=None if exhausted else page.next_cursor,
            found=state.found + (len(hits) if state.cursor is None else len(page.found)),
            asked_at=session.now(),
        )
    catalog.put([after])
    return after
