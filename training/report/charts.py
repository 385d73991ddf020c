"""Lay out small charts: where lines, dots and ticks go, in px; line_chart.svg.j2 and report.html.j2 draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from workspace.storage.metrics import Bin
from workspace.text.counts import counted

WIDTH, HEIGHT = 420, 210
"""Size of a chart, in its own px; the page scales it."""

LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 28
"""Margins in px, for the axes' numbers."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, its points (x, y) in px, and the last value, for the alternative text."""

    name: str
    points: tuple[tuple[float, float], ...]
    last: float

    @property
    def path(self) -> str:
        """The points in SVG's notation."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)

    @property
    def css_class(self) -> str:
        """The CSS class of its style."""
        return "s-" + self.name.replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over epochs; ticks are (px, text), `level` is the px of a horizontal line of comparison or None.

    The plot lies between `left` and `right` in an image of `width` x `height` px.
    """

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    level: float | None
    level_name: str
    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT
    left: ClassVar[int] = LEFT
    right: ClassVar[int] = WIDTH - RIGHT


def line_chart(
    title: str,
    epochs: Sequence[int],
    series: Mapping[str, Sequence[float]],
    level: tuple[str, float] | None = None,
) -> Chart | None:
    """Lay out lines over epochs; values that are not finite are left out, None when nothing is left.

    Args:
        title: what is drawn.
        epochs: ascending.
        series: values by name, one per epoch.
        level: name and value of a horizontal line to compare with.
    """
    level = level if level and math.isfinite(level[1]) else None
    values = [value for row in series.values() for value in row if math.isfinite(value)]
    if not values:
        return None
    ticks = nice_ticks(min([*values, *([level[1]] if level else [])]), max([*values, *([level[1]] if level else [])]))
    low, high = ticks[0], ticks[-1]
    span = max(1, epochs[-1] - epochs[0])

    def x(epoch: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - epochs[0]) / span

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    lines = []
    for name, row in series.items():
        finite = [(epoch, value) for epoch, value in zip(epochs, row, strict=True) if math.isfinite(value)]
        if finite:
            lines.append(Line(name, tuple((x(epoch), y(value)) for epoch, value in finite), finite[-1][1]))
    step = max(1, math.ceil(len(epochs) / 8))
    return Chart(
        title,
        tuple(lines),
        tuple((x(epoch), str(epoch)) for epoch in epochs[::step]),
        tuple((y(tick), f"{tick:g}") for tick in ticks),
        y(level[1]) if level else None,
        level[0] if level else "",
    )


SQUARE = 240
"""Side of a reliability diagram, in its own px, without its margins."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One bin of a reliability diagram: its position and radius in px, and its alternative text."""

    x: float
    y: float
    radius: float
    words: str


def reliability_dots(bins: Sequence[Bin]) -> tuple[Dot, ...]:
    """Lay out a reliability diagram: confidence on x, accuracy on y, area by number of images.

    Args:
        bins: as training.stats.calibration.quality gives them, n >= 1.
    """
    most = max(bin_.n for bin_ in bins)
    return tuple(
        Dot(
            LEFT + SQUARE * bin_.confidence,
            TOP + SQUARE * (1 - bin_.right),
            3 + 5 * math.sqrt(bin_.n / most),
            f"{counted(bin_.n, 'picture')}, mean confidence {100 * bin_.confidence:.0f} %: "
            f"{100 * bin_.right:.0f} % right",
        )
        for bin_ in bins
    )


def nice_ticks(low: float, high: float) -> list[float]:
    """Choose three to seven round numbers, the first at most `low` and the last at least `high`.

    Steps of 1, 2 or 5 times a power of ten (Heckbert 1990, "Nice numbers for graph labels", Graphics Gems).
    """
    span = high - low or max(abs(high), 1.0) * 0.1
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 2) + 1)]
