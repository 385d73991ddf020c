"""Indoor scenes and their furnishings."""

from __future__ import annotations

import numpy as np

from gallery.drawing.canvas import Canvas, Colour, box, curve, mix, oval, shade
from gallery.drawing.scenes import Paint, Stage, wash

Rng = np.random.Generator


def room(canvas: Canvas, rng: Rng, paint: Paint) -> Stage:
    """Draw a table or shelf before a wall: plain, papered, tiled, with a window or a picture on it."""
    wall = paint(rng)
    wash(canvas, rng, shade(wall, rng.uniform(0.7, 1.2)), shade(wall, rng.uniform(0.45, 1.0)), rng.uniform(3, 16))
    _on_the_wall(canvas, rng, paint)
    edge = rng.uniform(0.5, 0.85)
    wood = mix(paint(rng), (150, 106, 70), rng.choice([0.0, 0.8]))
    end = canvas.aspect + 0.1
    top = [(-0.1, edge), (end, edge + rng.uniform(-0.05, 0.05)), (end, 1.1), (-0.1, 1.1)]
    far, near = shade(wood, rng.uniform(0.8, 1.15)), shade(wood, rng.uniform(0.4, 0.8))
    canvas.gradient(top, far, near, (0, edge), (rng.uniform(-0.5, 0.5), 1.0))
    if rng.random() < 0.4:
        for _ in range(12):  # grain
            y = edge + rng.random() * (1 - edge)
            line = curve([(-0.1, y), (canvas.aspect / 2, y + rng.uniform(-0.03, 0.03)), (end, y)], 8)
            canvas.stroke(line, 0.004, shade(wood, 0.7))
    ground = min(0.96, edge + (1 - edge) * rng.uniform(0.25, 0.75))
    for _ in range(int(rng.integers(0, 5))):
        prop(canvas, rng, rng.uniform(0, canvas.aspect), ground - rng.uniform(0.0, 0.1), paint)
    side = rng.uniform(-0.3, 0.3)
    return Stage(
        ground,
        lambda x, size: canvas.soft(oval(x + side * size, ground, size * 0.5, size * 0.06), (14, 12, 16), 0.5, 0.015),
    )


def studio(canvas: Canvas, rng: Rng, paint: Paint) -> Stage:
    """Draw a seamless backdrop with a pool of light, as in a catalogue."""
    colour = mix(paint(rng), (236, 234, 230), rng.choice([0.0, 0.5, 0.85]))
    wash(canvas, rng, shade(colour, rng.uniform(0.5, 1.1)), shade(colour, rng.uniform(0.5, 1.1)), rng.uniform(4, 20))
    x, y = rng.uniform(0, canvas.aspect), rng.uniform(0.1, 0.9)
    canvas.soft(oval(x, y, rng.uniform(0.15, 0.5), rng.uniform(0.15, 0.4)), shade(colour, 1.5), 0.7, 0.12)
    if rng.random() < 0.5:
        slant, colour = rng.uniform(-0.6, 0.6), paint(rng)
        line, end = rng.uniform(0.3, 0.8), canvas.aspect + 0.1
        canvas.soft([(-0.1, line - slant / 2), (end, line + slant / 2), (end, 1.2), (-0.1, 1.2)], colour, 0.8, 0.01)
    ground = rng.uniform(0.68, 0.94)
    return Stage(
        ground,
        lambda x, size: canvas.soft(oval(x, ground, size * 0.5, size * 0.05), shade(colour, 0.25), 0.5, 0.02),
    )


