"""Small pictures inside Markdown: Prefect's page shows data addresses, and can reach no file of this machine."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from training.report.charts import HEIGHT, LEFT, WIDTH, line_chart
from workspace.config.clean import CleanConfig
from workspace.storage.champion import Decision
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard
from workspace.storage.paths import RunFolder, Workspace

MISTAKES_SHOWN = 6
"""About 5 kB each, so that an artifact stays small beside the server's rows."""

_COLOURS = ("#2563eb", "#64748b")


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
    chart = line_chart("", list(range(1, len(measured) + 1)), {"candidate": candidate, "live model": live})
    if chart is None:
        return ""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 18}" width="{WIDTH}">']
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT + 18}" fill="#fff"/>')
    parts.append('<g font-family="sans-serif" font-size="11" fill="#334155">')
    for y, text in chart.y_ticks:
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 12}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for x, text in chart.x_ticks:
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{text}</text>')
    for place, (line, colour) in enumerate(zip(chart.lines, _COLOURS, strict=False)):
        dash = ' stroke-dasharray="5 4"' if place else ""
        parts.append(f'<polyline points="{line.path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line.points]
        parts.append(
            f'<text x="{LEFT + 130 * place}" y="{HEIGHT + 10}" fill="{colour}">{html.escape(line.name)}</text>'
        )
    svg = "".join([*parts, "</g></svg>"])
    address = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return f"![Test accuracy by decision: {', '.join(f'{value:.3f}' for value in candidate)}]({address})"


def _plain(text: str) -> str:
    """A class's name inside Markdown: nothing in it becomes markup."""
    return "".join(f"&#{ord(mark)};" if mark in "|*_`[]()<>!&\\" else mark for mark in text)
