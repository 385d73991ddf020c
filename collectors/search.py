"""STEP keywords → hits: query the sources in turn until each class has enough hits or no source has more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from collectors.http.session import PoliteSession
from collectors.query import QueryOutcome, current_state, known_images, query_next_page
from collectors.sources.base import Labelled, Source
from collectors.sources.registry import make_sources, open_session, search_scope, with_recorded_keys
from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import class_progress
from workspace.catalog.counts import download_counts
from workspace.catalog.exclusions import record_exclusions
from workspace.catalog.hits.questions import Questions, begin_anew_after_removals, removed_questions
from workspace.catalog.records import Search, StepCounts
from workspace.config.collect import ALL_PICTURES
from workspace.config.model import WorkspaceConfig
from workspace.errors import CollectError, ConfigError
from workspace.progress import SILENT, Progress
from workspace.storage.paths import Workspace
from workspace.text.counts import counted


def run(
    workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT, *, retry_failed: bool = True
) -> StepCounts:
    """Search for as many images of every class as it probably still needs; answered queries are not repeated.

    Those beside a keyword that was removed are, once, since it may have hidden what they found.
    Sources and keywords take turns page by page, and each source is queried at least once, so that no class comes from
    one source alone. A source that fails is recorded with its reason, and the others continue.

    Args:
        workspace: whose catalogue it is.
        config: classes, sources, and the wanted number of clean images.
        progress: receives progress and failures.
        retry_failed: repeat queries that failed in an earlier run; off in later rounds of one run.

    Raises:
        ConfigError: a source is unknown, or every hit is excluded.
        CollectError: no source has given a hit, now or before; lists the failure of each source.
        WorkspaceError: the catalogue cannot be written.
    """
    config = with_recorded_keys(config)
    sources = make_sources(config.search)
    with workspace.open_catalog() as catalog, open_session(config.network) as session:
        before = sum(catalog.hits_per_label().values())
        record_exclusions(catalog, config.search.wanted_licenses)
        begin_anew_after_removals(catalog, Questions.of(config))
        searched = [label for label, keywords in config.collected.items() if keywords]
        progress.begin("Searching", len(searched))
        searching = _Searching(catalog, session, sources, config, retry_failed)
        for label in searched:
            searching.fill(label)
            progress.advance()
        left_out = _left_out(config, sources) if retry_failed else ()  # said once, not in every round
        notes = tuple(dict.fromkeys((*left_out, *searching.notes)))
        for note in notes:
            progress.warn(note)
        hits = catalog.hits_per_label()
        states = Counter(search.status for search in catalog.all(Search))
        outcomes = download_counts(catalog)
    total = sum(hits.values())
    if not total:
        raise CollectError(
            "no source found a picture:\n  " + "\n  ".join(notes) + "\nRun "
            "`collect-and-train sources --check` to see which sources are up; the same command continues from here"
        )
    excluded = {reason: count for reason, count in outcomes.items() if reason.startswith(("skipped", "withdrawn"))}
    if excluded and sum(excluded.values()) == sum(outcomes.values()) == total:
        raise ConfigError(
            f"all {total} pictures that were found are excluded ({_listed(excluded)}): relax search.licenses or "
            "search.exclude_licenses, or name sources that give licences"
        )
    by_reason = {"found": total} | {f"found for {label}": hits.get(label, 0) for label in searched}
    if states["failed"]:
        by_reason["failed searches"] = states["failed"]
    by_reason |= excluded
    return StepCounts("search", done=total - before, reused=before, by_reason=by_reason, notes=notes)


def _left_out(config: WorkspaceConfig, sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Say what a person's own pictures have that no keyword finds."""
    keywords = [word for words in config.collected.values() for word in words]
    labelled = [source for source in sources.values() if isinstance(source, Labelled)]
    return tuple(note for source in labelled for note in source.left_out(keywords))


