"""Photo-like pictures with planted copies, for the benchmark of cleaning; the same for everybody."""

from __future__ import annotations

import csv
import io
import multiprocessing
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 1000, 750
KINDS = ("half", "jpeg40", "crop5", "watermark", "bright", "mirror")
COPIES = 0.2

Picture = npt.NDArray[np.uint8]


def make(folder: Path, count: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """Write `count` JPEGs where missing, a fifth of them copies; return the truth as (file, kind, of).

    An original has one copy at most. The kinds take turns.
    """
    truth_file = folder / "truth.csv"
    if not truth_file.is_file():
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        originals = count - int(COPIES * count)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            rows = pool.map(partial(_write, folder / "pictures", originals, seed), range(count), chunksize=20)
        with truth_file.open("w", newline="") as file:
            csv.writer(file).writerows(row for row in rows if row[1])
    with truth_file.open(newline="") as file:
        return [(name, kind, of) for name, kind, of in csv.reader(file)]


def _write(folder: Path, originals: int, seed: int, index: int) -> tuple[str, str, str]:
    rng = np.random.default_rng((seed, 1, index))
    if index < originals:
        image, quality, kind, of = photo(seed, index), int(rng.integers(75, 93)), "", ""
    else:
        number = index - originals
        kind = KINDS[number % len(KINDS)]
        image, quality = edited(photo(seed, number), kind, rng)
        of = name_of(seed, number)
    name = name_of(seed, index)
    image.save(folder / name, "JPEG", quality=quality)
    return name, kind, of


def name_of(seed: int, index: int) -> str:
    """Return a file name that does not reveal which file copies which."""
    return f"{np.random.default_rng((seed, 2, index)).integers(2**48):012x}.jpg"


def photo(seed: int, index: int) -> Image.Image:
    """Draw noise whose amplitude falls as 1/f, a light gradient, shapes without shadows, and grain."""
    rng = np.random.default_rng((seed, 0, index))
    height, width = HEIGHT // 2, WIDTH // 2
    canvas: npt.NDArray[np.float32] = np.zeros((height, width, 3), np.float32)
    steepness = rng.uniform(0.8, 1.2)
    for cells in (2, 4, 8, 16, 32, 64, 128):
        grid = (cells * 3 // 4 + 2, cells + 2)
        grey, colour = rng.normal(0, 1, (*grid, 1)), rng.normal(0, 0.35, (*grid, 3))
        layer = ((grey + colour) * (2 / cells) ** steepness).astype(np.float32)
        canvas += cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)
    tilt = np.linspace(-1, 1, height)[:, None] * rng.normal(0, 0.5) + np.linspace(-1, 1, width) * rng.normal(0, 0.3)
    canvas += tilt[:, :, None].astype(np.float32)
    for _ in range(int(rng.integers(3, 12))):
        _put_thing(canvas, rng)
    canvas *= rng.uniform(35, 60) / max(0.5, float(canvas.std()))
    canvas += rng.uniform(90, 150)
    canvas = np.asarray(cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)
    canvas += (rng.random(canvas.shape, np.float32) - 0.5) * rng.uniform(3, 16)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def _put_thing(canvas: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Draw a convex shape of its own shade, with the ground's texture showing through."""
    height, width = canvas.shape[:2]
    centre, size = rng.uniform((0, 0), (width, height)), rng.uniform(15, 110)
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
    corners = centre + size * np.stack([np.cos(angles), rng.uniform(0.5, 1) * np.sin(angles)], axis=1)
    x, y = (max(0, int(low) - 2) for low in corners.min(axis=0))
    part = canvas[y : int(corners[:, 1].max()) + 3, x : int(corners[:, 0].max()) + 3]
    if part.size:
        mask = np.zeros(part.shape[:2], np.float32)
        cv2.fillPoly(mask, [np.round((corners - (x, y)) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        shade = (rng.normal(0, 1.2) + rng.normal(0, 0.5, 3)).astype(np.float32)
        part += mask[:, :, None] * (shade - 0.6 * part)


def edited(image: Image.Image, kind: str, rng: np.random.Generator) -> tuple[Image.Image, int]:
    """Return the edited copy, and the quality to save it with."""
    width, height = image.size
    if kind == "half":
        return image.resize((width // 2, height // 2), Image.Resampling.BICUBIC), 85
    if kind == "jpeg40":
        return image, 40
    if kind == "crop5":
        w, h = round(width * 0.95), round(height * 0.95)
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        return image.crop((x, y, x + w, y + h)), 85
    if kind == "watermark":
        return watermarked(image), 85
    if kind == "bright":
        return image.point(lambda level: min(255, int(level * 1.2))), 85
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 85


def watermarked(image: Image.Image) -> Image.Image:
    """Draw half-transparent words across the picture, and a name in its corner."""
    width, height = image.size
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(size=max(10, width // 10))
    draw.text((width * 0.15, height * 0.42), "© SAMPLE", font=font, fill=(255, 255, 255, 120))
    font = ImageFont.load_default(size=max(8, width // 30))
    draw.text((width * 0.7, height * 0.92), "stock.example", font=font, fill=(255, 255, 255, 220))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode as JPEG."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
