"""Convert any of Pillow's pixel modes of 8 bits to sRGB on white."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

_PIXELS_AT_ONCE = 4_000_000
_WHITE = (255, 255, 255)
_OPAQUE = {"LA": "L", "La": "L", "PA": "RGB", "P": "RGB", "RGBA": "RGB", "RGBa": "RGB"}


def rgb_pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Convert a loaded image of any mode of 8 bits to uint8 [H, W, 3], as `to_rgb` does.

    A large one is converted in strips, for the steps between would hold several times its memory.
    """
    width, height = image.size
    rows = max(1, _PIXELS_AT_ONCE // width)
    if rows >= height:
        return np.array(to_rgb(image))
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        pixels[top:bottom] = np.asarray(to_rgb(image.crop((0, top, width, bottom))))
    return pixels


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image of any mode of 8 bits to RGB: sRGB by its embedded profile, transparency on white.

    A profile that is broken or does not fit the pixels is ignored.
    """
    profile = image.info.get("icc_profile")
    if not image.has_transparency_data:
        return _in_srgb(image.convert("RGB") if image.mode == "P" else image, profile)
    clear = image.convert("RGBA")
    opaque = clear.convert("L") if _OPAQUE.get(image.mode, image.mode) in ("1", "L") else clear.convert("RGB")
    seen = Image.new("RGB", image.size, _WHITE)
    seen.paste(_in_srgb(opaque, profile), mask=clear.getchannel("A"))
    return seen


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image.convert("RGB")
    if isinstance(profile, bytes) and profile and image.mode in ("L", "RGB", "CMYK"):
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if not ImageCms.getProfileDescription(embedded).strip().startswith("sRGB"):
                converted = ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
                if converted is not None:
                    return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a broken profile says nothing; the numbers are then taken as sRGB, as browsers do
    return image.convert("RGB")
