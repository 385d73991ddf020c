"""Objects on land and water: each drawn upright on (0, 0), about one unit high, with random variations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gallery.drawing.canvas import Canvas, Colour, Point, box, curve, mix, oval, shade
from gallery.drawing.vessels import teapot, watering_can

Rng = np.random.Generator

# Shared by all things, so that colour tells none of them from another.
PAINTS: tuple[Colour, ...] = (
    (236, 232, 222),
    (222, 214, 196),
    (186, 48, 42),
    (38, 78, 130),
    (44, 104, 84),
    (226, 176, 60),
    (60, 60, 66),
    (146, 92, 58),
    (108, 148, 178),
    (196, 110, 84),
    (150, 154, 158),
    (118, 132, 84),
    (206, 150, 164),
    (92, 72, 110),
)


def paint(rng: Rng) -> Colour:
    """Return a random paint."""
    pot = PAINTS[int(rng.integers(len(PAINTS)))]
    r, g, b = np.clip(np.array(pot) + rng.integers(-22, 23, 3), 12, 250).tolist()
    return r, g, b


def _tower(base: float, top: float, low: float, high: float) -> list[Point]:
    """Return the outline between two heights of a tower that stands on y=0 and narrows to ``top`` at y=-1."""
    wide, narrow = base + (top - base) * low, base + (top - base) * high
    return [(-wide, -low), (wide, -low), (narrow, -high), (-narrow, -high)]


def _openings(canvas: Canvas, rng: Rng, base: float, top: float, height: float) -> None:
    """Draw a door and some windows."""
    dark = shade(paint(rng), 0.35)
    width = base * rng.uniform(0.25, 0.4)
    canvas.fill([(-width, 0), (width, 0), (width, -0.13), *oval(0, -0.13, width, 0.04, 0, -180)], dark)
    for i in range(int(rng.integers(1, 5))):
        y = 0.26 + i * (height - 0.3) / 4
        x = (base + (top - base) * y) * rng.uniform(-0.4, 0.4)
        canvas.fill([(x - 0.018, -y), (x + 0.018, -y), (x + 0.018, -y - 0.055), (x - 0.018, -y - 0.055)], dark)


def lighthouse(canvas: Canvas, rng: Rng) -> None:
    """Draw a tower with a lantern room: bands, a spiral or plain; slim or stocky; by day or alight."""
    base = rng.uniform(0.1, 0.22)
    top = base * rng.uniform(0.5, 0.85)
    wall, trim, light = paint(rng), paint(rng), rng.uniform(0.15, 0.85)
    height = rng.uniform(0.7, 0.8)
    if rng.random() < 0.4:
        _house(canvas, rng, float(rng.choice([-1, 1])) * (base + 0.1))
    canvas.round(_tower(base, top, 0, height), wall, light=light)
    bands = int(rng.choice([0, 1, 2, 3, 4, 5]))
    slant = base * rng.choice([0.0, 0.0, 0.5, 0.9])
    for i in range(bands):
        low, high = (i + 0.5) * height / (bands + 0.2), (i + 1) * height / (bands + 0.2)
        outline = _tower(base, top, low, min(high, height))
        outline[0], outline[3] = (outline[0][0], outline[0][1] + slant), (outline[3][0], outline[3][1] + slant)
        canvas.round(outline, trim, light=light)
    _openings(canvas, rng, base, top, height)
    _lantern(canvas, rng, base + (top - base) * height, height, trim, light)


def _lantern(canvas: Canvas, rng: Rng, half: float, height: float, roof: Colour, light: float) -> None:
    iron = shade(roof, 0.45)
    deck = half * rng.uniform(1.25, 1.6)
    canvas.round(
        [(-deck, -height), (deck, -height), (deck, -height - 0.025), (-deck, -height - 0.025)], iron, light=light
    )
    room, glass = half * rng.uniform(0.6, 0.85), rng.uniform(0.08, 0.13)
    floor = height + 0.025
    lamp: Colour = (255, 236, 160) if rng.random() < 0.5 else (150, 180, 196)
    canvas.fill([(-room, -floor), (room, -floor), (room, -floor - glass), (-room, -floor - glass)], lamp)
    for i in range(4):
        x = room * (-1 + i * 2 / 3)
        canvas.stroke([(x, -floor), (x, -floor - glass)], 0.01, iron)
        canvas.stroke([(deck * (-1 + i * 2 / 3), -floor), (deck * (-1 + i * 2 / 3), -floor - 0.05)], 0.006, iron)
    canvas.stroke([(-deck, -floor - 0.05), (deck, -floor - 0.05)], 0.007, iron)
    eave, peak = room * 1.2, floor + glass
    if rng.random() < 0.5:
        canvas.round([(-eave, -peak), *oval(0, -peak, eave, rng.uniform(0.06, 0.1), 180, 360)], roof, light=light)
    else:
        canvas.round([(-eave, -peak), (eave, -peak), (0, -peak - rng.uniform(0.08, 0.13))], roof, light=light)
    canvas.stroke([(0, -peak - 0.05), (0, -peak - 0.14)], 0.01, iron)
    if lamp[0] == 255 and rng.random() < 0.6:
        side = float(rng.choice([-1, 1]))
        beam = [(0, -floor - glass / 2), (side * 1.4, -floor - 0.25), (side * 1.4, -floor + 0.15)]
        canvas.soft(beam, (255, 244, 200), 0.5, 0.02)


def _house(canvas: Canvas, rng: Rng, x: float) -> None:
    wall, roof = paint(rng), paint(rng)
    half, high = rng.uniform(0.14, 0.24), rng.uniform(0.12, 0.2)
    canvas.gradient(
        [(x - half, 0), (x + half, 0), (x + half, -high), (x - half, -high)],
        wall,
        shade(wall, 0.75),
        (x - half, 0),
        (x + half, 0),
    )
    eave, ridge, peak = half * 1.15, half * 0.8, -high * 1.7
    canvas.fill([(x - eave, -high), (x + eave, -high), (x + ridge, peak), (x - ridge, peak)], roof)
    for i in (-0.5, 0.4):
        wx = x + half * i
        canvas.fill(box(wx, -high * 0.4, wx + 0.04, -high * 0.8), shade(roof, 0.4))


def windmill(canvas: Canvas, rng: Rng) -> None:
    """Draw a tower mill: three to six sails of lattice, cloth or board, at any angle."""
    base = rng.uniform(0.14, 0.26)
    top = base * rng.uniform(0.5, 0.8)
    wall, trim, light = paint(rng), paint(rng), rng.uniform(0.15, 0.85)
    height = rng.uniform(0.52, 0.64)
    if rng.random() < 0.4:
        _house(canvas, rng, float(rng.choice([-1, 1])) * (base + 0.12))
    canvas.round(_tower(base, top, 0, height), wall, light=light)
    if rng.random() < 0.5:  # a storey in another paint
        canvas.round(_tower(base, top, 0, rng.uniform(0.15, 0.3)), trim, light=light)
    _openings(canvas, rng, base, top, height)
    if rng.random() < 0.4:
        y, wide = rng.uniform(0.2, 0.3), base * 1.35
        canvas.fill([(-wide, -y), (wide, -y), (wide, -y - 0.02), (-wide, -y - 0.02)], shade(trim, 0.5))
    half = (base + (top - base) * height) * 1.12
    roof = shade(paint(rng), 0.8)
    if rng.random() < 0.5:
        canvas.round([(-half, -height), *oval(0, -height, half, rng.uniform(0.08, 0.14), 180, 360)], roof, light=light)
    else:
        canvas.round([(-half, -height), (half, -height), (0, -height - rng.uniform(0.12, 0.2))], roof, light=light)
    hub = (rng.uniform(-0.03, 0.03), -height - 0.05)
    number = int(rng.choice([3, 4, 4, 4, 4, 6]))
    style, first, reach = int(rng.integers(3)), rng.uniform(0, 360), rng.uniform(0.4, 0.56)
    cloth, spar = paint(rng), shade(paint(rng), 0.5)
    squash = rng.uniform(0.6, 1.0)  # turned away from the viewer
    for i in range(number):
        _sail(canvas, hub, math.radians(first + 360 * i / number), reach, squash, style, cloth, spar)
    canvas.fill(oval(*hub, 0.028, 0.028), spar)


def _sail(
    canvas: Canvas, hub: Point, angle: float, reach: float, squash: float, style: int, cloth: Colour, spar: Colour
) -> None:
    c, s = math.cos(angle), math.sin(angle)

    def at(along: float, aside: float) -> Point:
        return (hub[0] + (along * c - aside * s) * squash, hub[1] + along * s + aside * c)

    wide = reach * 0.22
    if style == 0:  # lattice
        for k in range(9):
            along = reach * (0.25 + 0.75 * k / 8)
            canvas.stroke([at(along, 0), at(along, wide)], 0.009, spar)
        for aside in (0.5, 1.0):
            canvas.stroke([at(reach * 0.25, wide * aside), at(reach, wide * aside)], 0.009, spar)
    elif style == 1:  # cloth
        canvas.fill([at(reach * 0.2, 0), at(reach, 0), at(reach * 0.85, wide * 1.4)], cloth)
    else:  # boards
        root = reach * 0.22
        canvas.fill([at(root, -wide * 0.2), at(reach, -wide * 0.2), at(reach, wide), at(root, wide)], cloth)
        canvas.stroke([at(reach * 0.22, wide * 0.4), at(reach, wide * 0.4)], 0.008, shade(cloth, 0.6))
    canvas.stroke([at(0, 0), at(reach * 1.02, 0)], 0.018, spar)


def sailboat(canvas: Canvas, rng: Rng) -> None:
    """Draw a hull, a mast, a mainsail and a jib; gaff, Bermuda or a spinnaker."""
    hull, deck, cloth, spar = paint(rng), paint(rng), paint(rng), shade(paint(rng), 0.5)
    if rng.random() < 0.45:
        cloth = mix(cloth, (244, 240, 230), 0.8)
    length, depth = rng.uniform(0.32, 0.5), rng.uniform(0.09, 0.15)
    bow, mast = length * rng.uniform(1.0, 1.25), rng.uniform(-0.08, 0.08)
    height = rng.uniform(0.85, 1.0)
    canvas.stroke([(mast, -depth), (mast, -height)], 0.018, spar)
    _mainsail(canvas, rng, mast, length, depth, height, cloth)
    front = paint(rng) if rng.random() < 0.35 else shade(cloth, 1.12)
    peak, foot = (mast + 0.02, -height * rng.uniform(0.75, 0.95)), (bow * 0.92, -depth - 0.03)
    belly = rng.uniform(0.02, 0.22)
    edge = curve([peak, ((peak[0] + foot[0]) / 2 + belly, (peak[1] + foot[1]) / 2 - belly / 2), foot])
    if rng.random() < 0.88:
        canvas.gradient([*edge, (mast + 0.04, -depth - 0.07)], front, shade(front, 0.75), (mast, -0.5), (bow, -0.5))
    top = [(-length, -depth), *curve([(-length, -depth), (0, -depth * 0.75), (bow, -depth * 1.25)])]
    keel = curve([(bow, -depth * 1.25), (bow * 0.8, depth * 0.15), (0, 0.02), (-length * 0.86, 0)])
    canvas.gradient([*top, *keel], hull, shade(hull, 0.6), (0, -depth), (0, 0))
    canvas.stroke(top, 0.014, deck)
    if rng.random() < 0.5:
        floor, roof = -depth * 0.85, -depth * 1.5
        canvas.fill([(-length * 0.5, floor), (0.0, floor), (-0.03, roof), (-length * 0.45, roof)], deck)
    if rng.random() < 0.4:
        canvas.fill([(mast, -height), (mast - 0.09, -height + 0.02), (mast, -height + 0.045)], paint(rng))


def _mainsail(canvas: Canvas, rng: Rng, mast: float, length: float, depth: float, height: float, cloth: Colour) -> None:
    boom = (-length * rng.uniform(0.75, 1.05), -depth - 0.06)
    foot = (mast - 0.015, -depth - 0.06)
    if rng.random() < 0.3:  # gaff: four corners
        head = (-length * rng.uniform(0.45, 0.7), -height * rng.uniform(0.9, 1.0))
        outline = [
            foot,
            (mast - 0.015, -height * 0.75),
            head,
            *curve([head, (head[0] - 0.08, (head[1] + boom[1]) / 2), boom]),
        ]
    else:
        peak = (mast - 0.015, -height * 0.97)
        outline = [foot, peak, *curve([peak, (boom[0] * 0.7, -height * 0.5), boom])]
    canvas.gradient(outline, shade(cloth, 0.72), cloth, (boom[0], 0.0), (mast, 0.0))
    for share in (0.3, 0.55, 0.75)[: int(rng.integers(0, 4))]:
        y = -depth - 0.06 - (height - depth) * share
        canvas.stroke(
            [(mast - 0.02, y), (mast + (boom[0] - mast) * (1 - share) * 0.85, y + 0.02)], 0.006, shade(cloth, 0.55)
        )
    canvas.stroke([foot, boom], 0.014, shade(cloth, 0.35))


THINGS: dict[str, Callable[[Canvas, Rng], None]] = {
    "lighthouse": lighthouse,
    "windmill": windmill,
    "sailboat": sailboat,
    "teapot": lambda canvas, rng: teapot(canvas, rng, paint),
    "watering can": lambda canvas, rng: watering_can(canvas, rng, paint),
}
"""Keyword → how the thing is drawn."""
