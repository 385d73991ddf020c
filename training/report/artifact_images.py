"""Small pictures inside Markdown: Prefect's page shows data addresses, and can reach no file of this machine."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from training.report.charts import line_chart
from training.report.templates import render
from workspace.config.clean import CleanConfig
from workspace.storage.champion import Decision
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard
from workspace.storage.paths import RunFolder, Workspace

MISTAKES_SHOWN = 6
"""About 5 kB each, so that an artifact stays small beside the server's rows."""


def mistakes_markdown(workspace: Workspace, run: RunFolder) -> str:
    """The mistakes on test pictures that the model was surest of, as pictures with both names; empty when none."""
    from preprocessing.images.pixel_cache import (
        PixelCache,  # these bring torch, which the history's chart can do without
    )
    from training.evaluation.metrics_json import worst_mistakes
    from training.report.thumbnails import Thumbnails

    metrics = Metrics.read_if_present(run.metrics_file)
    if metrics is None:
        return ""
    wrong = worst_mistakes(metrics.test)
    side = ModelCard.read(run.card_file).cache_side_px
    thumbnails = Thumbnails(PixelCache(workspace, CleanConfig(cache_side_px=side)))
    lines = []
    for one in wrong[:MISTAKES_SHOWN]:
        address = thumbnails.address(one.sha256)
        if address:
            label, answer = _plain(one.label), _plain(one.predicted)
            lines += [
                "",
                f"![{label}]({address})",
                "",
                f"{label}, taken for {answer} ({100 * one.probability:.0f} %)",
            ]
    return "\n".join(["", "## Mistakes it was surest of", *lines]) if lines else ""


def history_chart(decisions: Sequence[Decision]) -> str:
    """Accuracy over the decisions, as a Markdown picture: each candidate's own test, and the live model's.

    Empty for fewer than two decisions with numbers.
    """
    measured = [one for one in decisions if "test_accuracy" in one.numbers]
    if len(measured) < 2:
        return ""
    by_run = {one.run_id: float(one.numbers["test_accuracy"]) for one in measured}
    candidate = [by_run[one.run_id] for one in measured]
    live = [by_run.get(one.champion, float("nan")) for one in measured]
    chart = line_chart(
        "Test accuracy by decision", list(range(1, len(measured) + 1)), {"candidate": candidate, "live model": live}
    )
    if chart is None:
        return ""
    svg = render("history_chart.svg.j2", {"chart": chart})
    address = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return f"![Test accuracy by decision: {', '.join(f'{value:.3f}' for value in candidate)}]({address})"


def _plain(text: str) -> str:
    """A class's name inside Markdown: nothing in it becomes markup."""
    return "".join(f"&#{ord(mark)};" if mark in "|*_`[]()<>!&\\" else mark for mark in text)
