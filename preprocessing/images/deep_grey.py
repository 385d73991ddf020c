"""Bring grey values of more than 8 bits to 8: 12 and 16 bits, wide integers, floating-point values.

Their range is what the file says of itself, else it is assumed from the values. Wrong, it makes a good picture black.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")

Values = npt.NDArray[Any]

# TIFF 6.0 and, for what stands for no measurement, GDAL.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _LEAST, _LARGEST, _NO_DATA = 258, 262, 339, 340, 341, 42113
_UNSIGNED, _SIGNED, _FLOATING = 1, 2, 3
_FULL_SCALES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # 8 to 16 bits
_ROWS_AT_ONCE = 256  # in 64 bits a whole picture would take 8 times its memory
_SAMPLED = 1_000_000
_DARKEST = 64  # a range of which the values fill less is not what the picture is to be seen in: 4 of 256 levels

# Layouts that Pillow can unpack and does not look for; `_values_of` reads the 16 bits of half floats as such.
for _order, _end in ((b"II", ""), (b"MM", "B")):
    for _photometric in (0, 1):
        for (_kind, _depth), _layout in {
            (_UNSIGNED, 12): ("I;16", "I;12"),
            (_UNSIGNED, 16): (f"I;16{_end}", f"I;16{_end}"),
            (_UNSIGNED, 32): ("I", f"I;32{_end}"),
            (_SIGNED, 16): ("I", f"I;16{_end}S"),
            (_SIGNED, 32): ("I", f"I;32{_end}S"),
            (_FLOATING, 16): (f"I;16{_end}", f"I;16{_end}"),
            (_FLOATING, 64): ("F", f"F;64{_end}F"),
        }.items():
            TiffImagePlugin.OPEN_INFO.setdefault((_order, _photometric, (_kind,), 1, (_depth,), ()), _layout)


def unpack_in_native_order(image: ImageFile.ImageFile) -> None:
    """Have a compressed TIFF unpacked as libtiff hands it out; Pillow does so for 16 unsigned bits alone.

    Args:
        image: opened, not loaded yet.
    """
    if image.mode in DEEP_MODES and sys.byteorder == "little":
        image.tile = [
            tile._replace(args=(re.sub(r"(?<=\d)B(?=S?$|F$)", "", tile.args[0]), *tile.args[1:]))
            if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
            else tile
            for tile in image.tile
        ]


def deep_to_rgb(image: Image.Image) -> tuple[npt.NDArray[np.uint8], str]:
    """Scale a loaded image of a deep mode to 8-bit grey: uint8 [H, W, 3].

    The range is, in this order: the least and largest value that a TIFF states, if they fit the values; the bits of
    unsigned integers; a full scale (1, or 8 to 16 bits) of which the values fill at least a quarter; their own.

    Returns:
        The pixels, and what was assumed, in words; empty when the file says it all.
    """
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    values = _values_of(image, tags)
    missing = _number(tags.get(_NO_DATA))
    (low, high), note = _range_of(values, tags, missing)
    clear = image.info.get("transparency")
    grey = np.empty(values.shape, np.uint8)
    for rows in _blocks(values):
        block = values[rows].astype(np.float64)
        known = np.isfinite(block) & (block != missing)
        levels = np.clip(np.where(known, block, low), low, high)
        scaled = np.rint((levels - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
        grey[rows] = 255 - scaled if tags.get(_PHOTOMETRIC) == 0 else scaled
        if isinstance(clear, int):
            grey[rows][block == clear] = 255
    return np.repeat(grey[..., np.newaxis], 3, axis=2), note


def _values_of(image: Image.Image, tags: Mapping[int, Any]) -> Values:
    values: Values = np.asarray(image)
    kind, bits = _first(tags.get(_SAMPLE_FORMAT)), _first(tags.get(_BITS))
    if kind == _FLOATING and bits == 16:
        return values.view(values.dtype.str.replace("u", "f"))
    if kind in (None, _UNSIGNED) and bits == 32 and values.dtype == np.int32:
        return values.view(np.uint32)
    return values


def _range_of(values: Values, tags: Mapping[int, Any], missing: float) -> tuple[tuple[float, float], str]:
    least, largest = _number(tags.get(_LEAST)), _number(tags.get(_LARGEST))
    sample = _sample(values, missing)
    inside = sample[(sample >= least) & (sample <= largest)]
    if least < largest and 2 * len(inside) > len(sample) and np.ptp(inside) * _DARKEST > largest - least:
        return (least, largest), ""
    bits = _first(tags.get(_BITS)) or 16  # a PNG
    if values.dtype.kind == "u" and bits <= 16:
        return (0.0, 2.0**bits - 1), ""
    low, high, clipped = _extent(values, sample, missing)
    if low == high:
        return (low, high), ""
    top = _full_scale(low, high, whole=values.dtype.kind != "f")
    if top:
        return (0.0, top), f"grey values {low:g} to {high:g}: 0 to {top:g} was taken as black to white{clipped}"
    return (low, high), f"grey values {low:g} to {high:g}: their range was taken as black to white{clipped}"


def _extent(values: Values, sample: npt.NDArray[np.float64], missing: float) -> tuple[float, float, str]:
    """Return the least and largest value; without the outermost thousandths where these stretch the range fourfold."""
    low, high = math.inf, -math.inf
    for rows in _blocks(values):
        block = values[rows].astype(np.float64)
        block = block[np.isfinite(block) & (block != missing)]
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    if low > high:
        return 0.0, 0.0, ""
    if low >= 0 and 0.25 <= high <= 1:
        return low, high, ""
    inner_low, inner_high = (float(value) for value in np.percentile(sample, (0.1, 99.9)))
    if inner_low < inner_high and 4 * (inner_high - inner_low) < high - low:
        return inner_low, inner_high, f", what lies outside ({low:g} to {high:g}) was clipped"
    return low, high, ""


def _full_scale(low: float, high: float, *, whole: bool) -> float:
    """Return the full scale that the values are likely to have; 0 for none."""
    scales = _FULL_SCALES if whole else (1.0, *_FULL_SCALES)
    top = next((scale for scale in scales if high <= scale), 0.0)
    return top if low >= 0 and high > top / 4 else 0.0


def _sample(values: Values, missing: float) -> npt.NDArray[np.float64]:
    flat = values.reshape(-1)
    some = flat[:: max(1, flat.size // _SAMPLED)].astype(np.float64)
    some = some[np.isfinite(some) & (some != missing)]
    return some if some.size else np.zeros(1)


def _blocks(values: Values) -> Iterator[slice]:
    return (slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(values), _ROWS_AT_ONCE))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value


def _number(value: Any) -> float:
    """Read a tag's number, which a hostile file may give any type; nan, which no value equals, when it has none."""
    try:
        return float(_first(value).strip("\0 ") if isinstance(value, str) else _first(value))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return math.nan
