"""Rendering of the drawn pictures: an object in a scene, light, lens effects, and planted faults."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from gallery.drawing.abstract import abstract
from gallery.drawing.canvas import Canvas
from gallery.drawing.encode import encode, upright_rgb
from gallery.drawing.rooms import prop, room, studio
from gallery.drawing.scenes import Paint, Stage, coast, garden, land, noise, sea
from gallery.drawing.things import THINGS, paint

Rng = np.random.Generator
WORK_SIDE = (
    520  # drawn with this longer side (twice, before reducing) and enlarged: 30 ms instead of 150 for a large picture
)

_SCENES: dict[str, Callable[[Canvas, Rng, Paint], Stage]] = {
    "sea": sea,
    "land": land,
    "coast": coast,
    "garden": garden,
    "room": room,
    "studio": studio,
}
# Percentages per scene, in the order of _SCENES. Every thing is met everywhere (models on shelves, pots on beaches), or
# the scene alone would tell what is on the picture.
_HABITAT = {
    "lighthouse": (22, 22, 24, 8, 12, 12),
    "windmill": (10, 40, 16, 10, 12, 12),
    "sailboat": (40, 10, 16, 6, 16, 12),
    "teapot": (6, 10, 8, 20, 38, 18),
    "watering can": (6, 14, 8, 36, 22, 14),
}


@dataclass(frozen=True)
class Spec:
    """Parameters of one picture's bytes.

    Attributes:
        seed: The site's.
        keyword: The thing that is drawn.
        number: Seeds the drawing, together with the site's seed and the keyword.
        kind: One of KINDS; for ``two_keywords``, how the copy was made.
        encoding: One of ENCODINGS.
        size: Width and height as shown upright, in pixels.
        original: For copies, the original's spec.
        strength: For copies, the scale (resized) or JPEG quality (recompressed).
    """

    seed: int
    keyword: str
    number: int
    kind: str
    encoding: str
    size: tuple[int, int]
    original: Spec | None = None
    strength: float = 1.0

    def rng(self) -> Rng:
        """The random generator of every draw for this picture."""
        return np.random.default_rng([self.seed, zlib.crc32(self.keyword.encode()), self.number])


@lru_cache(maxsize=64)
def body_of(spec: Spec) -> bytes | None:
    """Return the bytes that the site serves for a picture; None for a missing one."""
    if spec.original is not None:
        return _copy(spec, spec.original)
    rng = spec.rng()
    match spec.kind:
        case "missing":
            return None
        case "html":
            return b"<!DOCTYPE html>\n<html><head><title>Hotlinking is not allowed</title></head>\n<body><h1>Sorry</h1><p>Please visit our site to see this picture.</p></body></html>\n"  # noqa: E501
        case "blank":
            image = _blank(spec.size, rng)
        case "off_topic":
            # Half of them are pictures of something else, the other half of nothing at all.
            image = draw(None, spec.size, rng) if rng.random() < 0.5 else abstract(spec.size, rng)
        case "tiny":
            image = draw(spec.keyword, (96, 96), rng).resize(spec.size, Image.Resampling.BOX)
        case _:
            image = draw(spec.keyword, spec.size, rng)
    body = encode(image, spec.encoding, rng)
    if spec.kind == "truncated":
        return body[: round(len(body) * rng.uniform(0.3, 0.7))]
    return body


def draw(keyword: str | None, size: tuple[int, int], rng: Rng) -> Image.Image:
    """Draw a picture of the object called ``keyword``, or of none of the five; upright RGB of ``size`` pixels."""
    scale = min(1.0, WORK_SIDE / max(size))
    width, height = round(size[0] * scale), round(size[1] * scale)
    canvas = Canvas(width, height)
    scenes = list(_SCENES.values())
    weights = np.array(_HABITAT[keyword] if keyword else [1] * len(scenes), float)
    stage = scenes[int(rng.choice(len(scenes), p=weights / weights.sum()))](canvas, rng, paint)
    if keyword:
        _put(canvas, rng, keyword, stage)
    else:
        for _ in range(int(rng.integers(2, 5))):
            x = rng.uniform(0.1, 0.9) * canvas.aspect
            prop(canvas, rng, x, stage.ground, paint, scale=rng.uniform(1.0, 2.2))
    if rng.random() < 0.15:
        _in_front(canvas, rng)
    image = _photograph(canvas.finished(), rng)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return _framed(image, rng)


def _put(canvas: Canvas, rng: Rng, keyword: str, stage: Stage) -> None:
    """Place one to three of the object in the scene."""
    number = int(rng.choice([1, 1, 1, 1, 1, 2, 3]))
    wide = 1.35 if keyword in ("teapot", "watering can") else 1.0  # about the width of one that is 1 high
    largest = min(0.92 if wide == 1.0 else 0.85, canvas.aspect * 0.9 / wide)
    for nth in range(number):
        size = largest * rng.uniform(0.42, 1.0) * (1.0 if number == 1 else rng.uniform(0.5, 0.75))
        middle = canvas.aspect * ((nth + 0.5) / number if number > 1 else rng.uniform(0.3, 0.7))
        x = middle + rng.uniform(-0.08, 0.08) * canvas.aspect
        y = max(stage.ground, min(0.97, size * 1.1 + 0.02))  # nothing is cut off at the top if it can be helped
        if stage.cover is not None and abs(y - stage.ground) < 0.05:
            stage.cover(x, size)
        canvas.place(
            x,
            y,
            size,
            angle=float(rng.normal(0, 4)),
            flip=bool(rng.random() < 0.5),
            stretch=rng.uniform(0.85, 1.2),
            lean=float(rng.normal(0, 0.06)),
        )
        THINGS[keyword](canvas, rng)
        canvas.place()


def _in_front(canvas: Canvas, rng: Rng) -> None:
    """Draw an occluder near the lens: a prop, or a few leaves out of focus."""
    if rng.random() < 0.5:
        prop(canvas, rng, rng.uniform(0, canvas.aspect), rng.uniform(0.95, 1.1), paint)
        return
    colour = paint(rng)
    side = float(rng.choice([0.0, canvas.aspect]))
    for _ in range(4):
        x, y = side + rng.uniform(-0.15, 0.15), rng.uniform(0, 1)
        canvas.soft([(x - 0.12, y), (x, y - 0.06), (x + 0.16, y + 0.03), (x, y + 0.07)], colour, 0.9, 0.012)


def _photograph(image: Image.Image, rng: Rng) -> Image.Image:
    """Apply light, exposure, colour cast, texture, grain and focus."""
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    width, height = image.size
    pixels = np.asarray(image, dtype=np.float32)
    # Big soft patches of light and shade, as from clouds, lamps and leaves.
    light = 1 + rng.uniform(0.08, 0.3) * noise(rng, height, width, int(rng.integers(2, 5)))
    grain = rng.standard_normal((height // 2, width // 2), dtype=np.float32) * rng.uniform(1, 9)
    coarse = np.asarray(Image.fromarray(grain).resize((width, height), Image.Resampling.BILINEAR))
    cast = rng.normal(1, 0.05, 3).astype(np.float32) * np.float32(rng.uniform(0.75, 1.2))
    contrast = np.float32(rng.uniform(0.75, 1.15))
    pixels = (pixels * np.clip(light, 0.35, 1.7)[..., None] - 128) * contrast + 128
    pixels = pixels * cast + coarse[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _framed(image: Image.Image, rng: Rng) -> Image.Image:
    """Add a border now and then, as of a print or a slide; the size stays."""
    if rng.random() > 0.07:
        return image
    border = max(4, round(min(image.size) * rng.uniform(0.02, 0.06)))
    inner = image.resize((image.width - 2 * border, image.height - 2 * border), Image.Resampling.BILINEAR)
    return ImageOps.expand(inner, border, fill=(248, 246, 240) if rng.random() < 0.6 else (18, 18, 20))


def _blank(size: tuple[int, int], rng: Rng) -> Image.Image:
    """Draw a placeholder or a failed scan: one colour, with the faintest noise."""
    colour = rng.choice([0, 255, *rng.integers(40, 220, 2)])
    pixels = np.full((size[1], size[0], 3), colour, np.float32) + rng.normal(0, 0.6, (size[1], size[0], 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _copy(spec: Spec, original: Spec) -> bytes | None:
    body = body_of(original)
    if spec.kind == "exact_copy" or body is None:
        return body
    image, rng = upright_rgb(body), spec.rng()
    if spec.kind == "mirrored":
        return encode(ImageOps.mirror(image), spec.encoding, rng, quality=85)
    if spec.kind == "resized":
        return encode(image.resize(spec.size, Image.Resampling.LANCZOS), spec.encoding, rng, quality=88)
    return encode(image, spec.encoding, rng, quality=round(spec.strength))
