"""Objects with a spout: teapots and watering cans."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gallery.drawing.canvas import Canvas, Colour, Point, curve, mix, oval, shade, tapered

Rng = np.random.Generator


def _turned(profile: list[Point]) -> list[Point]:
    """Return the outline of a body of revolution from its right-hand profile."""
    return profile + [(-x, y) for x, y in reversed(profile)]


def teapot(canvas: Canvas, rng: Rng, paint: Callable[[Rng], Colour]) -> None:
    """Draw a round, pear-shaped or straight teapot; a handle behind or above; dots, a band or plain."""
    glaze, trim, light = paint(rng), paint(rng), rng.uniform(0.2, 0.8)
    high, belly = rng.uniform(0.5, 0.7), rng.uniform(0.3, 0.48)
    low, foot, neck = rng.uniform(0.15, 0.45), belly * rng.uniform(0.5, 0.75), belly * rng.uniform(0.3, 0.6)
    if rng.random() < 0.25:  # straight sides
        profile = [(belly * 0.92, 0.0), (belly * 0.9, -high * 0.9), (neck, -high)]
    else:
        lower = curve(
            [(foot, 0.0), (belly * 1.3, -high * low * 0.3), (belly * 1.15, -high * (low + 0.45)), (neck, -high)]
        )
        profile = lower
    body = _turned(profile)
    edge = max(x for x, _ in profile)
    _teapot_handle(canvas, rng, edge, high, glaze if rng.random() < 0.6 else trim)
    tip = (edge + rng.uniform(0.2, 0.34), -high * rng.uniform(0.8, 1.15))
    start = (edge * 0.8, -high * rng.uniform(0.25, 0.45))
    bend = rng.uniform(0.0, 0.2)
    path = curve([start, (tip[0] - 0.06 + bend * 0.4, start[1] + 0.02), (tip[0] - 0.14, tip[1] + 0.12), tip])
    canvas.round(tapered(path, rng.uniform(0.08, 0.12), rng.uniform(0.025, 0.04)), glaze, light=light)
    canvas.round(body, glaze, light=light, depth=0.6)
    _pattern(canvas, rng, edge, high, trim)
    lid, rise = neck * rng.uniform(1.0, 1.2), rng.uniform(0.06, 0.13)
    canvas.round(
        [(-lid, -high), *oval(0, -high, lid, rise, 180, 360)], glaze if rng.random() < 0.7 else trim, light=light
    )
    canvas.stroke([(-lid, -high), (lid, -high)], 0.014, shade(glaze, 0.5))
    knob = rng.uniform(0.03, 0.05)
    canvas.round(oval(0, -high - rise - knob * 0.7, knob, knob), trim, light=light)
    if rng.random() < 0.3:
        for i in range(3):
            x, y = tip[0] + 0.03 * i, tip[1] - 0.1 - 0.1 * i
            canvas.soft(oval(x, y, 0.03 + 0.02 * i, 0.07), (245, 245, 245), 0.5, 0.03)


def _teapot_handle(canvas: Canvas, rng: Rng, edge: float, high: float, colour: Colour) -> None:
    thick = rng.uniform(0.035, 0.06)
    if rng.random() < 0.25:  # a bail over the top
        rise = rng.uniform(0.3, 0.42)
        canvas.stroke(oval(0, -high * 0.85, edge * 0.8, rise, 180, 360), thick, shade(colour, 0.75))
        return
    loop = rng.uniform(0.16, 0.28)
    far = -edge * 0.8
    path = curve(
        [(far, -high * 0.85), (far - loop * 1.7, -high * 1.05), (far - loop * 1.3, -high * 0.1), (far, -high * 0.25)]
    )
    canvas.stroke(path, thick, shade(colour, 0.6))
    canvas.stroke([(x, y - thick * 0.15) for x, y in path], thick * 0.5, shade(colour, 0.95))


def _pattern(canvas: Canvas, rng: Rng, edge: float, high: float, trim: Colour) -> None:
    style = int(rng.integers(4))
    if style == 0:
        for i in range(int(rng.integers(4, 12))):
            x = edge * 0.75 * math.sin(i * 2.4)
            y = -high * (0.25 + 0.5 * ((i * 0.382) % 1))
            dot = rng.uniform(0.015, 0.04)
            canvas.fill(oval(x, y, dot * (1 - 0.5 * abs(x) / edge), dot), trim)
    elif style == 1:
        y, thick = -high * rng.uniform(0.35, 0.6), rng.uniform(0.03, 0.09)
        canvas.round(
            [
                (-edge * 0.93, y),
                *curve([(-edge * 0.93, y), (0, y + 0.07), (edge * 0.93, y)]),
                *curve([(edge * 0.93, y - thick), (0, y + 0.07 - thick), (-edge * 0.93, y - thick)]),
            ],
            trim,
        )
    elif style == 2:
        x, y, petal = rng.uniform(-0.1, 0.1), -high * 0.5, rng.uniform(0.05, 0.09)
        for i in range(5):
            a = math.radians(72 * i)
            canvas.fill(oval(x + petal * math.cos(a), y + petal * math.sin(a), petal * 0.7, petal * 0.7), trim)
        canvas.fill(oval(x, y, petal * 0.6, petal * 0.6), mix(trim, (250, 220, 90), 0.7))


def watering_can(canvas: Canvas, rng: Rng, paint: Callable[[Rng], Colour]) -> None:
    """Draw a tapered drum with a long spout and a rose; a handle behind, above, or both."""
    metal, trim, light = paint(rng), paint(rng), rng.uniform(0.2, 0.8)
    high, base = rng.uniform(0.48, 0.7), rng.uniform(0.26, 0.38)
    top = base * rng.uniform(0.72, 1.0)
    _can_handles(canvas, rng, base, top, high, metal if rng.random() < 0.5 else trim)
    reach, rise = base + rng.uniform(0.35, 0.55), high * rng.uniform(1.0, 1.3)
    start, tip = (base * 0.8, -high * rng.uniform(0.15, 0.3)), (reach, -rise)
    path = (
        [start, tip]
        if rng.random() < 0.6
        else curve([start, (reach * 0.75, start[1]), (reach * 0.8, -rise * 0.8), tip])
    )
    canvas.round(tapered(path, rng.uniform(0.05, 0.075), rng.uniform(0.025, 0.035)), metal, light=light)
    if rng.random() < 0.6:  # a brace between drum and spout
        canvas.stroke(
            [(top * 0.95, -high * 0.9), ((start[0] + tip[0]) / 2, (start[1] + tip[1]) / 2)], 0.022, shade(metal, 0.6)
        )
    _rose(canvas, rng, tip, math.atan2(path[-1][1] - path[-2][1], path[-1][0] - path[-2][0]), trim)
    drum = [(-base, 0.0), *curve([(-base, 0.0), (0, 0.08), (base, 0.0)]), (top, -high), (-top, -high)]
    canvas.round(drum, metal, light=light, depth=0.6)
    for share in (0.12, 0.5, 0.85)[: int(rng.integers(0, 4))]:
        half = base + (top - base) * share
        y = -high * share
        canvas.stroke(
            curve([(-half, y), (0, y + 0.07), (half, y)]), 0.018, shade(trim if rng.random() < 0.5 else metal, 0.7)
        )
    mouth = rng.uniform(0.04, 0.07)
    canvas.fill(oval(0, -high, top, mouth), shade(metal, 0.35))
    if rng.random() < 0.7:  # the half cover
        canvas.round([(top, -high), *oval(0, -high, top, mouth * 1.4, 0, -100), (0, -high + mouth)], metal, light=light)
    canvas.stroke(oval(0, -high, top, mouth), 0.014, shade(metal, 1.15))


def _can_handles(canvas: Canvas, rng: Rng, base: float, top: float, high: float, colour: Colour) -> None:
    thick, choice = rng.uniform(0.035, 0.055), rng.random()
    if choice < 0.75:
        far = rng.uniform(0.2, 0.34)
        path = curve(
            [(-top * 0.7, -high), (-top - far, -high * 1.35), (-base - far, -high * 0.35), (-base * 0.9, -high * 0.25)]
        )
        canvas.stroke(path, thick, shade(colour, 0.65))
        canvas.stroke([(x + thick * 0.1, y - thick * 0.15) for x, y in path], thick * 0.45, shade(colour, 1.0))
    if choice > 0.5:
        rise = rng.uniform(0.14, 0.3)
        canvas.stroke(oval(top * 0.1, -high, top * 0.8, rise, 180, 360), thick, shade(colour, 0.7))


def _rose(canvas: Canvas, rng: Rng, tip: Point, angle: float, colour: Colour) -> None:
    """Draw the sprinkler at the spout's end: a cone that opens away from it."""
    c, s = math.cos(angle), math.sin(angle)
    long, wide = rng.uniform(0.08, 0.13), rng.uniform(0.08, 0.13)
    if rng.random() < 0.12:
        return  # lost, as so often

    def at(along: float, aside: float) -> Point:
        return (tip[0] + along * c - aside * s, tip[1] + along * s + aside * c)

    canvas.round([at(-0.01, -0.03), at(-0.01, 0.03), at(long, wide), at(long, -wide)], colour)
    face = [at(long + 0.025 * math.cos(t), wide * math.sin(t)) for t in np.linspace(0, 2 * math.pi, 30)]
    canvas.fill(face, shade(colour, 0.6))
    if rng.random() < 0.3:
        for i in range(7):
            aside = wide * (-0.8 + i * 1.6 / 6)
            drop = [at(long + 0.02, aside), (at(long + 0.1, aside)[0] + 0.08, tip[1] + 0.3 + 0.04 * (i % 3))]
            canvas.stroke(curve([drop[0], (drop[1][0], drop[0][1]), drop[1]], 8), 0.007, (206, 224, 236))
