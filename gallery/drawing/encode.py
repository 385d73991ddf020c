"""Encoding of pictures, in the formats found on the web."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

ENCODINGS: dict[str, tuple[str, str]] = {
    "jpeg": ("jpg", "image/jpeg"),
    "jpeg_progressive": ("jpg", "image/jpeg"),
    "jpeg_exif": ("jpg", "image/jpeg"),
    "jpeg_cmyk": ("jpg", "image/jpeg"),
    "jpeg_grey": ("jpeg", "image/jpeg"),
    "jpeg_octet_stream": ("jpg", "application/octet-stream"),
    "png": ("png", "image/png"),
    "png_palette": ("png", "image/png"),
    "png_grey16": ("png", "image/png"),
    "png_rgba": ("png", "image/png"),
    "webp": ("webp", "image/webp"),
    "webp_as_jpg": ("jpg", "image/jpeg"),
    "gif": ("gif", "image/gif"),
    "bmp": ("bmp", "image/bmp"),
    "tiff": ("tif", "image/tiff"),
}
"""Name of an encoding → file name extension, Content-Type (both as claimed: two encodings claim wrongly)."""

_SHARES = {
    "jpeg": 30,
    "jpeg_progressive": 4,
    "jpeg_exif": 6,
    "jpeg_cmyk": 1,
    "jpeg_grey": 1,
    "jpeg_octet_stream": 2,
    "png": 4,
    "png_palette": 1,
    "png_grey16": 1,
    "png_rgba": 2,
    "webp": 3,
    "webp_as_jpg": 2,
    "gif": 1,
    "bmp": 1,
    "tiff": 1,
}
_EXIF_ORIENTATION = 0x0112
# How to lay an upright picture down so that the orientation in the key stands it up again (EXIF 2.32, tag Orientation).
_LAID_DOWN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def encoding_deck(rng: np.random.Generator) -> list[str]:
    """Return 60 encodings in random order, in the shares of a keyword's pictures."""
    deck = [name for name, count in _SHARES.items() for _ in range(count)]
    return [deck[i] for i in rng.permutation(len(deck))]


def encode(image: Image.Image, encoding: str, rng: np.random.Generator, quality: int | None = None) -> bytes:
    """Write an upright RGB picture in one of ENCODINGS; ``quality`` (1–100) is drawn at random unless given."""
    quality = quality or int(rng.integers(62, 96))
    match encoding:
        case "jpeg_progressive":
            return _save(image, "JPEG", quality=quality, progressive=True)
        case "jpeg_exif":
            orientation = int(rng.choice(list(_LAID_DOWN)))
            exif = Image.Exif()
            exif[_EXIF_ORIENTATION] = orientation
            return _save(image.transpose(_LAID_DOWN[orientation]), "JPEG", quality=quality, exif=exif)
        case "jpeg_cmyk":
            return _save(image.convert("CMYK"), "JPEG", quality=quality)
        case "jpeg_grey":
            return _save(image.convert("L"), "JPEG", quality=quality)
        case "png":
            return _save(image, "PNG", compress_level=1)
        case "png_palette":
            return _save(image.quantize(128, method=Image.Quantize.FASTOCTREE), "PNG", compress_level=2)
        case "png_grey16":
            grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
            return _save(Image.fromarray(grey), "PNG", compress_level=1)
        case "png_rgba":
            return _save(_cut_out(image, rng), "PNG", compress_level=1)
        case "webp" | "webp_as_jpg":
            return _save(image, "WEBP", quality=quality, method=0)
        case "gif":
            return _save(image.quantize(96, method=Image.Quantize.FASTOCTREE), "GIF")
        case "bmp":
            return _save(image, "BMP")
        case "tiff":
            return _save(image, "TIFF", compression="tiff_lzw")
        case _:
            return _save(image, "JPEG", quality=quality, subsampling=int(rng.choice([0, 2])))


def upright_rgb(body: bytes) -> Image.Image:
    """Open bytes as a browser shows them: upright, transparency on white, 8 bits."""
    with Image.open(io.BytesIO(body)) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):
            return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
        if image.mode == "RGBA":
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image).convert("RGB")
        return image.convert("RGB")


def _save(image: Image.Image, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def _cut_out(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Make the picture's margin transparent, with a soft edge."""
    width, height = image.size
    mask = Image.new("L", image.size, 0)
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 0.5 + 0.04 * np.sin(turn * int(rng.integers(2, 6)) + rng.uniform(0, 6))
    # Squarer than an ellipse, so that little of the picture is lost.
    stretch = 1 / np.maximum(np.abs(np.cos(turn)), np.abs(np.sin(turn))) ** 0.8
    x = width / 2 + width * 0.94 * radius * stretch * np.cos(turn)
    y = height / 2 + height * 0.94 * radius * stretch * np.sin(turn)
    ImageDraw.Draw(mask).polygon(list(zip(x.tolist(), y.tolist(), strict=True)), fill=255)
    cut = image.convert("RGBA")
    cut.putalpha(mask.filter(ImageFilter.BoxBlur(2)))
    return cut
