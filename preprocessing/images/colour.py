"""Convert any of Pillow's pixel modes to 8-bit sRGB on white."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_OPAQUE = {"LA": "L", "La": "L", "PA": "RGB", "P": "RGB", "RGBA": "RGB", "RGBa": "RGB"}


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image of any mode to RGB: sRGB by its embedded profile, transparency on white.

    A profile that is broken or does not fit the pixels is ignored.
    """
    if image.mode in _DEEP_MODES:
        return Image.fromarray(eight_bits(np.asarray(image))).convert("RGB")
    profile = image.info.get("icc_profile")
    if not image.has_transparency_data:
        return _in_srgb(image.convert("RGB") if image.mode == "P" else image, profile)
    clear = image.convert("RGBA")
    opaque = clear.convert("L") if _OPAQUE.get(image.mode, image.mode) in ("1", "L") else clear.convert("RGB")
    seen = Image.new("RGB", image.size, _WHITE)
    seen.paste(_in_srgb(opaque, profile), mask=clear.getchannel("A"))
    return seen


def eight_bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale grey values of more than 8 bits [H, W] to 0..255 without clipping.

    Values in 0..65535 are taken as 16 bits, floating ones in 0..1 as they are; any others by their own range.
    """
    levels = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(levels.min()), float(levels.max())
    if np.issubdtype(values.dtype, np.floating) and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    return np.rint((levels - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


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