def _on_the_wall(canvas: Canvas, rng: Rng, paint: Paint) -> None:
    ink, choice = paint(rng), int(rng.integers(7))
    if choice == 0:  # stripes
        wide = rng.uniform(0.04, 0.18)
        for i in range(round(canvas.aspect / wide / 2) + 1):
            canvas.fill(box(i * wide * 2, 1, i * wide * 2 + wide, -0.1), ink)
    elif choice == 1:  # tiles
        side = rng.uniform(0.1, 0.22)
        for i in range(round(max(canvas.aspect, 1) / side) + 2):
            canvas.stroke([(i * side, -0.1), (i * side, 1)], 0.008, ink)
            canvas.stroke([(-0.1, i * side), (canvas.aspect + 0.1, i * side)], 0.008, ink)
    elif choice in (2, 3):  # a window
        x, y = rng.uniform(0, canvas.aspect), rng.uniform(-0.1, 0.2)
        wide, high = rng.uniform(0.2, 0.5), rng.uniform(0.3, 0.5)
        sky = mix((170, 200, 226), (250, 214, 160), rng.random())
        canvas.gradient(box(x, y + high, x + wide, y), sky, shade(sky, 0.8), (x, y), (x, y + high))
        frame = shade(ink, 1.2)
        for share in (0.0, 0.5, 1.0):
            canvas.stroke([(x + wide * share, y), (x + wide * share, y + high)], 0.02, frame)
            canvas.stroke([(x, y + high * share), (x + wide, y + high * share)], 0.02, frame)
    elif choice in (4, 5):  # pictures
        for _ in range(int(rng.integers(1, 4))):
            x, y = rng.uniform(0, canvas.aspect), rng.uniform(0, 0.3)
            wide, high = rng.uniform(0.1, 0.35), rng.uniform(0.1, 0.35)
            for inset, colour in ((0.0, shade(ink, 0.5)), (0.018, (230, 226, 214)), (0.05, paint(rng))):
                canvas.fill(box(x + inset, y + high - inset, x + wide - inset, y + inset), colour)
    # else: bare


def _books(canvas: Canvas, rng: Rng, colour: Colour, size: float, paint: Paint) -> None:
    for i in range(int(rng.integers(2, 6))):
        left, high = i * size * 0.24, size * rng.uniform(1.2, 1.7)
        canvas.fill(box(left, 0, left + size * 0.22, -high), paint(rng))


def _bottle(canvas: Canvas, rng: Rng, colour: Colour, size: float, paint: Paint) -> None:
    half, neck = size * 0.3, size * 0.105
    right = [(half, 0.0), (half, -size), (neck, -size * 1.35), (neck, -size * 1.9)]
    canvas.round(right + [(-x, y) for x, y in reversed(right)], colour)


def _cup(canvas: Canvas, rng: Rng, colour: Colour, size: float, paint: Paint) -> None:
    half = size * 0.45
    canvas.stroke(oval(half, -size * 0.4, half * 0.5, size * 0.22), 0.016, shade(colour, 0.7))
    canvas.round([(-half * 0.7, 0), (half * 0.7, 0), (half, -size * 0.8), (-half, -size * 0.8)], colour)
    canvas.fill(oval(0, -size * 0.8, half, size * 0.1), shade(colour, 0.5))


def _crate(canvas: Canvas, rng: Rng, colour: Colour, size: float, paint: Paint) -> None:
    back, top = size * 0.3, -size * 1.2
    canvas.fill(box(0, 0, size, -size), colour)
    side = [(size, 0.0), (size + back, -size * 0.2), (size + back, top), (size, -size)]
    canvas.fill(side, shade(colour, 0.6))
    canvas.fill([(0, -size), (size, -size), (size + back, top), (back, top)], shade(colour, 1.2))


def _fruit(canvas: Canvas, rng: Rng, colour: Colour, size: float, paint: Paint) -> None:
    for i in range(int(rng.integers(1, 4))):
        canvas.round(oval(i * size * 0.5, -size * 0.25, size * 0.28, size * 0.26), paint(rng))


def _plant(canvas: Canvas, rng: Rng, colour: Colour, size: float, paint: Paint) -> None:
    half = size * 0.35
    canvas.round([(-half * 0.7, 0), (half * 0.7, 0), (half, -size * 0.6), (-half, -size * 0.6)], colour)
    for _ in range(9):
        tip = (rng.uniform(-1, 1) * size, -size * rng.uniform(0.8, 1.9))
        leaf = shade((74, 118, 62), rng.uniform(0.6, 1.2))
        canvas.stroke(curve([(0, -size * 0.6), (0, tip[1]), tip], 8), 0.016, leaf)


_PROPS = (_books, _bottle, _cup, _crate, _fruit, _plant)


def prop(canvas: Canvas, rng: Rng, x: float, ground: float, paint: Paint, scale: float = 1.0) -> None:
    """Draw another object, standing on (x, ground): books, a bottle, a cup, a crate, fruit, a plant."""
    colour, size = paint(rng), rng.uniform(0.08, 0.22)
    canvas.place(x, ground, scale, flip=bool(rng.random() < 0.5))
    _PROPS[int(rng.integers(len(_PROPS)))](canvas, rng, colour, size, paint)
    canvas.place()
