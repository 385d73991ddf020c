"""Summary of a run: a table for a terminal, Markdown for Prefect's page."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from training.report.artifact_images import mistakes_markdown
from workspace.catalog.records import StepCounts
from workspace.reasons import words_for
from workspace.storage.metrics import Metrics
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder
from workspace.text.markdown import escaped, table_row

Row = tuple[str, str, str]


def summary_rows(workspace: Workspace, counts: Mapping[str, StepCounts]) -> list[Row]:
    """List (step, outcome, value) for every outcome of every step, then the accuracy."""
    rows: list[Row] = []
    for name, step in counts.items():
        rows.append((name, f"{step.done} done now, {step.reused} already there", ""))
        rows += [("", _explained(outcome), f"{count:,}") for outcome, count in step.by_reason.items()]
    for number, row in enumerate(accuracy_rows(workspace.latest_run())):
        rows.append(("" if number else "result", *row))
    return rows


def _explained(outcome: str) -> str:
    words = words_for(outcome)
    return f"{outcome} ({words})" if words else outcome


def accuracy_rows(run: RunFolder) -> list[tuple[str, str]]:
    """List (measure with its 95 % interval, value) of a run: what its report leads with first, then the frozen test."""
    metrics = Metrics.read(run.metrics_file)
    parts = {f"on {metrics.test.n} test pictures": metrics.test}
    if metrics.leading is not metrics.test:
        parts = {f"in cross-validation of {metrics.leading.n}": metrics.leading, **parts}
    rows = []
    for images, scores in parts.items():
        for share, name in ((scores.accuracy, "accuracy"), (scores.balanced_accuracy, "balanced accuracy")):
            low, high = share.interval
            rows.append((f"{name} {images}, 95 % interval {low:.3f} to {high:.3f}", f"{share.value:.3f}"))
    if (negatives := metrics.negatives) is not None:
        low, high = negatives.rate.interval
        name = f"negatives that get a class, of {negatives.n}, 95 % interval {low:.3f} to {high:.3f}"
        rows.append((name, f"{negatives.rate.value:.3f}"))
    return rows


def summary_table(workspace: Workspace, counts: Mapping[str, StepCounts]) -> Table:
    """Render the rows as a table for a terminal."""
    table = Table(title=f"{workspace.root}", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("step", style="bold")
    table.add_column("outcome")
    table.add_column("count", justify="right")
    for step, outcome, value in summary_rows(workspace, counts):
        if step:
            table.add_section()
        table.add_row(step, outcome, value)
    return table


def summary_markdown(workspace: Workspace, counts: Mapping[str, StepCounts]) -> str:
    """Render the accuracy, the most confident mistakes and the rows as Markdown, for an artifact."""
    run = workspace.latest_run()
    lines = [f"# {workspace.root.name}", ""]
    lines += [f"- {measure}: **{value}**" for measure, value in accuracy_rows(run)]
    lines += [f"- {escaped(note)}" for note in counts["publish"].notes] if "publish" in counts else []
    lines += ["", f"Report: `{run.report_file.resolve()}`", "", f"Model: `{run.model.resolve()}`"]
    lines += [mistakes_markdown(workspace, run), "", "## What each step did", ""]
    lines += ["| step | outcome | count |", "|---|---|---:|"]
    lines += map(table_row, summary_rows(workspace, counts))
    return "\n".join(lines) + "\n"
