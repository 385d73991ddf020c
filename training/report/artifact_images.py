"""Images inside Markdown for Prefect's artifacts: data URLs, since its page can open no file of this machine."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from training.report.charts import line_chart
from training.report.templates import render
from workspace.config.clean import CleanConfig
from workspace.storage.champion import Decision
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder
from workspace.text.markdown import escaped

MISTAKES_SHOWN = 6
"""About 5 kB each, so that an artifact stays small beside the server's rows."""


def mistakes_markdown(workspace: Workspace, run: RunFolder) -> str:
    """Show the most confident mistakes on the test set, each image with both class names; empty when there are none."""
    from preprocessing.images.pixel_cache import (
        PixelCache,  # these bring torch, which the history's chart can do without
    )
    from training.evaluation.metrics_json import worst_mistakes
    from training.report.thumbnails import ThumbnailCache

    metrics = Metrics.read_if_present(run.metrics_file)
    if metrics is None:
        return ""
    wrong = worst_mistakes(metrics.test)
    side = ModelCard.read(run.card_file).cache_side_px
    thumbnails = ThumbnailCache(PixelCache(workspace, CleanConfig(cache_side_px=side)))
    lines = []
    for mistake in wrong[:MISTAKES_SHOWN]:
        url = thumbnails.data_url(mistake.sha256)
        if url:
            label, answer = escaped(mistake.label), escaped(mistake.predicted)
            lines += [
                "",
                f"![{label}]({url})",
                "",
                f"{label}, classified as {answer} ({100 * mistake.probability:.0f} %)",
            ]
    return "\n".join(["", "## Most confident mistakes", *lines]) if lines else ""


def history_chart(decisions: Sequence[Decision]) -> str:
    """Draw accuracy over the decisions, as a Markdown image: each candidate's on its own test, and the live model's.

    Empty for fewer than two decisions with numbers.
    """
    measured = [decision for decision in decisions if "test_accuracy" in decision.numbers]
    if len(measured) < 2:
        return ""
    by_run = {decision.run_id: float(decision.numbers["test_accuracy"]) for decision in measured}
    candidate = [by_run[decision.run_id] for decision in measured]
    live = [by_run.get(decision.champion, float("nan")) for decision in measured]
    chart = line_chart(
        "Test accuracy by decision", list(range(1, len(measured) + 1)), {"candidate": candidate, "live model": live}
    )
    if chart is None:
        return ""
    svg = render("history_chart.svg.j2", {"chart": chart})
    url = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return f"![Test accuracy by decision: {', '.join(f'{value:.3f}' for value in candidate)}]({url})"
