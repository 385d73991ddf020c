"""STEP keywords → hits: ask every source in turn until each class has enough, or no source has more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from collectors.http.session import PoliteSession
from collectors.query import QueryOutcome, known_images, query_next_page
from collectors.sources.base import Source
from collectors.sources.registry import make_sources, open_session, with_recorded_keys
from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import class_progress
from workspace.catalog.counts import download_counts
from workspace.catalog.exclusions import record_exclusions
from workspace.catalog.records import Search, StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.errors import CollectError, ConfigError
from workspace.progress import SILENT, Progress
from workspace.storage.paths import Workspace


def run(
    workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT, *, retry_failed: bool = True
) -> StepCounts:
    """Find as many pictures of every class as it probably still needs; no answered question is asked again.

    Sources and keywords take turns page by page, and each source is asked at least once, so that no class is all of
    one of them. A source that fails is recorded with its reason, and the others go on.

    Args:
        workspace: whose catalogue it is.
        config: classes, sources, and how many clean pictures are wanted.
        progress: is told what failed.
        retry_failed: ask again what failed in an earlier run; off in later rounds of one run.

    Raises:
        ConfigError: a source is not known, or all that was found is left out.
        CollectError: nothing was found at all, now or before; lists what each source said.
        WorkspaceError: the catalogue cannot be written.
    """
    sources = make_sources(with_recorded_keys(config))
    with workspace.open_catalog() as catalog, open_session(config.network) as session:
        before = sum(catalog.hits_per_label().values())
        record_exclusions(catalog, config.search.wanted_licenses)
        progress.begin("Searching", len(config.classes))
        asking = _Searching(catalog, session, sources, config, retry_failed)
        for label in config.classes:
            asking.fill(label)
            progress.advance()
        notes = tuple(asking.notes)
        for note in notes:
            progress.warn(note)
        found = catalog.hits_per_label()
        states = Counter(search.status for search in catalog.all(Search))
        outcomes = download_counts(catalog)
    total = sum(found.values())
    if not total:
        raise CollectError(
            "no source gave a single picture:\n  " + "\n  ".join(notes) + "\nThe same command goes on from here later; "
            "`collect-and-train sources --check` says which sources are up"
        )
    left_out = {reason: count for reason, count in outcomes.items() if reason.startswith(("skipped", "withdrawn"))}
    if left_out and sum(left_out.values()) == sum(outcomes.values()) == total:
        raise ConfigError(
            f"all {total} pictures that were found are left out ({_listed(left_out)}): widen search.licenses or "
            "search.exclude_licenses, or name sources that say under which licence a picture is"
        )
    by_reason = {"found": total} | {f"found for {label}": found.get(label, 0) for label in config.classes}
    if states["failed"]:
        by_reason["failed searches"] = states["failed"]
    by_reason |= left_out
    return StepCounts("search", done=total - before, reused=before, by_reason=by_reason, notes=notes)


def retry_searches(
    workspace: Workspace, config: WorkspaceConfig, questions: Sequence[Search], progress: Progress = SILENT
) -> int:
    """Ask these questions once more, one page each, whether or not more pictures are wanted.

    Those of a class, keyword or source that the settings no longer name stay as they are.

    Returns:
        How many were asked.

    Raises:
        ConfigError: a source is not known.
        WorkspaceError: the catalogue cannot be written.
    """
    sources = make_sources(with_recorded_keys(config))
    named = [one for one in questions if one.source in sources and one.keyword in config.classes.get(one.label, ())]
    with workspace.open_catalog() as catalog, open_session(config.network) as session:
        progress.begin("Asking again", len(named))
        asking = _Searching(catalog, session, sources, config, retry_failed=True)
        for question in named:
            asking.ask(question, known_images(catalog, question.label))
            progress.advance()
    return len(named)


class _Searching:
    """The questions of one run; `notes` gathers what a person should know."""

    def __init__(
        self,
        catalog: Catalog,
        session: PoliteSession,
        sources: dict[str, Source],
        config: WorkspaceConfig,
        retry_failed: bool,
    ) -> None:
        self._catalog, self._session, self._sources, self._config = catalog, session, sources, config
        self._over = {"exhausted"} if retry_failed else {"exhausted", "failed"}
        self._states = class_progress(catalog, config.classes)
        self.notes: list[str] = []

    def fill(self, label: str) -> None:
        """Ask for one class until enough addresses wait, or there is nothing more to ask."""
        search, state = self._config.search, self._states[label]
        wanted, waiting, found = state.still_to_fetch(search.per_class), state.waiting, state.found
        if not wanted:
            return
        limit = search.max_found_per_picture * search.per_class
        questions, unasked = self._questions(label)
        known = known_images(self._catalog, label)
        failed = False
        while questions and found < limit and (waiting < wanted or unasked):
            question = questions.pop(0)
            unasked.discard(question.source)
            asked = self.ask(question, known)
            after = asked.state
            waiting, found = waiting + asked.fresh - asked.left_out, found + asked.fresh
            if after.status == "open":
                questions.append(after)
            elif after.status == "failed":
                failed = True
                self.notes.append(f"{after.source} failed for {after.keyword!r}: {after.reason} ({after.detail})")
        if waiting < wanted:
            why = "a source failed" if failed else "the sources have no more"
            why = f"the limit is {limit} (search.max_found_per_picture)" if found >= limit else why
            self.notes.append(f"{label}: {found} pictures found, {wanted - waiting} more wanted; {why}")

    def _questions(self, label: str) -> tuple[list[Search], set[str]]:
        """What may be asked, the least fruitful first, and the sources that were never asked for this class."""
        questions, asked = [], set()
        for keyword in self._config.classes[label]:
            for name in self._sources:
                state = self._catalog.search_state(label, keyword, name)
                if state is not None:
                    asked.add(name)
                if state is None or state.status not in self._over:
                    questions.append(state or Search(label, keyword, name, "open"))
        return sorted(questions, key=lambda one: one.found), self._sources.keys() - asked

    def ask(self, state: Search, known: dict[str, str]) -> QueryOutcome:
        """Ask for one page of a query."""
        licenses = self._config.search.wanted_licenses
        return query_next_page(self._catalog, self._session, self._sources[state.source], state, known, licenses)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())