def retry_searches(
    workspace: Workspace, config: WorkspaceConfig, searches: Sequence[Search], progress: Progress = SILENT
) -> int:
    """Repeat searches, one page each, whether or not more images are wanted.

    Searches of a class, keyword or source that the settings no longer name are left out.

    Returns:
        The number of repeated searches.

    Raises:
        ConfigError: a source is unknown.
        WorkspaceError: the catalogue cannot be written.
    """
    config = with_recorded_keys(config)
    sources = make_sources(config.search)
    current = [state for state in searches if Questions.of(config).has(state)]
    with workspace.open_catalog() as catalog, open_session(config.network) as session:
        progress.begin("Repeating failed searches", len(current))
        searching = _Searching(catalog, session, sources, config, retry_failed=True)
        for state in current:
            searching.query(searching.current(state), searching.known(state.label))
            progress.advance()
        for note in dict.fromkeys(searching.notes):
            progress.warn(note)
    return len(current)


class _Searching:
    """The queries of one run; `notes` collects messages for the user."""

    def __init__(
        self,
        catalog: Catalog,
        session: PoliteSession,
        sources: dict[str, Source],
        config: WorkspaceConfig,
        retry_failed: bool,
    ) -> None:
        self._catalog, self._session, self._sources, self._config = catalog, session, sources, config
        self._finished = {"exhausted"} if retry_failed else {"exhausted", "failed"}
        # Hashes of the cursors of each query.
        self._asked: defaultdict[tuple[str, str, str], set[int]] = defaultdict(set)
        questions = Questions.of(config)
        self._states = class_progress(catalog, config.collected, questions)
        self._removed = removed_questions(catalog, questions)
        self.notes: list[str] = []

    def fill(self, label: str) -> None:
        """Query the sources for one class until enough urls wait for download, or no query is left."""
        search, state = self._config.search, self._states[label]
        wanted, waiting, found = state.still_to_fetch(search.per_class), state.waiting, state.found_today
        if not wanted:
            return
        limit = search.max_found_per_picture * search.per_class
        queries, unqueried = self._queries(label)
        known = self.known(label)
        failed = False
        while queries and found < limit and (waiting < wanted or unqueried):
            state_before = queries.pop(0)
            unqueried.discard(state_before.source)
            outcome = self.query(state_before, known)
            after = outcome.state
            waiting, found = waiting + outcome.new_urls - outcome.excluded, found + outcome.new_urls
            if after.status == "open":
                queries.append(after)
            elif after.status == "failed":
                failed = True
                self.notes.append(f"{after.source} failed for {after.keyword!r}: {after.reason} ({after.detail})")
        if waiting < wanted and search.per_class != ALL_PICTURES:
            why = "a source failed" if failed else "the sources have no more"
            why = f"the limit is {limit} (search.max_found_per_picture)" if found >= limit else why
            self.notes.append(f"{label}: {counted(found, 'picture')} found, {wanted - waiting} more wanted; {why}")

    def _queries(self, label: str) -> tuple[list[Search], set[str]]:
        """Return the queries to run, fewest hits first, and the sources that were never queried for this class."""
        queries, queried = [], set()
        for keyword in self._config.collected[label]:
            for name in self._sources:
                state = self.current(Search(label, keyword, name, "open"))
                if state.asked_at:
                    queried.add(name)
                if state.status not in self._finished:
                    queries.append(state)
        return sorted(queries, key=lambda state: state.found), self._sources.keys() - queried

    def current(self, query: Search) -> Search:
        """Return how far a query has come; see current_state."""
        scope = search_scope(self._config, query.source, self._sources[query.source], query.keyword)
        return current_state(self._catalog, query, scope)

    def known(self, label: str) -> dict[str, str]:
        """Read the images that are known for a class; see known_images."""
        return known_images(self._catalog, label, self._removed)

    def query(self, state: Search, known: dict[str, str]) -> QueryOutcome:
        """Request one page of a query."""
        source, licenses = self._sources[state.source], self._config.search.wanted_licenses
        asked, removed = self._asked[state.label, state.keyword, state.source], self._removed
        outcome = query_next_page(self._catalog, self._session, source, state, known, licenses, removed, asked)
        self.notes += outcome.notes
        return outcome


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())
