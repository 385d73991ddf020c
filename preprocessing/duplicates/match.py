"""Which pictures look the same or nearly so: candidates by their hashes, confirmed on 32 x 32 grey pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preprocessing.duplicates.fingerprint import Look, ThumbsOf
from preprocessing.duplicates.hash_search import Hashes, Indices, Pairs, near_pairs
from preprocessing.duplicates.hashing import thumb_hashes
from preprocessing.duplicates.orientation import AS_IS, TURNS, inverse, turned
from preprocessing.duplicates.registration import Agreement, is_kin, is_same
from preprocessing.duplicates.registration_cache import Lay
from workspace.config.clean import CleanConfig

Mask = npt.NDArray[np.bool_]

# Measured on 801 photographs (bears, aerial and Openverse thumbnails, as in benchmarks/support/photo_sets.py): the
# correlation of the thumbs of a picture and its copy (half size, JPEG at 40 or 15, mirrored, grey, 20 % brighter; 1,400
# copies) was 0.944 at least and 0.97 in 99 of 100; of 320,400 pairs of different photographs the nearest had 0.887, and
# one photograph sold in two colours 0.948.
SAME_CORRELATION = 0.96
# 5 % crops that the hashes find have 0.62 or more; pairs that only look alike from afar are then mostly below.
KIN_CORRELATION = 0.6

_CHUNK = 4096  # candidates confirmed at a time: 32 MB of thumbs

EDITED = TURNS
"""The view of a picture that was cropped, framed, marked or turned a little."""


class Matches(NamedTuple):
    """Pairs of pictures that look alike, each (i, j, view) once, i < j, in that order.

    `view` tells how j has to be turned to look like i, as preprocessing/duplicates/orientation.py counts, or `EDITED`;
    `same` whether they are the same picture, else they are kin.
    """

    i: Indices
    j: Indices
    view: Indices
    same: Mask


def find_matches(pictures: Sequence[Look], thumbs: ThumbsOf, clean: CleanConfig, lay: Lay | None = None) -> Matches:
    """Compare every picture with every other, exactly, but for flat ones, which are like nothing.

    Args:
        pictures: decoded ones, each different pixels.
        thumbs: gives their thumbs.
        clean: the distances, and whether mirrored and turned pictures count.
        lay: lays pictures over each other that are up to `edited_distance` apart and not plainly the same; none: they
            are not looked at.
    """
    searched = np.array([k for k, one in enumerate(pictures) if one.comparable], dtype=np.intp)
    if len(searched) < 2:
        return edited_matches(np.empty((0, 2), np.intp), ())
    some = [pictures[k] for k in searched]
    names = [one.sha256 for one in some]
    phash, dhash = _views(some, thumbs, clean)
    limit = max(clean.same_distance, clean.kin_distance, clean.edited_distance if lay else 0)
    chunks: list[Matches] = []
    unsure: list[Indices] = []
    for pairs in near_pairs(phash, dhash, limit, clean.workers or os.cpu_count() or 1):
        for start in range(0, len(pairs.i), _CHUNK):
            part = Pairs(*(field[start : start + _CHUNK] for field in pairs))
            kin, same = _confirmed(part, names, thumbs, clean)
            found = _ordered(part.i, part.j, part.view, same)
            chunks.append(Matches(found.i[kin], found.j[kin], found.view[kin], same[kin]))
            open_ = (part.view == AS_IS) & ~same
            unsure.append(found.i[open_] * len(names) + found.j[open_])
    if lay and unsure:
        order = np.stack(np.divmod(np.unique(np.concatenate(unsure)), len(names)), axis=1)
        chunks.append(edited_matches(order, lay([(names[i], names[j]) for i, j in order.tolist()])))
    return _each_once(chunks, searched)


def edited_matches(pairs: Indices, laid: Sequence[Agreement]) -> Matches:
    """Those of some pairs [n, 2] of i < j, in order, that agree when they are laid over each other."""
    near = np.array([is_kin(how) for how in laid], np.bool_)
    same = np.array([is_same(how) for how in laid], np.bool_)
    i, j = pairs[near].T
    return Matches(i, j, np.full_like(i, EDITED), same[near])


def _views(pictures: Sequence[Look], thumbs: ThumbsOf, clean: CleanConfig) -> tuple[Hashes, Hashes]:
    """The hashes of every view that counts, uint64 [views, n]; those of quarter turns from the thumbs."""
    phash, dhash = [[one.phash for one in pictures]], [[one.dhash for one in pictures]]
    if clean.mirrored:
        phash.append([one.phash_mirror for one in pictures])
        dhash.append([one.dhash_mirror for one in pictures])
    found = np.array(phash, np.uint64), np.array(dhash, np.uint64)
    if not clean.turned:
        return found
    every = tuple(np.zeros((TURNS, len(pictures)), np.uint64) for _ in found)
    for start in range(0, len(pictures), _CHUNK):
        rows = slice(start, start + _CHUNK)
        seen = thumbs([one.sha256 for one in pictures[rows]])
        for view in range(TURNS):
            for hashes, some in zip(every, thumb_hashes(turned(seen, view)), strict=True):
                hashes[view, rows] = some
    for hashes, some in zip(every, found, strict=True):
        hashes[: len(some)] = some
    return every[0], every[1]


def _confirmed(pairs: Pairs, names: Sequence[str], thumbs: ThumbsOf, clean: CleanConfig) -> tuple[Mask, Mask]:
    """Which of the pairs are kin by their hashes and thumbs, and which of those the same."""
    places, where = np.unique(np.concatenate([pairs.i, pairs.j]), return_inverse=True)
    unit = thumbs([names[k] for k in places.tolist()]).astype(np.float32)
    unit -= unit.mean(axis=(1, 2), keepdims=True)
    unit /= np.sqrt((unit**2).sum(axis=(1, 2), keepdims=True))
    left, right = unit[where[: len(pairs.i)]], unit[where[len(pairs.i) :]]
    for view in np.unique(pairs.view[pairs.view != AS_IS]).tolist():
        seen = pairs.view == view
        right[seen] = turned(right[seen], view)
    alike = np.einsum("nij,nij->n", left, right)
    same = (pairs.distance <= clean.same_distance) & (alike >= SAME_CORRELATION)
    kin = (pairs.distance <= clean.kin_distance) & (alike >= KIN_CORRELATION)
    return kin | same, same


def _ordered(one: Indices, other: Indices, view: Indices, same: Mask) -> Matches:
    """Pairs of which `other` seen as `view` looks like `one`, with i < j."""
    swapped = one > other
    inverses = np.array([inverse(way) for way in range(TURNS)])
    return Matches(np.minimum(one, other), np.maximum(one, other), np.where(swapped, inverses[view], view), same)


def _each_once(chunks: list[Matches], searched: Indices) -> Matches:
    """Put in order, and join the two ways in which a pair is found: i turned is like j, and j turned back like i."""
    i, j, view, same = (
        np.concatenate([chunk[part] for chunk in chunks] or [np.empty(0, np.intp)]) for part in range(4)
    )
    order = np.lexsort((~same.astype(np.bool_), view, j, i))  # where either way says the same, that comes first
    i, j, view, same = searched[i[order]], searched[j[order]], view[order], same[order].astype(np.bool_)
    new = np.ones(len(i), np.bool_)
    new[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1]) | (view[1:] != view[:-1])
    return Matches(i[new], j[new], view[new], same[new])
