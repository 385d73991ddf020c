"""A canvas at twice the output resolution, with shapes in local units and soft light."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLE = 2


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Blend a ``share`` (0–1) of ``b`` into ``a``."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (factor below 1) or lighten (above) a colour."""
    return mix(colour, (0, 0, 0), 1 - factor) if factor < 1 else mix(colour, (255, 255, 255), factor - 1)


def box(left: float, bottom: float, right: float, top: float) -> list[Point]:
    """Return a rectangle's corners."""
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def oval(cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360) -> list[Point]:
    """Return points on an ellipse from ``start`` to ``end`` degrees, clockwise from three o'clock."""
    steps = max(8, round(48 * abs(end - start) / 360))
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def curve(points: Sequence[Point], steps: int = 24) -> list[Point]:
    """Return a Bézier curve through the first and last of two to four control points."""
    result = []
    for i in range(steps + 1):
        t = i / steps
        level = list(points)
        while len(level) > 1:
            level = [
                (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for a, b in zip(level, level[1:], strict=False)
            ]
        result.append(level[0])
    return result


def tapered(path: Sequence[Point], start: float, end: float) -> list[Point]:
    """Return the outline of a stroke along ``path`` whose half width goes from ``start`` to ``end``."""
    left, right = [], []
    for i, (x, y) in enumerate(path):
        ax, ay = path[max(0, i - 1)]
        bx, by = path[min(len(path) - 1, i + 1)]
        length = math.hypot(bx - ax, by - ay) or 1.0
        half = start + (end - start) * i / max(1, len(path) - 1)
        nx, ny = -(by - ay) / length * half, (bx - ax) / length * half
        left.append((x + nx, y + ny))
        right.append((x - nx, y - ny))
    return left + right[::-1]


class Canvas:
    """An RGB picture being drawn, in the units set by ``place``: at first, picture heights from the top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width * SUPERSAMPLE, height * SUPERSAMPLE)
        self.image = Image.new("RGB", self.size)
        self._draw = ImageDraw.Draw(self.image)
        self.aspect = width / height
        self.place()

    def place(
        self,
        x: float = 0.0,
        y: float = 0.0,
        scale: float = 1.0,
        *,
        angle: float = 0.0,
        flip: bool = False,
        stretch: float = 1.0,
        lean: float = 0.0,
    ) -> None:
        """Set the origin to x, y (in picture heights) and one unit to ``scale`` picture heights.

        Args:
            x: Across, from the left edge.
            y: Down, from the top edge.
            scale: Size of one unit.
            angle: Degrees clockwise.
            flip: Mirror left and right.
            stretch: Makes things wider.
            lean: Shear: how far up leans to the right.
        """
        unit = scale * self.size[1]
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        across = -stretch if flip else stretch
        self._matrix = (c * across * unit, (-s - c * lean) * unit, s * across * unit, (c - s * lean) * unit)
        self._origin = (x * self.size[1], y * self.size[1])
        self._unit = unit

    def pixels(self, points: Sequence[Point]) -> list[Point]:
        """Convert points to the canvas's pixels."""
        a, b, c, d = self._matrix
        ox, oy = self._origin
        return [(a * x + b * y + ox, c * x + d * y + oy) for x, y in points]

    def fill(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon with one colour."""
        self._draw.polygon(self.pixels(points), fill=colour)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a line with round joints, ``width`` units wide."""
        self._draw.line(self.pixels(points), fill=colour, width=max(1, round(width * self._unit)), joint="curve")

    def round(self, points: Sequence[Point], colour: Colour, *, light: float = 0.35, depth: float = 0.5) -> None:
        """Fill a polygon with the shading of a round body, from its left to its right.

        Args:
            points: The outline.
            colour: Where light falls on it.
            light: Where that is, from 0 (left) to 1 (right).
            depth: How dark it gets away from there, 0–1.
        """
        ramp = np.linspace(0, 1, 256)
        lit = 1 - depth * np.clip(np.abs(ramp - light) / 0.75, 0, 1) ** 1.5
        shine = 0.22 * np.exp(-(((ramp - light) / 0.13) ** 2))
        table = np.clip(np.array(colour)[None] * lit[:, None] + 255 * shine[:, None], 0, 255)
        xs = [x for x, _ in points]
        self._ramp(points, table.astype(np.uint8), (min(xs), 0.0), (max(xs), 0.0))

    def gradient(self, points: Sequence[Point], a: Colour, b: Colour, start: Point, end: Point) -> None:
        """Fill a polygon with a gradient from ``a`` at ``start`` to ``b`` at ``end``."""
        share = np.linspace(0, 1, 256)[:, None]
        table = np.array(a)[None] * (1 - share) + np.array(b)[None] * share
        self._ramp(points, table.astype(np.uint8), start, end)

    def soft(self, points: Sequence[Point], colour: Colour, opacity: float, blur: float) -> None:
        """Fill a polygon with a blurred edge, for shadows, clouds, glows; ``blur`` in units."""
        small = 8  # drawn at an eighth of the resolution: nothing sharp is lost
        mask = Image.new("L", (self.size[0] // small + 1, self.size[1] // small + 1))
        outline = [(x / small, y / small) for x, y in self.pixels(points)]
        ImageDraw.Draw(mask).polygon(outline, fill=round(255 * opacity))
        radius = blur * self._unit / small
        soft = mask.filter(ImageFilter.GaussianBlur(radius))
        box = soft.getbbox()
        if box is None:
            return
        full = soft.crop(box).resize(((box[2] - box[0]) * small, (box[3] - box[1]) * small), Image.Resampling.BILINEAR)
        self.image.paste(colour, (box[0] * small, box[1] * small), full)

    def backdrop(self, pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        """Fill the canvas with a small float array [h, w, 3] in 0–255, smoothly enlarged."""
        small = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        self.image.paste(small.resize(self.size, Image.Resampling.BICUBIC))

    def finished(self) -> Image.Image:
        """Return the picture at its output resolution."""
        return self.image.reduce(SUPERSAMPLE)

    def _ramp(
        self,
        points: Sequence[Point],
        table: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
        start: Point,
        end: Point,
    ) -> None:
        """Fill a polygon by looking up each pixel's way from ``start`` to ``end`` in a table [256, 3]."""
        outline = self.pixels(points)
        (sx, sy), (ex, ey) = self.pixels([start, end])
        left = max(0, math.floor(min(x for x, _ in outline)))
        top = max(0, math.floor(min(y for _, y in outline)))
        right = min(self.size[0], math.ceil(max(x for x, _ in outline)) + 1)
        bottom = min(self.size[1], math.ceil(max(y for _, y in outline)) + 1)
        if right <= left or bottom <= top:
            return  # outside the picture
        length = (ex - sx) ** 2 + (ey - sy) ** 2 or 1.0
        across = (np.arange(left, right, dtype=np.float32) - sx) * ((ex - sx) / length)
        down = (np.arange(top, bottom, dtype=np.float32) - sy) * ((ey - sy) / length)
        way = np.clip((across[None, :] + down[:, None]) * 255, 0, 255).astype(np.uint8)
        mask = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in outline], fill=255)
        self.image.paste(Image.fromarray(table[way]), (left, top), mask)
