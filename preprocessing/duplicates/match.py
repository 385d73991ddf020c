"""Match images: candidates by their hashes, confirmed on 32 x 32 grey pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preprocessing.duplicates.fingerprint import Fingerprint, ThumbsOf
from preprocessing.duplicates.hash_search import Hashes, Indices, Pairs, near_pairs
from preprocessing.duplicates.hashing import thumb_hashes
from preprocessing.duplicates.orientation import AS_IS, ORIENTATIONS, inverse, reoriented
from preprocessing.duplicates.registration import Agreement, is_near_duplicate, is_same
from preprocessing.duplicates.registration_cache import RegisterPairs
from workspace.config.clean import CleanConfig
from workspace.spread.shards import HERE, Spread

Mask = npt.NDArray[np.bool_]

# Measured on 801 photographs (bears, aerial and Openverse thumbnails, as in benchmarks/support/photo_sets.py): the
# correlation of the thumbs of an image and its copy (half size, JPEG at 40 or 15, mirrored, grey, 20 % brighter; 1,400
# copies) was 0.944 at least and 0.97 in 99 of 100; of 320,400 pairs of different photographs the nearest had 0.887, and
# one photograph sold in two colours 0.948.
SAME_CORRELATION = 0.96
# 5 % crops that the hashes find have 0.62 or more; pairs that only look alike from afar are then mostly below.
NEAR_CORRELATION = 0.6

_CHUNK = 4096  # candidates confirmed at a time: 32 MB of thumbs

EDITED = ORIENTATIONS
"""Stands for the orientation of an image that was cropped, framed, watermarked or rotated by a few degrees."""


class Matches(NamedTuple):
    """Matching pairs of images, each (i, j, orientation) once, i < j, in that order.

    In `orientation` (preprocessing/duplicates/orientation.py, or `EDITED`) j looks like i; `same` says whether they
    are copies of one image, else they are near-duplicates.
    """

    i: Indices
    j: Indices
    orientation: Indices
    same: Mask


def find_matches(
    images: Sequence[Fingerprint],
    thumbs: ThumbsOf,
    clean: CleanConfig,
    register: RegisterPairs | None = None,
    spread: Spread = HERE,
) -> Matches:
    """Compare every image with every other; exact. Flat images match nothing.

    Args:
        images: decoded ones, each different pixels.
        thumbs: gives their thumbs.
        clean: the distances, and whether mirrored and rotated images count.
        register: registers pairs that are up to `edited_distance` apart and not clearly the same; None: they are
            skipped.
        spread: where hashes are searched.
    """
    searched = np.array([k for k, image in enumerate(images) if image.textured], dtype=np.intp)
    if len(searched) < 2:
        return edited_matches(np.empty((0, 2), np.intp), ())
    some = [images[k] for k in searched]
    names = [image.sha256 for image in some]
    phash, dhash = _orientation_hashes(some, thumbs, clean)
    limit = max(clean.same_distance, clean.kin_distance, clean.edited_distance if register else 0)
    chunks: list[Matches] = []
    unsure: list[Indices] = []
    for pairs in near_pairs(phash, dhash, limit, spread.processes(clean.workers), spread):
        for start in range(0, len(pairs.i), _CHUNK):
            part = Pairs(*(field[start : start + _CHUNK] for field in pairs))
            kin, same = _confirmed(part, names, thumbs, clean)
            found = _ordered(part.i, part.j, part.orientation, same)
            chunks.append(Matches(found.i[kin], found.j[kin], found.orientation[kin], same[kin]))
            open_ = (part.orientation == AS_IS) & ~same
            unsure.append(found.i[open_] * len(names) + found.j[open_])
    if register and unsure:
        order = np.stack(np.divmod(np.unique(np.concatenate(unsure)), len(names)), axis=1)
        chunks.append(edited_matches(order, register([(names[i], names[j]) for i, j in order.tolist()])))
    return _each_once(chunks, searched)


def edited_matches(pairs: Indices, agreements: Sequence[Agreement]) -> Matches:
    """Select the pairs that agree after registration from pairs [n, 2] with i < j, in order."""
    near = np.array([is_near_duplicate(agreement) for agreement in agreements], np.bool_)
    same = np.array([is_same(agreement) for agreement in agreements], np.bool_)
    i, j = pairs[near].T
    return Matches(i, j, np.full_like(i, EDITED), same[near])


def _orientation_hashes(images: Sequence[Fingerprint], thumbs: ThumbsOf, clean: CleanConfig) -> tuple[Hashes, Hashes]:
    """Hash every orientation in use, uint64 [orientations, n]; rotated ones from the thumbs."""
    phash, dhash = [[image.phash for image in images]], [[image.dhash for image in images]]
    if clean.mirrored:
        phash.append([image.phash_mirror for image in images])
        dhash.append([image.dhash_mirror for image in images])
    found = np.array(phash, np.uint64), np.array(dhash, np.uint64)
    if not clean.turned:
        return found
    every = tuple(np.zeros((ORIENTATIONS, len(images)), np.uint64) for _ in found)
    for start in range(0, len(images), _CHUNK):
        rows = slice(start, start + _CHUNK)
        seen = thumbs([image.sha256 for image in images[rows]])
        for orientation in range(ORIENTATIONS):
            for hashes, some in zip(every, thumb_hashes(reoriented(seen, orientation)), strict=True):
                hashes[orientation, rows] = some
    for hashes, some in zip(every, found, strict=True):
        hashes[: len(some)] = some
    return every[0], every[1]


def _confirmed(pairs: Pairs, names: Sequence[str], thumbs: ThumbsOf, clean: CleanConfig) -> tuple[Mask, Mask]:
    """Tell which pairs are near-duplicates by their hashes and thumbs, and which of those are the same image."""
    indices, where = np.unique(np.concatenate([pairs.i, pairs.j]), return_inverse=True)
    unit = thumbs([names[k] for k in indices.tolist()]).astype(np.float32)
    unit -= unit.mean(axis=(1, 2), keepdims=True)
    unit /= np.sqrt((unit**2).sum(axis=(1, 2), keepdims=True))
    left, right = unit[where[: len(pairs.i)]], unit[where[len(pairs.i) :]]
    for orientation in np.unique(pairs.orientation[pairs.orientation != AS_IS]).tolist():
        seen = pairs.orientation == orientation
        right[seen] = reoriented(right[seen], orientation)
    alike = np.einsum("nij,nij->n", left, right)
    same = (pairs.distance <= clean.same_distance) & (alike >= SAME_CORRELATION)
    kin = (pairs.distance <= clean.kin_distance) & (alike >= NEAR_CORRELATION)
    return kin | same, same


def _ordered(left: Indices, right: Indices, orientation: Indices, same: Mask) -> Matches:
    """Order pairs so that i < j; `right` in its orientation looks like `left`."""
    swapped = left > right
    inverses = np.array([inverse(way) for way in range(ORIENTATIONS)])
    return Matches(
        np.minimum(left, right), np.maximum(left, right), np.where(swapped, inverses[orientation], orientation), same
    )


def _each_once(chunks: list[Matches], searched: Indices) -> Matches:
    """Sort, and merge the two findings of a pair: i rotated matches j, and j rotated back matches i."""
    i, j, orientation, same = (
        np.concatenate([chunk[part] for chunk in chunks] or [np.empty(0, np.intp)]) for part in range(4)
    )
    order = np.lexsort((~same.astype(np.bool_), orientation, j, i))  # where either way says the same, that comes first
    i, j, orientation, same = searched[i[order]], searched[j[order]], orientation[order], same[order].astype(np.bool_)
    new = np.ones(len(i), np.bool_)
    new[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1]) | (orientation[1:] != orientation[:-1])
    return Matches(i[new], j[new], orientation[new], same[new])
