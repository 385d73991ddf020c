"""Numbers about one picture, from which checks judge; measured once, on the cached pixels (shorter side 256 px)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from preprocessing.decode import Pixels, shrink

SHARPNESS_SIDE_PX = 64

_BLOCK_PX = 16
_NEAR = 12  # of 255, in each channel: what JPEG does to a flat colour
_FAR = 60  # of 255: what a reader tells apart as ink

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Measures:
    """Numbers about a picture's grey levels g (ITU-R 601 luma, 0 to 1) and colours.

    `brightness` is the mean of g; `contrast` its standard deviation, 0 to 0.5; `entropy` that of the histogram of
    256 levels, 0 to 8 bits; `sharpness` the variance of the Laplacian (4 neighbours) of g with the shorter side at
    64 px: about 0.001 in a blurred picture, 0.02 in a sharp one. `highlights` is the 99th percentile of g and
    `shadows` the 5th. `background` is the share of the pixels that have the most frequent colour; `two_tone` the share
    that has this colour or the most frequent one of those that are far from it; `text` the share of blocks of
    16 x 16 px that look like writing on that background: strokes that cross rows more than once.
    """

    brightness: float
    contrast: float
    entropy: float
    sharpness: float
    highlights: float
    shadows: float
    background: float
    two_tone: float
    text: float


def measure(pixels: Pixels) -> Measures:
    """Measure a picture [h, w, 3]."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    counts = np.bincount(grey.ravel(), minlength=256)
    shares = counts[counts > 0] / grey.size
    levels = grey.astype(np.float64) / 255
    shadows, highlights = np.searchsorted(np.cumsum(counts), np.array([0.05, 0.99]) * grey.size) / 255
    away = _distance(pixels, _frequent_colour(pixels.reshape(-1, 3)))
    on_background, ink = away <= _NEAR, away > _FAR
    two_tone = on_background
    if ink.any():
        two_tone = on_background | (_distance(pixels, _frequent_colour(pixels[ink])) <= _NEAR)
    return Measures(
        brightness=float(levels.mean()),
        contrast=float(levels.std()),
        entropy=float(-(shares * np.log2(shares)).sum()) + 0.0,
        sharpness=_sharpness(pixels),
        highlights=float(highlights),
        shadows=float(shadows),
        background=float(on_background.mean()),
        two_tone=float(two_tone.mean()),
        text=_text(on_background, ink, two_tone),
    )


def _sharpness(pixels: Pixels) -> float:
    small = np.asarray(Image.fromarray(shrink(pixels, SHARPNESS_SIDE_PX)).convert("L"), dtype=np.float64) / 255
    centre = small[1:-1, 1:-1]
    laplacian = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:] - 4 * centre
    return float(laplacian.var()) if laplacian.size else 0.0


def _frequent_colour(pixels: Pixels) -> npt.NDArray[np.int16]:
    """The most frequent colour among pixels [n, 3], int16 [3]: the mean of the fullest of 16 x 16 x 16 bins."""
    red, green, blue = (pixels >> 4).T.astype(np.int32)
    index = (red << 8) | (green << 4) | blue
    colour: npt.NDArray[np.int16] = pixels[index == np.bincount(index).argmax()].mean(axis=0).round().astype(np.int16)
    return colour


def _distance(pixels: Pixels, colour: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The largest difference of a channel from this colour, [h, w]."""
    away = [np.abs(pixels[..., channel].astype(np.int16) - colour[channel]) for channel in range(3)]
    largest: npt.NDArray[np.int16] = np.maximum(np.maximum(away[0], away[1]), away[2])
    return largest


def _text(on_background: npt.NDArray[np.bool_], ink: npt.NDArray[np.bool_], two_tone: npt.NDArray[np.bool_]) -> float:
    rows, columns = (side // _BLOCK_PX for side in ink.shape)
    if not rows or not columns:
        return 0.0

    def blocks(values: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        cut = values[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
        return cut.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).swapaxes(1, 2)

    inked, empty, plain = blocks(ink), blocks(on_background), blocks(two_tone)
    crossings = (inked[..., 1:] != inked[..., :-1]).sum(axis=3)  # per row of a block
    busy = (crossings >= 3).mean(axis=2)
    share, ground = inked.mean(axis=(2, 3)), empty.mean(axis=(2, 3))
    looks = (busy >= 0.25) & (share >= 0.05) & (share <= 0.6) & (ground >= 0.2)
    looks &= plain.mean(axis=(2, 3)) >= 0.45  # noise and foliage have strokes too, but of many colours
    return float(looks.mean())
