"""Register one image on another and measure their agreement, which tells a crop from a look-alike.

Matched SIFT keypoints give translation, rotation and scale (RANSAC); the overlap is then compared cell by cell.
A watermark spoils only the cells that it covers; two images of one kind of thing agree in few cells, however they
are registered.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.images.decode import Pixels

# Measured by benchmarks.near_copies on 803 photographs: of the pairs that are no copies, one agreed
# in 0.70 of its cells (a toy alone, and the same toy beside a chair), the next in 0.49 (one bear in two poses).
SAME_CELLS, NEAR_CELLS = 0.72, 0.5
# A photograph sold in two colours agrees in every cell; its colours were 20 apart, those of copies 0.4.
SAME_COLOUR = 8.0
# An image that covers less of another is kept beside it, as its near-duplicate.
SAME_COVER, SAME_OVERLAP, NEAR_OVERLAP = 0.5, 0.75, 0.3

Value = TypeVar("Value", np.float32, np.bool_)

REGISTRATION_VERSION = 2
"""Part of the cache's name: raise it whenever the same two images would agree otherwise."""

MAX_KEYPOINTS = 400
# Lowe's ratio test ("Distinctive image features from scale-invariant keypoints", 2004, section 7.1).
RATIO = 0.8
INLIER_PX = 3.0
MIN_INLIERS = 8
CELL_PX = 24
# Removes traces of recompression and of misregistration by a pixel.
BLUR_PX = 1.5
# A cell whose grey levels (0 to 255) vary less shows nothing that could agree or not.
CELL_CONTRAST = 3.0
CELL_CORRELATION = 0.7
MIN_CELLS = 8

_SMALLEST_SCALE = 0.4  # beyond, less than a sixth of the larger image is left


class Keypoints(NamedTuple):
    """SIFT keypoints of an image: positions in px, float32 [k, 2], and descriptors, uint8 [k, 128]."""

    points: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]


class Agreement(NamedTuple):
    """Agreement of two images after registration.

    `cells` is the share of the textured cells of the overlap that correlate, 0 to 1; `overlap` the share of the
    smaller image that lies on the larger one, and `cover` the share of the larger one that it covers; `colour` how
    far the mean colours of three in four cells lie apart at most (Cb and Cr, 0 to 255 each, added up).
    """

    cells: float
    overlap: float
    cover: float
    colour: float


NONE = Agreement(0.0, 0.0, 0.0, 0.0)


def keypoints(pixels: Pixels) -> Keypoints:
    """Find the SIFT keypoints of an image, uint8 [h, w, 3]."""
    detector = cv2.SIFT.create(nfeatures=MAX_KEYPOINTS, contrastThreshold=0.02)
    found, descriptors = detector.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)
    if not found:
        return Keypoints(np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8))
    return Keypoints(np.array([keypoint.pt for keypoint in found], np.float32), descriptors.astype(np.uint8))


def register(left: Pixels, right: Pixels, left_points: Keypoints, right_points: Keypoints) -> Agreement:
    """Register `right` on `left` by translation, rotation and scale, and compare; `NONE` if no transform fits."""
    pairs = _matched(left_points, right_points)
    if len(pairs) < MIN_INLIERS:
        return NONE
    transform, inliers = cv2.estimateAffinePartial2D(
        right_points.points[pairs[:, 1]], left_points.points[pairs[:, 0]], ransacReprojThreshold=INLIER_PX
    )
    if transform is None or int(inliers.sum()) < MIN_INLIERS:
        return NONE
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    if not _SMALLEST_SCALE < scale < 1 / _SMALLEST_SCALE:
        return NONE
    return _agreement(left, right, np.asarray(transform, np.float64))


def is_same(how: Agreement) -> bool:
    """Whether the two show the same image: at least half of it, in the same colours."""
    return (
        how.cells >= SAME_CELLS
        and how.overlap >= SAME_OVERLAP
        and how.cover >= SAME_COVER
        and how.colour <= SAME_COLOUR
    )


def is_near_duplicate(how: Agreement) -> bool:
    """Whether the two show parts of one image, or one image in other colours; includes `is_same`."""
    return how.cells >= NEAR_CELLS and how.overlap >= NEAR_OVERLAP


def _matched(left: Keypoints, right: Keypoints) -> npt.NDArray[np.intp]:
    """Match keypoints that are each other's nearest, and much nearer than the second: indices [m, 2]."""
    if len(left.points) < 2 or len(right.points) < 2:
        return np.empty((0, 2), np.intp)
    a, b = left.descriptors.astype(np.float32), right.descriptors.astype(np.float32)
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    best = square.argmin(axis=1)
    two = np.partition(square, 1, axis=1)[:, :2]
    mutual = square.argmin(axis=0)[best] == np.arange(len(best))
    good = np.flatnonzero(mutual & (two[:, 0] < RATIO**2 * two[:, 1]))
    return np.stack([good, best[good]], axis=1)


def _agreement(left: Pixels, right: Pixels, transform: npt.NDArray[np.float64]) -> Agreement:
    height, width = left.shape[:2]
    warped = np.asarray(cv2.warpAffine(right, transform, (width, height)), np.uint8)
    inside = cv2.warpAffine(np.full(right.shape[:2], 255, np.uint8), transform, (width, height)) == 255
    areas = sorted((height * width, right.shape[0] * right.shape[1] * abs(float(np.linalg.det(transform[:, :2])))))
    overlap, cover = (min(1.0, float(inside.sum()) / max(1.0, area)) for area in areas)
    (left_light, left_colour), (right_light, right_colour) = _light_and_colour(left), _light_and_colour(warped)
    left_spread, right_spread = left_light.std(axis=1), right_light.std(axis=1)
    textured = _cells(inside).all(axis=1) & (np.maximum(left_spread, right_spread) >= CELL_CONTRAST)
    if textured.sum() < MIN_CELLS:
        return Agreement(0.0, overlap, cover, 0.0)
    correlation = (left_light * right_light).mean(axis=1) / np.maximum(left_spread * right_spread, 1e-3)
    colour = float(np.quantile(np.abs(left_colour - right_colour)[:, textured].sum(axis=0), 0.75))
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
