"""Off-topic pictures: patterns, charts, pages of text."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

Rng = np.random.Generator


def abstract(size: tuple[int, int], rng: Rng) -> Image.Image:
    """Draw an off-topic picture, RGB of ``size`` (width, height) pixels."""
    ground, ink, third = (tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(3))
    style = int(rng.integers(4))
    if style == 0:
        return _interference(size, ground, ink, rng)
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    width, height = size
    if style == 1:  # a bar chart
        bars = int(rng.integers(4, 14))
        for i in range(bars):
            left = width * (i + 0.15) / bars
            draw.rectangle(
                (left, height * (1 - rng.uniform(0.1, 0.9)), left + width * 0.7 / bars, height),
                fill=ink if i % 2 else third,
            )
    elif style == 2:  # a page of text
        image.paste((246, 244, 238), (0, 0, width, height))
        line = max(6, height // int(rng.integers(16, 36)))
        for y in range(line, height - line, line):
            x = line
            while x < width - line:
                word = int(rng.integers(line // 2, line * 4))
                draw.rectangle((x, y, min(x + word, width - line), y + line // 2), fill=(40, 40, 44))
                x += word + line // 2
    else:  # confetti
        for _ in range(int(rng.integers(60, 200))):
            across, down, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.02, 0.09) * height
            draw.regular_polygon(
                (across, down, radius), int(rng.integers(3, 8)), fill=tuple(int(v) for v in rng.integers(0, 256, 3))
            )
    return image


def _interference(size: tuple[int, int], a: tuple[int, ...], b: tuple[int, ...], rng: Rng) -> Image.Image:
    """Rings of two waves."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32) / max(size)
    share = np.zeros_like(x)
    for _ in range(2):
        cx, cy, waves = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(30, 110)
        share += np.sin(np.hypot(x - cx, y - cy) * waves)
    share = (share / 4 + 0.5)[..., None]
    return Image.fromarray((np.array(a) * (1 - share) + np.array(b) * share).astype(np.uint8))
