"""Scenes: sky and sea, fields, gardens, streets, rooms; each composed anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gallery.drawing.canvas import Canvas, Colour, Point, box, curve, mix, oval, shade

Rng = np.random.Generator
Paint = Callable[[Rng], Colour]

# (top of the sky, bottom of the sky, share of its light that falls on the land, tint of that light)
_HOURS: tuple[tuple[Colour, Colour, float, Colour], ...] = (
    ((88, 140, 200), (196, 218, 234), 1.0, (255, 255, 255)),
    ((60, 104, 170), (226, 214, 196), 1.0, (255, 240, 214)),
    ((150, 160, 170), (206, 208, 206), 0.85, (226, 232, 240)),
    ((94, 86, 134), (244, 168, 104), 0.75, (255, 204, 160)),
    ((30, 42, 82), (120, 108, 140), 0.5, (150, 160, 220)),
    ((216, 196, 176), (240, 226, 204), 0.95, (255, 246, 224)),
    ((110, 124, 130), (150, 156, 150), 0.65, (210, 220, 220)),
)

# Meadow, dry grass, sand, snow, moor, ploughed land, ripe corn.
_EARTHS: tuple[Colour, ...] = (
    (110, 136, 70), (150, 146, 84), (196, 172, 124), (222, 226, 232), (96, 112, 76), (140, 110, 84), (188, 160, 60),
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """Where an object may stand: its ground line (picture heights from the top), and what covers its foot."""

    ground: float
    cover: Callable[[float, float], None] | None = None


def noise(rng: Rng, height: int, width: int, cells: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return smooth noise [height, width] around 0, about ``cells`` bumps across."""
    small = Image.fromarray(rng.standard_normal((max(2, cells), max(2, cells))).astype(np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def wash(canvas: Canvas, rng: Rng, top: Colour, bottom: Colour, strength: float) -> None:
    """Fill the canvas with a slanted gradient and blotches of smooth noise."""
    height, width = 60, max(8, round(60 * canvas.aspect))
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    share = np.clip(down + across * rng.uniform(-0.9, 0.9), 0, 1)[..., None]
    pixels = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    blotches = noise(rng, height, width, int(rng.integers(2, 7)))[..., None]
    canvas.backdrop((pixels + strength * blotches).astype(np.float32))


def _sky(canvas: Canvas, rng: Rng, hour: int) -> None:
    top, bottom, _, _ = _HOURS[hour]
    wash(canvas, rng, top, bottom, rng.uniform(3, 22))
    if rng.random() < 0.35:
        x, y, r = rng.uniform(0, canvas.aspect), rng.uniform(0.05, 0.4), rng.uniform(0.03, 0.09)
        canvas.soft(oval(x, y, r * 3, r * 3), mix(bottom, (255, 250, 220), 0.7), 0.5, 0.08)
        canvas.soft(oval(x, y, r, r), (255, 248, 226), 0.9, 0.008)
    for _ in range(int(rng.integers(0, 7))):
        x, y, size = rng.uniform(0, canvas.aspect), rng.uniform(0, 0.5), rng.uniform(0.1, 0.5)
        colour = mix(bottom, (255, 255, 255), rng.uniform(0.2, 0.8)) if rng.random() < 0.7 else shade(top, 0.7)
        for k in range(3):
            canvas.soft(oval(x + size * 0.4 * k, y + 0.02 * (k % 2), size * 0.4, size * 0.14), colour, 0.55, 0.03)
    if rng.random() < 0.2:
        for _ in range(int(rng.integers(2, 8))):  # birds
            x, y, s = rng.uniform(0, canvas.aspect), rng.uniform(0.05, 0.4), rng.uniform(0.01, 0.025)
            canvas.stroke([(x - s, y - s * 0.4), (x, y), (x + s, y - s * 0.4)], 0.004, (40, 40, 46))


def _ridge(canvas: Canvas, rng: Rng, line: float, rise: float, colour: Colour) -> None:
    """Draw land up to an uneven line, darker towards the viewer."""
    count = int(rng.integers(4, 12))
    xs = np.linspace(-0.05, canvas.aspect + 0.05, count)
    ys = line - rng.uniform(0, rise, count)
    top: list[Point] = []
    for i in range(count - 1):
        middle = (xs[i] + xs[i + 1]) / 2
        top += curve([(xs[i], ys[i]), (middle, ys[i]), (middle, ys[i + 1]), (xs[i + 1], ys[i + 1])], 8)
    outline = [(-0.05, 1.05), *[(float(x), float(y)) for x, y in top], (canvas.aspect + 0.05, 1.05)]
    canvas.gradient(outline, colour, shade(colour, rng.uniform(0.55, 0.9)), (0, line - rise), (0, 1.0))


def _tree(canvas: Canvas, rng: Rng, x: float, ground: float, size: float, leaf: Colour) -> None:
    canvas.stroke([(x, ground), (x, ground - size * 0.5)], size * 0.06, shade((110, 84, 62), 0.8))
    if rng.random() < 0.4:
        for k in range(3):
            y, half = ground - size * (0.2 + 0.25 * k), size * (0.3 - 0.07 * k)
            canvas.fill([(x - half, y), (x + half, y), (x, y - size * 0.4)], shade(leaf, 0.7 + 0.1 * k))
        return
    for _ in range(6):
        px, py = x + rng.uniform(-0.22, 0.22) * size, ground - size * rng.uniform(0.45, 0.9)
        canvas.fill(oval(px, py, size * 0.2, size * 0.18), shade(leaf, rng.uniform(0.65, 1.1)))


def _building(canvas: Canvas, rng: Rng, x: float, ground: float, paint: Paint) -> None:
    wall, half, high = paint(rng), rng.uniform(0.05, 0.16), rng.uniform(0.1, 0.4)
    canvas.fill([(x - half, ground), (x + half, ground), (x + half, ground - high), (x - half, ground - high)], wall)
    if rng.random() < 0.7:
        eave, peak = ground - high, ground - high - half * rng.uniform(0.5, 1.2)
        canvas.fill([(x - half * 1.1, eave), (x + half * 1.1, eave), (x, peak)], shade(paint(rng), 0.8))
    for row in range(int(high / 0.08)):
        for column in (-0.5, 0.0, 0.5):
            px, py = x + half * column, ground - high + 0.03 + row * 0.075
            canvas.fill(box(px - 0.01, py + 0.03, px + 0.01, py), shade(wall, 0.45))


def _rocks(canvas: Canvas, rng: Rng, x: float, y: float, spread: float, colour: Colour) -> None:
    for _ in range(int(rng.integers(4, 10))):
        px, size = x + rng.uniform(-spread, spread), rng.uniform(0.02, 0.08)
        bumps = [
            (px + size * rng.uniform(0.8, 1.2) * np.cos(a), y - size * 0.6 * rng.uniform(0.7, 1.2) * np.sin(a))
            for a in np.linspace(0, np.pi, 6)
        ]
        canvas.gradient(
            [(float(a), float(b)) for a, b in bumps],
            shade(colour, 1.15),
            shade(colour, 0.5),
            (px - size, y - size),
            (px + size, y),
        )


def sea(canvas: Canvas, rng: Rng, paint: Paint) -> Stage:
    """Draw open water, calm or choppy, perhaps with a far coast; objects stand on a rock or float."""
    hour = int(rng.integers(len(_HOURS)))
    _sky(canvas, rng, hour)
    horizon = rng.uniform(0.35, 0.75)
    _, bottom, lit, tint = _HOURS[hour]
    if rng.random() < 0.5:
        _ridge(canvas, rng, horizon, rng.uniform(0.02, 0.16), mix(shade((90, 110, 120), lit), bottom, 0.4))
    water = mix(shade(mix((40, 92, 120), (60, 120, 110), rng.random()), lit), bottom, rng.uniform(0.1, 0.5))
    wide = [(-0.1, horizon), (canvas.aspect + 0.1, horizon), (canvas.aspect + 0.1, 1.1), (-0.1, 1.1)]
    canvas.gradient(wide, mix(water, bottom, 0.4), shade(water, 0.6), (0, horizon), (0, 1))
    for _ in range(int(rng.integers(10, 90))):
        y = horizon + (1 - horizon) * rng.random() ** 1.5
        x, half = rng.uniform(0, canvas.aspect), rng.uniform(0.01, 0.09) * (0.3 + (y - horizon) * 2)
        canvas.stroke([(x - half, y), (x, y - 0.004), (x + half, y)], 0.004, mix(water, tint, rng.uniform(0.1, 0.6)))
    ground = horizon + (1 - horizon) * rng.uniform(0.1, 0.6)

    def foam(x: float, size: float) -> None:
        canvas.soft(
            oval(x, ground + size * 0.03, size * 0.5, size * 0.03), mix(water, (255, 255, 255), 0.6), 0.7, 0.008
        )

    return Stage(ground, foam)


def land(canvas: Canvas, rng: Rng, paint: Paint) -> Stage:
    """Draw fields, dunes, moor or snow under a sky, with hills, trees, houses or a fence."""
    hour = int(rng.integers(len(_HOURS)))
    _sky(canvas, rng, hour)
    _, bottom, lit, _ = _HOURS[hour]
    earth = shade(_EARTHS[int(rng.integers(len(_EARTHS)))], lit)
    horizon = rng.uniform(0.35, 0.8)
    for k in range(int(rng.integers(0, 4))):
        far = mix(earth, mix(bottom, (100, 120, 150), 0.5), 0.75 - 0.2 * k)
        _ridge(canvas, rng, horizon - 0.04 * (2 - k), rng.uniform(0.05, 0.25), far)
    for _ in range(int(rng.choice([0, 0, 2, 4, 7]))):
        _building(canvas, rng, rng.uniform(0, canvas.aspect), horizon + 0.02, paint)
    _ridge(canvas, rng, horizon, rng.uniform(0.0, 0.08), earth)
    for _ in range(int(rng.integers(0, 7))):
        x, y, size = rng.uniform(0, canvas.aspect), horizon + rng.uniform(0.0, 0.12), rng.uniform(0.08, 0.45)
        _tree(canvas, rng, x, y, size, shade((92, 120, 64), lit * rng.uniform(0.6, 1.1)))
    if rng.random() < 0.3:
        way = [(canvas.aspect * rng.uniform(0.2, 0.8), horizon + 0.01)]
        x = rng.uniform(0, canvas.aspect)
        canvas.fill([*way, (x + rng.uniform(0.1, 0.3), 1.05), (x, 1.05)], mix(earth, (224, 206, 176), 0.5))
    if rng.random() < 0.25:
        y = horizon + rng.uniform(0.05, 0.2)
        for i in range(round(canvas.aspect / 0.12) + 1):
            canvas.stroke([(i * 0.12, y - 0.08), (i * 0.12, y + 0.03)], 0.014, shade(earth, 0.5))
        canvas.stroke([(-0.1, y - 0.05), (canvas.aspect + 0.1, y - 0.05)], 0.009, shade(earth, 0.55))
    ground = min(0.97, horizon + rng.uniform(0.04, 0.25))

    def tufts(x: float, size: float) -> None:
        canvas.soft(oval(x + size * 0.15, ground, size * 0.45, size * 0.035), (20, 24, 20), 0.5, 0.012)
        for _ in range(14):
            px = x + rng.uniform(-0.35, 0.35) * size
            tip = (px + rng.uniform(-0.02, 0.02), ground - rng.uniform(0.01, 0.05))
            canvas.stroke([(px, ground + 0.015), tip], 0.005, shade(earth, rng.uniform(0.5, 1.1)))

    return Stage(ground, tufts)


def coast(canvas: Canvas, rng: Rng, paint: Paint) -> Stage:
    """Draw a rocky or sandy shore before the sea."""
    sea(canvas, rng, paint)
    shore = rng.uniform(0.68, 0.88)
    colour = mix((96, 90, 84), (206, 184, 146), rng.random())
    _ridge(canvas, rng, shore, rng.uniform(0.03, 0.16), colour)
    _rocks(canvas, rng, rng.uniform(0, canvas.aspect), shore + 0.06, canvas.aspect / 2, shade(colour, 0.85))
    ground = min(0.96, shore + rng.uniform(0.0, 0.06))
    return Stage(ground, lambda x, size: _rocks(canvas, rng, x, ground + 0.03, size * 0.3, shade(colour, 0.8)))


def garden(canvas: Canvas, rng: Rng, paint: Paint) -> Stage:
    """Draw a bed of leaves and flowers before a hedge, a wall or boards."""
    green = mix((60, 92, 50), (130, 150, 90), rng.random())
    wash(canvas, rng, shade(green, rng.uniform(0.5, 1.3)), shade(green, rng.uniform(0.5, 1.0)), 14)
    behind = rng.random()
    if behind < 0.35:
        boards, wide = shade(paint(rng), 0.85), rng.uniform(0.07, 0.16)
        for i in range(round(canvas.aspect / wide) + 1):
            x = i * wide
            canvas.fill(box(x, 0.8, x + wide * 0.93, -0.1), shade(boards, rng.uniform(0.8, 1.1)))
    elif behind < 0.6:
        for _ in range(40):
            x, y, r = rng.uniform(0, canvas.aspect), rng.uniform(0, 0.7), rng.uniform(0.03, 0.1)
            canvas.fill(oval(x, y, r, r * 0.8), shade(green, rng.uniform(0.5, 1.25)))
    else:
        for _ in range(14):  # out of focus
            x, y, r = rng.uniform(0, canvas.aspect), rng.uniform(0, 0.7), rng.uniform(0.04, 0.16)
            canvas.soft(oval(x, y, r, r), mix(green, paint(rng), 0.5), 0.5, 0.02)
    line = rng.uniform(0.5, 0.82)
    _ridge(canvas, rng, line, 0.05, mix((116, 92, 66), green, rng.random()))
    for _ in range(int(rng.integers(3, 26))):
        x, y, colour = rng.uniform(0, canvas.aspect), line + rng.uniform(-0.06, 0.06), paint(rng)
        tall = rng.uniform(0.05, 0.25)
        canvas.stroke([(x, y + 0.03), (x, y - tall)], 0.008, shade(green, 0.8))
        canvas.fill(oval(x, y - tall, 0.025, 0.022), colour)
    ground = min(0.96, line + rng.uniform(0.06, 0.22))
    return Stage(
        ground,
        lambda x, size: canvas.soft(oval(x, ground, size * 0.5, size * 0.05), (16, 20, 14), 0.45, 0.015),
    )
