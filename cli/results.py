"""The documents of runs and steps, from what stands in the workspace after them."""

from __future__ import annotations

from collections.abc import Mapping

from cli.documents.models import ModelDecision
from cli.documents.runs import (
    Collected,
    FalseAcceptance,
    Interval,
    Measured,
    RunStep,
    ScoreSet,
    StepResult,
    WholeRun,
    WorkspaceStep,
)
from flows.step_table import Phase, Step
from workspace.catalog.records import StepCounts
from workspace.storage.champion import Decision, read_champion
from workspace.storage.metrics import Metrics
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder


def step_document(step: Step, workspace: Workspace, counts: StepCounts) -> WorkspaceStep:
    """Write down what a single step did."""
    values = StepResult.of(counts).model_dump() | {"workspace": str(workspace.root)}
    if step.phase is not Phase.RUN:
        return WorkspaceStep.model_validate(values)
    return RunStep.model_validate(values | _run_values(workspace))


def collected_document(workspace: Workspace, counts: Mapping[str, StepCounts]) -> Collected:
    """Write down what a collection did."""
    return Collected.model_validate(_collected_values(workspace, counts))


def run_document(workspace: Workspace, counts: Mapping[str, StepCounts]) -> WholeRun:
    """Write down what a run through every step did."""
    return WholeRun.model_validate(_collected_values(workspace, counts) | _run_values(workspace))


def scores_of(run: RunFolder) -> Measured | None:
    """Return the scores of a run; None before evaluate."""
    metrics = Metrics.read_if_present(run.metrics_file)
    if metrics is None:
        return None
    crossed, negatives = metrics.cross_validation, metrics.negatives
    return Measured(
        leads=metrics.leads,
        test=ScoreSet.of(metrics.test),
        cross_validation=ScoreSet.of(crossed) if crossed else None,
        negatives=FalseAcceptance(pictures=negatives.n, rate=Interval.of(negatives.rate)) if negatives else None,
    )


def decision_document(decision: Decision) -> ModelDecision:
    """Write down a decision about a model."""
    return ModelDecision(
        run_id=decision.run_id,
        action=decision.action,
        live_model=decision.champion,
        why=decision.why,
        made_at=decision.made_at,
        numbers=dict(decision.numbers),
    )


def _collected_values(workspace: Workspace, counts: Mapping[str, StepCounts]) -> dict[str, object]:
    notes = list(counts["search"].notes) if "search" in counts else []
    return {
        "workspace": str(workspace.root),
        "steps": [StepResult.of(step) for step in counts.values()],
        "notes": notes,
    }


def _run_values(workspace: Workspace) -> dict[str, object]:
    run, champion = workspace.latest_run(), read_champion(workspace)
    return {
        "run_id": run.run_id,
        "model": str(run.model),
        "report": str(run.report_file) if run.report_file.is_file() else None,
        "scores": scores_of(run),
        "live_model": champion.champion if champion else None,
    }
