"""Rounds of search, download and clean until every class has its clean pictures or can get no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from flows.step_table import Phase, steps_of
from workspace.catalog.class_progress import ClassProgress, class_progress
from workspace.catalog.exclusions import exclusion_counts
from workspace.catalog.records import Search, StepCounts
from workspace.catalog.renamed_classes import plan_carry_over
from workspace.config.model import WorkspaceConfig
from workspace.reasons import in_order
from workspace.storage.paths import Workspace

RunStep = Callable[[str, int], StepCounts]
"""Runs a step by its name in a round, counted from 1: as a Prefect task, or as a plain function."""


def collect_until_clean(workspace: Workspace, config: WorkspaceConfig, run_step: RunStep) -> dict[str, StepCounts]:
    """Take in the inbox, then repeat search, download and clean until no class gains, up to `search.max_rounds` times.

    Each round asks for what is missing, divided by the share of pictures that turned out clean so far.

    Returns:
        The counts of each step over all rounds; the notes of `search` say how every class ended, and which decisions
        wait for a class.
    """
    totals = {"inbox": run_step("inbox", 1)} if workspace.inbox.is_dir() else {}
    before: list[ClassProgress] = []
    for number in range(1, config.search.max_rounds + 1):
        for name in steps_of(Phase.COLLECT):
            counts = run_step(name, number)
            totals[name] = _together(totals[name], counts) if name in totals else counts
        with workspace.open_catalog() as catalog:
            states = list(class_progress(catalog, config.classes).values())
            searches = [search for search in catalog.all(Search) if _is_asked(search, config)]
            left_out = {state.label: exclusion_counts(catalog, state.label) for state in states}
        if states == before or not any(_may_grow(state, searches, config) for state in states):
            break
        before = states
    endings = tuple(ending(state, searches, left_out[state.label], config, rounds=number) for state in states)
    with workspace.open_catalog() as catalog:
        waiting = plan_carry_over(catalog, config.classes).waiting
    return totals | {"search": replace(totals["search"], notes=(*endings, *waiting))}


def ending(
    state: ClassProgress, searches: Iterable[Search], left_out: Mapping[str, int], config: WorkspaceConfig, rounds: int
) -> str:
    """Say in one sentence how far a class has come, and why no further."""
    wanted = config.search.per_class
    own = [search for search in searches if search.label == state.label]
    clauses = [f"{state.label}: {state.clean} of {wanted} clean pictures"]
    clauses += [
        f"{search.source} failed for {search.keyword!r}: {search.reason}" for search in own if search.status == "failed"
    ]
    exhausted = [f"{search.source} ({search.keyword!r})" for search in own if search.status == "exhausted"]
    if state.clean < wanted:
        if state.found >= _limit(config):
            clauses.append(f"{state.found} found, the limit is {_limit(config)} (search.max_found_per_picture)")
        elif _may_grow(state, own, config):
            clauses.append(
                f"stopped after round {rounds} (search.max_rounds is {config.search.max_rounds}); run it again"
            )
        elif exhausted:
            clauses.append("exhausted: " + ", ".join(exhausted))
        clauses += [f"{count} of {state.found} left out: {reason}" for reason, count in in_order(left_out).items()]
    return "; ".join(clauses)


def _is_asked(question: Search, config: WorkspaceConfig) -> bool:
    """Return whether a recorded search is still among today's sources and keywords."""
    return question.source in config.search.sources and question.keyword in config.classes.get(question.label, ())


def _may_grow(state: ClassProgress, searches: Iterable[Search], config: WorkspaceConfig) -> bool:
    """Return whether another round may bring the class more clean images."""
    if state.clean >= config.search.per_class:
        return False
    if state.waiting or state.unjudged:
        return True
    is_open = any(search.label == state.label and search.status == "open" for search in searches)
    return is_open and state.found < _limit(config)


def _limit(config: WorkspaceConfig) -> int:
    return config.search.max_found_per_picture * config.search.per_class


def _together(first: StepCounts, latest: StepCounts) -> StepCounts:
    notes = tuple(dict.fromkeys((*first.notes, *latest.notes)))
    return replace(latest, done=first.done + latest.done, reused=first.reused, notes=notes)
