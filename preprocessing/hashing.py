"""Perceptual hashes, and the search for pairs of them that lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from preprocessing.decode import Pixels

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

THUMB_SIDE_PX = 32

_CHUNK_BYTES = 64_000_000  # the largest intermediate of a search: with its counts and hits under 200 MB in all


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What finds a picture's copies: 64-bit hashes as 16 hex digits, `*_mirror` those of its mirror image.

    `thumb` is the grey picture at 32 x 32, 1024 bytes in hex, row by row.
    """

    phash: str
    dhash: str
    phash_mirror: str
    dhash_mirror: str
    thumb: str


def fingerprint(pixels: Pixels) -> Fingerprint:
    """Hash a picture [h, w, 3] and its mirror image as imagehash defines pHash and dHash."""
    grey = Image.fromarray(pixels).convert("L")
    mirror = ImageOps.mirror(grey)
    thumb = grey.resize((THUMB_SIDE_PX, THUMB_SIDE_PX), Image.Resampling.BOX)
    return Fingerprint(
        phash=str(imagehash.phash(grey)),
        dhash=str(imagehash.dhash(grey)),
        phash_mirror=str(imagehash.phash(mirror)),
        dhash_mirror=str(imagehash.dhash(mirror)),
        thumb=thumb.tobytes().hex(),
    )


def hashes_of(texts: Sequence[str]) -> Hashes:
    """Hex texts to numbers: uint64 [n]."""
    return np.array([int(text, 16) for text in texts], dtype=np.uint64)


def distances(left: Hashes, right: Hashes) -> npt.NDArray[np.int64]:
    """Hamming distances, element by element, 0 to 64."""
    return np.asarray(np.bitwise_count(left ^ right), dtype=np.int64)


def pairs_within(hashes: Hashes, radius: int, others: Hashes | None = None) -> tuple[Indices, Indices]:
    """Find every pair of hashes whose Hamming distance is at most `radius`: exact, whatever the radius.

    Args:
        hashes: uint64 [n].
        radius: in bits.
        others: uint64 [m]; None: among `hashes` themselves, each pair once.

    Returns:
        Indices i into `hashes` and j into `others`, sorted by (i, j); i < j when there are no others.
    """
    right = hashes if others is None else others
    rows = max(1, _CHUNK_BYTES // (8 * max(1, len(right))))
    found_i, found_j = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for start in range(0, len(hashes), rows):
        first = start + 1 if others is None else 0
        near = np.bitwise_count(hashes[start : start + rows, None] ^ right[None, first:]) <= radius
        i, j = np.nonzero(near)
        i, j = i + start, j + first
        once = i < j if others is None else slice(None)
        found_i.append(i[once])
        found_j.append(j[once])
    return np.concatenate(found_i), np.concatenate(found_j)
