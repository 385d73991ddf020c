"""Lay one picture over another, and see whether they show the same: what tells a crop from a look-alike.

Keypoints of both (SIFT) give the shift, turn and scale that most of them agree on; the pictures are then compared
cell by cell where they overlap. A watermark spoils the cells that it covers and no others; two pictures of one kind
agree in few cells wherever they are laid.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.images.decode import Pixels

# Measured by benchmarks.near_copies on 803 photographs: of the pairs that are no copies, one agreed
# in 0.70 of its cells (a toy alone, and the same toy beside a chair), the next in 0.49 (one bear in two poses).
SAME_CELLS, KIN_CELLS = 0.72, 0.5
# A photograph sold in two colours agrees in every cell; its colours were 20 apart, those of copies 0.4.
SAME_COLOUR = 8.0
# Less of the picture is another picture of the same thing: kin.
SAME_COVER, SAME_OVERLAP, KIN_OVERLAP = 0.5, 0.75, 0.3

Value = TypeVar("Value", np.float32, np.bool_)

ALIGNMENT_VERSION = 2
"""Part of the cache's name: raise it whenever the same two pictures would agree otherwise."""

MAX_KEYPOINTS = 400
# Lowe's ratio test ("Distinctive image features from scale-invariant keypoints", 2004, section 7.1).
RATIO = 0.8
INLIER_PX = 3.0
MIN_INLIERS = 8
CELL_PX = 24
# Takes away what a second compression and a pixel of misplacement leave.
BLUR_PX = 1.5
# A cell whose grey levels (0 to 255) vary less shows nothing that could agree or not.
CELL_CONTRAST = 3.0
CELL_CORRELATION = 0.7
MIN_CELLS = 8

_SMALLEST_SCALE = 0.4  # beyond, less than a sixth of the larger picture is left


class Keypoints(NamedTuple):
    """Where a picture has corners, px float32 [k, 2], and what they look like, uint8 [k, 128]."""

    points: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]


class Agreement(NamedTuple):
    """How two pictures agree once they are laid over each other.

    `cells` is the share of the textured cells of the overlap that correlate, 0 to 1; `overlap` the share of the
    smaller picture that lies on the larger one, and `cover` the share of the larger one that it covers; `colour` how
    far the mean colours of three in four cells lie apart at most (Cb and Cr, 0 to 255 each, added up).
    """

    cells: float
    overlap: float
    cover: float
    colour: float


NONE = Agreement(0.0, 0.0, 0.0, 0.0)


def keypoints(pixels: Pixels) -> Keypoints:
    """Find a picture's keypoints: uint8 [h, w, 3]."""
    finder = cv2.SIFT.create(nfeatures=MAX_KEYPOINTS, contrastThreshold=0.02)
    found, descriptors = finder.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)
    if not found:
        return Keypoints(np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8))
    return Keypoints(np.array([one.pt for one in found], np.float32), descriptors.astype(np.uint8))


def compare(left: Pixels, right: Pixels, left_points: Keypoints, right_points: Keypoints) -> Agreement:
    """Lay `right` over `left`, by shift, turn and scale, and compare; `NONE` where no way to lay it was found."""
    pairs = _matched(left_points, right_points)
    if len(pairs) < MIN_INLIERS:
        return NONE
    move, inliers = cv2.estimateAffinePartial2D(
        right_points.points[pairs[:, 1]], left_points.points[pairs[:, 0]], ransacReprojThreshold=INLIER_PX
    )
    if move is None or int(inliers.sum()) < MIN_INLIERS:
        return NONE
    scale = float(np.hypot(move[0, 0], move[1, 0]))
    if not _SMALLEST_SCALE < scale < 1 / _SMALLEST_SCALE:
        return NONE
    return _agreement(left, right, np.asarray(move, np.float64))


def is_same(how: Agreement) -> bool:
    """Whether two pictures that agree like this are one picture: at least half of it, in its own colours."""
    return (
        how.cells >= SAME_CELLS
        and how.overlap >= SAME_OVERLAP
        and how.cover >= SAME_COVER
        and how.colour <= SAME_COLOUR
    )


def is_kin(how: Agreement) -> bool:
    """Whether they show parts of one picture, or one picture in other colours; true of every same picture."""
    return how.cells >= KIN_CELLS and how.overlap >= KIN_OVERLAP


def _matched(left: Keypoints, right: Keypoints) -> npt.NDArray[np.intp]:
    """Indices of keypoints that are each other's nearest, and much nearer than the second: [m, 2]."""
    if len(left.points) < 2 or len(right.points) < 2:
        return np.empty((0, 2), np.intp)
    one, other = left.descriptors.astype(np.float32), right.descriptors.astype(np.float32)
    square = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    best = square.argmin(axis=1)
    two = np.partition(square, 1, axis=1)[:, :2]
    mutual = square.argmin(axis=0)[best] == np.arange(len(best))
    good = np.flatnonzero(mutual & (two[:, 0] < RATIO**2 * two[:, 1]))
    return np.stack([good, best[good]], axis=1)


def _agreement(left: Pixels, right: Pixels, move: npt.NDArray[np.float64]) -> Agreement:
    height, width = left.shape[:2]
    laid = np.asarray(cv2.warpAffine(right, move, (width, height)), np.uint8)
    there = cv2.warpAffine(np.full(right.shape[:2], 255, np.uint8), move, (width, height)) == 255
    areas = sorted((height * width, right.shape[0] * right.shape[1] * abs(float(np.linalg.det(move[:, :2])))))
    overlap, cover = (min(1.0, float(there.sum()) / max(1.0, area)) for area in areas)
    (one, one_colour), (other, other_colour) = _light_and_colour(left), _light_and_colour(laid)
    one_spread, other_spread = one.std(axis=1), other.std(axis=1)
    textured = _cells(there).all(axis=1) & (np.maximum(one_spread, other_spread) >= CELL_CONTRAST)
    if textured.sum() < MIN_CELLS:
        return Agreement(0.0, overlap, cover, 0.0)
    correlation = (one * other).mean(axis=1) / np.maximum(one_spread * other_spread, 1e-3)
    colour = float(np.quantile(np.abs(one_colour - other_colour)[:, textured].sum(axis=0), 0.75))
    return Agreement(float((correlation[textured] >= CELL_CORRELATION).mean()), overlap, cover, colour)


def _light_and_colour(pixels: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Per cell: blurred grey levels without their mean [cells, CELL_PX ** 2], and mean Cr and Cb [2, cells]."""
    planes = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb), np.float32)
    blurred = np.asarray(cv2.GaussianBlur(planes[:, :, 0], (0, 0), BLUR_PX), np.float32)
    light = _cells(blurred)
    return light - light.mean(axis=1, keepdims=True), np.stack(
        [_cells(planes[:, :, 1]).mean(axis=1), _cells(planes[:, :, 2]).mean(axis=1)]
    )


def _cells(values: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """Cut [h, w] into cells, the rest at the edge left out: [cells, CELL_PX ** 2]."""
    rows, columns = values.shape[0] // CELL_PX, values.shape[1] // CELL_PX
    cut = values[: rows * CELL_PX, : columns * CELL_PX].reshape(rows, CELL_PX, columns, CELL_PX)
    return cut.transpose(0, 2, 1, 3).reshape(rows * columns, CELL_PX**2)
