"""Small drawings for the report, as SVG text: no library, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 460, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 30


def line_chart(series: Mapping[str, Sequence[float]], *, label: str) -> str:
    """Draw series over 1, 2, 3 …, in the CSS classes `series-0`, `series-1`.

    Args:
        series: values by name; at least one series with at least one value.
        label: what a screen reader says of the picture; must be safe as an attribute.
    """
    values = [value for points in series.values() for value in points]
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    count = max(len(points) for points in series.values())
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
    for tick in (low, (low + high) / 2, high):
        y = _y(tick, low, high)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    for number in sorted({1, (count + 1) // 2, count}):
        parts.append(f'<text x="{_x(number - 1, count):.1f}" y="{HEIGHT - 10}" text-anchor="middle">{number}</text>')
    for place, points in enumerate(series.values()):
        path = " ".join(f"{_x(k, count):.1f},{_y(value, low, high):.1f}" for k, value in enumerate(points))
        parts.append(f'<polyline class="series-{place}" points="{path}"/>')
    return "".join([*parts, "</svg>"])


def _x(place: int, count: int) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * (place / (count - 1) if count > 1 else 0.5)


def _y(value: float, low: float, high: float) -> float:
    return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low))
