"""Estimates of time: the work that is left for a step, times the rate at which earlier runs on this machine did it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flows.timing.rates import Rate, keep_rate, read_rate
from flows.timing.work import Work, work_done, work_left
from workspace.catalog.records import StepCounts
from workspace.clock import duration
from workspace.config.model import WorkspaceConfig
from workspace.errors import CollectAndTrainError
from workspace.progress import Progress
from workspace.storage.paths import Workspace

WORTH_SAYING_S = 10.0
"""A step that will take less than this is not announced."""


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """How long a step will take.

    Attributes:
        step: its name.
        work: what is left.
        seconds: None where nothing was measured on this machine, or the work is not known.
        basis: where the number comes from, or why there is none.
    """

    step: str
    work: Work
    seconds: float | None
    basis: str


def estimate_steps(steps: Sequence[str], workspace: Workspace, config: WorkspaceConfig) -> list[StepEstimate]:
    """Estimate each of these steps that may take long, in their order.

    Raises:
        CollectAndTrainError: the workspace cannot be read.
    """
    found = [(step, work_left(step, workspace, config)) for step in steps]
    return [_estimate(step, work) for step, work in found if work is not None]


def run_timed(
    step: str, workspace: Workspace, config: WorkspaceConfig, progress: Progress, run: Callable[[], StepCounts]
) -> StepCounts:
    """Run a step: say before how long it will take where that is known and long, and keep how fast it was."""
    try:
        work = work_left(step, workspace, config)
    except CollectAndTrainError:
        work = None  # a folder that this step does not read, such as that of the negatives, must not fail it
    if work is None:
        return run()
    expected = _estimate(step, work)
    if expected.seconds is not None and expected.seconds >= WORTH_SAYING_S:
        left = f"{work.left:,} {work.unit}"
        progress.say(f"{step}: {left}, about {duration(expected.seconds)} ({expected.basis})")
    began = time.monotonic()
    counts = run()
    seconds = time.monotonic() - began
    if units := work_done(step, workspace, work, counts):
        keep_rate(_key(step, work), units, seconds)
    return counts


def _estimate(step: str, work: Work) -> StepEstimate:
    if work.left is None:
        return StepEstimate(step, work, None, f"how many {work.unit} there will be is not known yet")
    if not work.left:
        return StepEstimate(step, work, 0.0, "nothing is left to do")
    rate = read_rate(_key(step, work))
    if rate is None:
        where = f" with {work.key}" if work.key else ""
        return StepEstimate(step, work, None, f"no `{step}`{where} was measured on this machine yet")
    return StepEstimate(step, work, work.left * rate.seconds_per_unit, _basis(rate, work))


def _basis(rate: Rate, work: Work) -> str:
    speed = 1 / rate.seconds_per_unit if rate.seconds else float("inf")
    shown = f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"
    return f"{shown} {work.unit}/s, measured here until {rate.at} over {rate.units:,.0f}"


def _key(step: str, work: Work) -> str:
    return f"{step} {work.key}".strip()
