"""Which pictures look the same or nearly so: candidates by their hashes, confirmed on 32 x 32 grey pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preprocessing.alignment import Agreement, is_kin, is_same
from preprocessing.hash_search import Hashes, Indices, Pairs, near_pairs
from preprocessing.hashing import THUMB_SIDE_PX, hashes_of
from preprocessing.overlays import Lay
from workspace.clean_config import CleanConfig
from workspace.records import ImageFacts

# Measured on the 801 photographs of ../shared (bears, aerial, Openverse thumbnails): the correlation of the thumbs of
# a picture and its copy (half size, JPEG at 40 or 15, mirrored, grey, 20 % brighter; 1,400 copies) was 0.944 at
# least and 0.97 in 99 of 100; of 320,400 pairs of different photographs the nearest had 0.887, and one photograph
# sold in two colours 0.948.
SAME_CORRELATION = 0.96
# 5 % crops that the hashes find have 0.62 or more; pairs that only look alike from afar are then mostly below.
KIN_CORRELATION = 0.6

# Below this standard deviation (grey, 0 to 1) a hash is made of noise: all flat pictures share one.
FLAT_CONTRAST = 0.02
# The same for the thumb, which is what the hashes see: fine texture on a plain ground leaves nothing of itself there.
FLAT_THUMB = 0.005

_CHUNK = 4096  # candidates confirmed at a time: 32 MB of thumbs

AS_IS, MIRRORED, EDITED = 0, 1, 2

Thumbs = npt.NDArray[np.uint8]


class Matches(NamedTuple):
    """Pairs of pictures that look alike, each (i, j, view) once, i < j, in that order.

    `view` tells how one of them has to be seen to look like the other: `AS_IS`, `MIRRORED`, or `EDITED` (cropped,
    framed, marked or turned a little); `same` whether they are the same picture, else they are kin.
    """

    i: Indices
    j: Indices
    view: Indices
    same: npt.NDArray[np.bool_]


def find_matches(pictures: list[ImageFacts], clean: CleanConfig, lay: Lay | None = None) -> Matches:
    """Compare every picture with every other, exactly, but for flat ones, which are like nothing.

    Args:
        pictures: decoded ones, each different pixels.
        clean: the distances, and whether mirrored pictures count.
        lay: lays pictures over each other that are up to `edited_distance` apart and not plainly the same; none: they
            are not looked at.
    """
    searched = np.array([k for k, one in enumerate(pictures) if comparable(one)], dtype=np.intp)
    if len(searched) < 2:
        return edited_matches((), ())
    some = [pictures[k] for k in searched]
    thumbs = thumbs_of(some)
    phash, dhash = _views(some, clean)
    limit = max(clean.same_distance, clean.kin_distance, clean.edited_distance if lay else 0)
    chunks: list[Matches] = []
    unsure: set[tuple[int, int]] = set()
    for pairs in near_pairs(phash, dhash, limit, clean.workers or os.cpu_count() or 1):
        for start in range(0, len(pairs.i), _CHUNK):
            part = Pairs(*(field[start : start + _CHUNK] for field in pairs))
            kin, same = _confirmed(part, thumbs, clean)
            i, j = np.minimum(part.i, part.j), np.maximum(part.i, part.j)
            chunks.append(Matches(i[kin], j[kin], part.view[kin], same[kin]))
            open_ = (part.view == AS_IS) & ~same
            unsure.update(zip(i[open_].tolist(), j[open_].tolist(), strict=True))
    if lay:
        order = sorted(unsure)
        chunks.append(edited_matches(order, lay([(some[i].sha256, some[j].sha256) for i, j in order])))
    return _each_once(chunks, searched)


def edited_matches(pairs: Sequence[tuple[int, int]], laid: Sequence[Agreement]) -> Matches:
    """Those of some pairs (i, j), i < j, in order, that agree when they are laid over each other."""
    near = [(i, j, is_same(how)) for (i, j), how in zip(pairs, laid, strict=True) if is_kin(how)]
    i, j, same = np.array(near, np.intp).reshape(-1, 3).T
    return Matches(i, j, np.full_like(i, EDITED), same.astype(np.bool_))


def comparable(facts: ImageFacts) -> bool:
    """Whether a picture has what hashes are made of: contrast, and some of it left at 32 x 32."""
    thumb = np.frombuffer(bytes.fromhex(facts.thumb), dtype=np.uint8)
    return facts.contrast >= FLAT_CONTRAST and float(thumb.std()) >= 255 * FLAT_THUMB


def thumbs_of(pictures: list[ImageFacts]) -> Thumbs:
    """The grey thumbs: uint8 [n, 32, 32]."""
    raw = np.frombuffer(bytes.fromhex("".join(one.thumb for one in pictures)), dtype=np.uint8)
    return raw.reshape(len(pictures), THUMB_SIDE_PX, THUMB_SIDE_PX)


def _views(pictures: list[ImageFacts], clean: CleanConfig) -> tuple[Hashes, Hashes]:
    phash, dhash = [hashes_of([one.phash for one in pictures])], [hashes_of([one.dhash for one in pictures])]
    if clean.mirrored:
        phash.append(hashes_of([one.phash_mirror for one in pictures]))
        dhash.append(hashes_of([one.dhash_mirror for one in pictures]))
    return np.stack(phash), np.stack(dhash)


def _confirmed(pairs: Pairs, thumbs: Thumbs, clean: CleanConfig) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which of the pairs are kin by their hashes and thumbs, and which of those the same."""
    left, right = thumbs[pairs.i].astype(np.float32), thumbs[pairs.j].astype(np.float32)
    mirrored = pairs.view == MIRRORED
    right[mirrored] = right[mirrored][:, :, ::-1]
    for some in (left, right):
        some -= some.mean(axis=(1, 2), keepdims=True)
        some /= np.sqrt((some**2).sum(axis=(1, 2), keepdims=True))
    alike = np.einsum("nij,nij->n", left, right)
    same = (pairs.distance <= clean.same_distance) & (alike >= SAME_CORRELATION)
    kin = (pairs.distance <= clean.kin_distance) & (alike >= KIN_CORRELATION)
    return kin | same, same


def _each_once(chunks: list[Matches], searched: Indices) -> Matches:
    """Put in order, and join the two ways in which a pair is found: i's mirror image like j, and j's like i."""
    i, j, view, same = (
        np.concatenate([chunk[part] for chunk in chunks] or [np.empty(0, np.intp)]) for part in range(4)
    )
    order = np.lexsort((~same.astype(np.bool_), view, j, i))  # where either way says the same, that comes first
    i, j, view, same = searched[i[order]], searched[j[order]], view[order], same[order].astype(np.bool_)
    new = np.ones(len(i), np.bool_)
    new[1:] = (i[1:] != i[:-1]) | (j[1:] != j[:-1]) | (view[1:] != view[:-1])
    return Matches(i[new], j[new], view[new], same[new])
