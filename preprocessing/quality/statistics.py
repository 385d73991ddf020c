"""Measure the statistics that checks use, on the cached pixels (shorter side 256 px)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from preprocessing.images.decode import Pixels, shrink
from workspace.catalog.records import Measures

SHARPNESS_SIDE_PX = 64

_BLOCK_PX = 16
_NEAR = 12  # of 255, in each channel: what JPEG does to a flat colour
_FAR = 60  # of 255: what a reader tells apart as ink

Grey = npt.NDArray[np.uint8]
Bins = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]


def measure(pixels: Pixels) -> Measures:
    """Measure an image [h, w, 3]."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    counts = np.bincount(grey.ravel(), minlength=256)
    shares = counts / grey.size
    occurring = shares[counts > 0]
    levels = np.arange(256) / 255
    brightness = float(shares @ levels)
    shadows, highlights = np.searchsorted(np.cumsum(counts), np.array([0.05, 0.99]) * grey.size) / 255
    bins = _colour_bins(pixels)
    ground = _frequent_colour(pixels, bins)
    on_background, ink = _within(pixels, ground, _NEAR), ~_within(pixels, ground, _FAR)
    two_tone = on_background
    if ink.any():
        two_tone = on_background | _within(pixels, _frequent_colour(pixels, bins, ink), _NEAR)
    return Measures(
        brightness=brightness,
        contrast=float(np.sqrt(shares @ (levels - brightness) ** 2)),
        entropy=float(-(occurring * np.log2(occurring)).sum()) + 0.0,
        sharpness=_sharpness(grey),
        highlights=float(highlights),
        shadows=float(shadows),
        background=float(on_background.mean()),
        two_tone=float(two_tone.mean()),
        text=_text(on_background, ink, two_tone),
    )


def _sharpness(grey: Grey) -> float:
    small = np.asarray(shrink(grey, SHARPNESS_SIDE_PX), dtype=np.float64) / 255
    centre = small[1:-1, 1:-1]
    laplacian = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:] - 4 * centre
    return float(laplacian.var()) if laplacian.size else 0.0


def _colour_bins(pixels: Pixels) -> Bins:
    """Assign each pixel to one of 16 x 16 x 16 colour bins, uint16 [h, w]."""
    red, green, blue = (pixels[..., channel] & 0xF0 for channel in range(3))
    return np.asarray((red.astype(np.uint16) << 4) | green | (blue >> 4), np.uint16)


def _frequent_colour(pixels: Pixels, bins: Bins, where: Mask | None = None) -> tuple[int, ...]:
    """Find the most frequent colour of all pixels or those in `where`: the mean of the fullest bin."""
    fullest = np.bincount(bins.ravel() if where is None else bins[where], minlength=1).argmax()
    inside = bins == fullest if where is None else (bins == fullest) & where
    return tuple(round(level) for level in cv2.mean(pixels, inside.view(np.uint8))[:3])


def _within(pixels: Pixels, colour: tuple[int, ...], limit: int) -> Mask:
    """Mark the pixels of which no channel is further than `limit` from a colour, [h, w]."""
    low, high = ([level + sign * limit for level in colour] for sign in (-1, 1))
    return np.asarray(cv2.inRange(pixels, np.clip(low, 0, 255), np.clip(high, 0, 255))) > 0


def _text(on_background: Mask, ink: Mask, two_tone: Mask) -> float:
    rows, columns = (side // _BLOCK_PX for side in ink.shape)
    if not rows or not columns:
        return 0.0

    def blocks(values: Mask) -> Mask:
        cut = values[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
        return cut.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).swapaxes(1, 2)

    def share(values: Mask) -> npt.NDArray[np.float64]:
        cut = values[: rows * _BLOCK_PX, : columns * _BLOCK_PX].view(np.uint8)
        lines = cut.reshape(rows, _BLOCK_PX, -1).sum(axis=1, dtype=np.uint8)
        counts = lines.reshape(rows, columns, _BLOCK_PX).sum(axis=2, dtype=np.uint16)
        return np.asarray(counts / _BLOCK_PX**2)

    inked = share(ink)
    candidates = (inked >= 0.05) & (inked <= 0.6) & (share(on_background) >= 0.2)
    candidates &= share(two_tone) >= 0.45  # noise and foliage have strokes too, but of many colours
    strokes = blocks(ink)[candidates]
    crossings = (strokes[..., 1:] != strokes[..., :-1]).sum(axis=2)  # per row of a block
    busy = (crossings >= 3).mean(axis=1)
    return float((busy >= 0.25).sum() / candidates.size)
