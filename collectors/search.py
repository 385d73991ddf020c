"""STEP keywords → hits: ask every source in turn until each class has enough, or no source has more."""

from __future__ import annotations

from collections import Counter

from collectors.polite import PoliteSession
from collectors.registry import make_sources, with_recorded_keys
from collectors.source import Page, Source
from workspace.catalog import Catalog
from workspace.config import WorkspaceConfig
from workspace.errors import CollectError, SourceFailed
from workspace.paths import Workspace
from workspace.progress import SILENT, Progress
from workspace.records import Hit, Search, StepCounts


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Find pictures for every class; a question that was answered before is not asked again.

    Sources and keywords take turns page by page, so that no class is all of one of them. A source that fails is
    recorded with its reason, the others go on, and the next run asks it again.

    Raises:
        ConfigError: a source is not known.
        CollectError: nothing was found at all, now or before; lists what each source said.
        WorkspaceError: the catalogue cannot be written.
    """
    sources = make_sources(with_recorded_keys(config))
    with Catalog(workspace.catalog_file) as catalog, PoliteSession(config.network) as session:
        before = sum(catalog.hits_per_label().values())
        progress.begin("Searching", len(config.classes))
        notes: list[str] = []
        for label, keywords in config.classes.items():
            notes += _search_class(catalog, session, sources, label, keywords, config.search.per_class)
            progress.advance()
        for note in notes:
            progress.say(note)
        found = catalog.hits_per_label()
        states = Counter(search.status for search in catalog.all(Search))
    total = sum(found.values())
    if not total:
        raise CollectError(
            "no source gave a single picture:\n  " + "\n  ".join(notes) + "\nThe same command goes on from here later; "
            "`collect-and-train sources --check` says which sources are up"
        )
    by_reason = {"found": total} | {f"found for {label}": found.get(label, 0) for label in config.classes}
    if states["failed"]:
        by_reason["failed searches"] = states["failed"]
    return StepCounts("search", done=total - before, reused=before, by_reason=by_reason, notes=tuple(notes))


def _search_class(
    catalog: Catalog,
    session: PoliteSession,
    sources: dict[str, Source],
    label: str,
    keywords: tuple[str, ...],
    wanted: int,
) -> list[str]:
    open_questions = []
    for keyword in keywords:
        for name in sources:
            state = catalog.search_state(label, keyword, name) or Search(label, keyword, name, "open")
            if state.status != "exhausted":
                open_questions.append(state)
    notes = []
    while open_questions and catalog.hits_per_label().get(label, 0) < wanted:
        state = open_questions.pop(0)
        state = _ask_page(catalog, session, sources[state.source], state)
        if state.status == "open":
            open_questions.append(state)
        elif state.status == "failed":
            notes.append(f"{state.source} failed for {state.keyword!r}: {state.reason} ({state.detail})")
    have = catalog.hits_per_label().get(label, 0)
    if have < wanted:
        why = "a source failed" if notes else "the sources have no more"
        notes.append(f"{label}: {have} pictures found of {wanted} wanted; {why}")
    return notes


def _ask_page(catalog: Catalog, session: PoliteSession, source: Source, state: Search) -> Search:
    """Ask for one page and record what came of it: the hits first, then the question's new state."""
    question = (state.label, state.keyword, state.source)
    try:
        page = source.search(session, state.keyword, state.cursor)
    except SourceFailed as error:
        after = Search(
            *question,
            "failed",
            state.cursor,
            state.found,
            reason=error.reason,
            detail=error.detail,
            asked_at=session.now(),
        )
    else:
        now = session.now()
        catalog.add_hits(_hits(state, page, now))
        status = "open" if page.next_cursor is not None else "exhausted"
        after = Search(*question, status, page.next_cursor, state.found + len(page.found), asked_at=now)
    catalog.put([after])
    return after


def _hits(state: Search, page: Page, now: str) -> list[Hit]:
    return [
        Hit(
            label=state.label,
            keyword=state.keyword,
            source=state.source,
            rank=state.found + place,
            image_url=found.image_url,
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
        for place, found in enumerate(page.found)
    ]
