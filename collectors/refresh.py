"""Refresh earlier searches: request one more page of each, to find what was added since."""

from __future__ import annotations

from collections import Counter

from collectors.query import current_state, known_images, query_next_page
from collectors.sources.registry import make_sources, open_session, search_scope, with_recorded_keys
from workspace.catalog.class_progress import class_progress
from workspace.catalog.hits.questions import Questions, removed_questions
from workspace.catalog.records import Search, StepCounts
from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress
from workspace.storage.paths import Workspace


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Request one more page of every search that is due (`retrain.search_again_h`), and record the new hits.

    An open search continues with its next page. An exhausted one requests its first page again, where a source shows
    what was added; so does one that failed on its first page. A refresh costs one request per class, keyword and
    source.

    Raises:
        ConfigError: a source is not known.
        WorkspaceError: the catalogue cannot be written.
    """
    due = due_searches(workspace, config)
    counts: Counter[str] = Counter()
    if due:
        config = with_recorded_keys(config)
        sources = make_sources(config.search)
        with workspace.open_catalog() as catalog, open_session(config.network) as session:
            progress.begin("Refreshing searches", len(due))
            removed = removed_questions(catalog, Questions.of(config))
            for query in due:
                source = sources[query.source]
                state = current_state(catalog, query, search_scope(config, query.source, source, query.keyword))
                known, licenses = known_images(catalog, state.label, removed), config.search.wanted_licenses
                outcome = query_next_page(catalog, session, source, state, known, licenses, removed)
                after = outcome.state
                for note in outcome.notes:
                    progress.warn(note)
                counts["new hits"] += outcome.new_urls
                if after.status == "failed":
                    counts["failed searches"] += 1
                    progress.warn(f"{state.source} failed for {state.keyword!r}: {after.reason} ({after.detail})")
                progress.advance()
    return StepCounts("refresh", done=len(due), by_reason=dict(counts))


def due_searches(workspace: Workspace, config: WorkspaceConfig) -> list[Search]:
    """Return the searches of the current settings that last ran before `retrain.search_again_h`.

    Searches of classes that have `search.per_class` clean images are left out.
    """
    interval_h = config.retrain.search_again_h
    if not interval_h:
        return []
    latest, now = utc_now(ago_s=3600 * interval_h), utc_now()
    questions = Questions.of(config)
    with workspace.open_catalog() as catalog:
        states = catalog.all(Search)
        classes = class_progress(catalog, config.collected, questions)
    lacking = {label for label, state in classes.items() if state.still_to_fetch(config.search.per_class)}
    return [
        state
        for state in states
        if state.label in lacking
        and questions.has(state)
        and not latest < state.asked_at <= now  # one of the future was written by a clock that was wrong
    ]
