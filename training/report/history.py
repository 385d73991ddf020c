"""The history of published models, as a table for a terminal and as Markdown for Prefect's page."""

from __future__ import annotations

from rich.table import Table

from training.report.artifact_images import history_chart
from workspace.storage.champion import Decision, read_champion, read_decisions
from workspace.storage.paths import Workspace
from workspace.terminal import rendered
from workspace.text.counts import counted
from workspace.text.markdown import escaped, table_row

_COLUMNS = ("when (UTC)", "run", "decision", "accuracy on its own test", "paired test", "why")


def history_table(workspace: Workspace) -> str:
    """Render every decision, oldest first; `*` marks the one that published the live model."""
    table = Table(*_COLUMNS[:-1], show_edge=False, pad_edge=False)
    rows = _rows(workspace)
    for cells in rows:
        table.add_row(*cells[:-1])
    return rendered(table, 110) + "".join(f"{cells[1]}: {cells[-1]}\n" for cells in rows)


def history_markdown(workspace: Workspace) -> str:
    """Render the same as a Markdown table, with a chart of the accuracy over time."""
    rows = _rows(workspace)
    lines = [f"# {workspace.root.name}: live model and decisions", ""]
    lines += ["| " + " | ".join(_COLUMNS[:-1]) + " |", "|" + "---|" * (len(_COLUMNS) - 1)]
    lines += [table_row(cells[:-1]) for cells in rows]
    lines += ["", *(f"- {escaped(cells[1])}: {escaped(cells[-1])}" for cells in rows)]
    return "\n".join([*lines, "", history_chart(read_decisions(workspace))]).rstrip() + "\n"


def _rows(workspace: Workspace) -> list[tuple[str, ...]]:
    live = read_champion(workspace)
    return [_row(decision, is_live=decision == live) for decision in read_decisions(workspace)]


def _row(decision: Decision, *, is_live: bool) -> tuple[str, ...]:
    numbers = decision.numbers
    own = f"{numbers['test_accuracy']:.3f} ({counted(numbers['test_n'], 'picture')})" if "test_n" in numbers else ""
    paired = ""
    if "pictures" in numbers:
        paired = f"{numbers['challenger_right']} to {numbers['champion_right']} of {numbers['pictures']}"
    mark = " *" if is_live else ""
    when = decision.made_at.removesuffix("+00:00").replace("T", " ")
    return when, f"{decision.run_id}{mark}", decision.words, own, paired, decision.why
