"""Searches that already ran, asked again: a page each, once in a while, for what has come since."""

from __future__ import annotations

from collections import Counter

from collectors.query import known_images, query_next_page
from collectors.sources.registry import make_sources, open_session, with_recorded_keys
from workspace.catalog.class_progress import class_progress
from workspace.catalog.records import Search, StepCounts
from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress
from workspace.storage.paths import Workspace


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
        with workspace.open_catalog() as catalog, open_session(config.network) as session:
            progress.begin("Asking searches again", len(due))
            for state in due:
                known = known_images(catalog, state.label)
                asked = query_next_page(
                    catalog, session, sources[state.source], state, known, config.search.wanted_licenses
                )
                after = asked.state
                outcomes["new hits"] += asked.fresh
                if after.status == "failed":
                    outcomes["failed searches"] += 1
                    progress.warn(f"{state.source} failed for {state.keyword!r}: {after.reason} ({after.detail})")
                progress.advance()
    return StepCounts("refresh", done=len(due), by_reason=dict(outcomes))


def due_searches(workspace: Workspace, config: WorkspaceConfig) -> list[Search]:
    """The questions of today's settings that were asked before, but not within `retrain.search_again_h`.

    Only those of classes that have fewer clean pictures than `search.per_class`: the others want no more.
    """
    hours = config.retrain.search_again_h
    if not hours:
        return []
    latest = utc_now(ago_s=3600 * hours)
    with workspace.open_catalog() as catalog:
        states = catalog.all(Search)
        classes = class_progress(catalog, config.classes)
    lacking = {label for label, state in classes.items() if state.still_to_fetch(config.search.per_class)}
    return [
        state
        for state in states
        if state.label in lacking
        and state.keyword in config.classes.get(state.label, ())
        and state.source in config.search.sources
        and state.asked_at <= latest
    ]
