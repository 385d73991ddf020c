"""The whole path: rounds of search, download and clean until no class can get more, then every later step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from flows.step_table import Phase, steps_of
from preprocessing.split import refuse_small_classes
from workspace.catalog.class_progress import ClassProgress, class_progress
from workspace.catalog.collection_stats import ClassCounts, read_collection_stats
from workspace.catalog.funnel import funnel_text, has_losses, is_mostly_kept, remedy_for
from workspace.catalog.hits.questions import Questions, leftover_notes
from workspace.catalog.records import Search, StepCounts
from workspace.catalog.renamed_classes import plan_carry_over
from workspace.config.collect import ALL_PICTURES
from workspace.config.model import WorkspaceConfig
from workspace.storage.paths import Workspace

RunStep = Callable[[str, int], StepCounts]
"""Runs a step by its name in a round, counted from 1: as a Prefect task, or as a plain function."""


def run_all_steps(workspace: Workspace, config: WorkspaceConfig, run_step: RunStep) -> dict[str, StepCounts]:
    """Run every step, from the inbox to publishing.

    Returns:
        The counts of each step, by its name.

    Raises:
        WeightsError: the backbone's weights are not to be had; found before the first step begins.
        DatasetError: a class has too few clean pictures.
    """
    from training.network.backbone import check_weights  # loads torch

    check_weights(config.train)
    counts = collect_until_clean(workspace, config, run_step)
    refuse_small_classes(workspace, config)
    return counts | {name: run_step(name, 1) for name in steps_of(Phase.DATASET, Phase.RUN)}


def collect_until_clean(workspace: Workspace, config: WorkspaceConfig, run_step: RunStep) -> dict[str, StepCounts]:
    """Take in the inbox, then repeat search, download and clean until no class gains, up to `search.max_rounds` times.

    Each round asks for what is missing, divided by the share of pictures that turned out clean so far.

    Returns:
        The counts of each step over all rounds; the notes of `search` say how every class ended, what it keeps of
        removed keywords and sources, and which decisions wait for a class.
    """
    totals = {"inbox": run_step("inbox", 1)} if workspace.inbox.is_dir() or config.negatives.folder else {}
    before: list[ClassProgress] = []
    questions = Questions.of(config)
    for number in range(1, config.search.max_rounds + 1):
        for name in steps_of(Phase.COLLECT):
            counts = run_step(name, number)
            totals[name] = _together(totals[name], counts) if name in totals else counts
        with workspace.open_catalog() as catalog:
            states = list(class_progress(catalog, config.collected, questions).values())
            searches = [search for search in catalog.all(Search) if questions.has(search)]
        if states == before or not any(_may_grow(state, searches, config) for state in states):
            break
        before = states
    lacking = [state.label for state in states if state.clean < config.search.per_class]
    with workspace.open_catalog() as catalog:
        stats = read_collection_stats(catalog, lacking, questions).by_class if lacking else {}
        waiting = plan_carry_over(catalog, config.collected).waiting
        leftovers = leftover_notes(catalog, questions)
    endings = tuple(ending(state, searches, stats.get(state.label), config, rounds=number) for state in states)
    return totals | {"search": replace(totals["search"], notes=(*endings, *leftovers, *waiting))}


def ending(
    state: ClassProgress, searches: Iterable[Search], stats: ClassCounts | None, config: WorkspaceConfig, rounds: int
) -> str:
    """Say in one sentence how far a class has come, why no further, and what helps.

    Args:
        state: of the class.
        searches: of all classes.
        stats: what became of everything found for the class; None where it has all that is wanted.
        config: the settings.
        rounds: how many there were.
    """
    wanted = config.search.per_class
    takes_all = wanted == ALL_PICTURES
    own = [search for search in searches if search.label == state.label]
    clauses = [f"{state.label}: {state.clean} {'' if takes_all else f'of {wanted} '}clean pictures"]
    lost = stats is not None and has_losses(stats)
    if stats is not None and lost:
        clauses.append(funnel_text(stats))
    clauses += [
        f"{search.source} failed for {search.keyword!r}: {search.reason}" for search in own if search.status == "failed"
    ]
    exhausted = [f"{search.source} ({search.keyword!r})" for search in own if search.status == "exhausted"]
    goes_on = _may_grow(state, own, config)
    if state.clean < wanted:
        if state.found_today >= _limit(config):
            clauses.append(f"{state.found_today} found, the limit is {_limit(config)} (search.max_found_per_picture)")
        elif goes_on:
            clauses.append(
                f"stopped after round {rounds} (search.max_rounds is {config.search.max_rounds}); run it again"
            )
        elif exhausted and not takes_all:
            clauses.append("exhausted: " + ", ".join(exhausted))
    if stats is None:
        return "; ".join(clauses)
    is_settled = takes_all and is_mostly_kept(stats) if lost else takes_all or goes_on
    if not is_settled:
        clauses.append(remedy_for(stats, state.label, config))
    return "; ".join(clauses)


def _may_grow(state: ClassProgress, searches: Iterable[Search], config: WorkspaceConfig) -> bool:
    """Return whether another round may bring the class more clean images."""
    if state.clean >= config.search.per_class:
        return False
    if state.waiting or state.unjudged:
        return True
    is_open = any(search.label == state.label and search.status == "open" for search in searches)
    return is_open and state.found_today < _limit(config)


def _limit(config: WorkspaceConfig) -> int:
    return config.search.max_found_per_picture * config.search.per_class


def _together(first: StepCounts, latest: StepCounts) -> StepCounts:
    notes = tuple(dict.fromkeys((*first.notes, *latest.notes)))
    return replace(latest, done=first.done + latest.done, reused=first.reused, notes=notes)
