"""Which pictures look the same or nearly so: candidates by their hashes, confirmed on 32 x 32 grey pixels."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preprocessing.hash_search import Hashes, Indices, Pairs, near_pairs
from preprocessing.hashing import THUMB_SIDE_PX, hashes_of
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

Thumbs = npt.NDArray[np.uint8]


class Matches(NamedTuple):
    """Pairs of pictures that look alike, each (i, j, view) once, i < j, in that order.

    `view` tells how one of them has to be seen to look like the other: 0 as it is, 1 mirrored; `same` whether they
    are the same picture, else they are kin.
    """

    i: Indices
    j: Indices
    view: Indices
    same: npt.NDArray[np.bool_]


def find_matches(pictures: list[ImageFacts], clean: CleanConfig) -> Matches:
    """Compare every picture with every other, exactly, but for flat ones, which are like nothing.

    Args:
        pictures: decoded ones, each different pixels.
        clean: the distances, and whether mirrored pictures count.
    """
    searched = np.array([k for k, one in enumerate(pictures) if comparable(one)], dtype=np.intp)
    if len(searched) < 2:
        none = np.empty(0, np.intp)
        return Matches(none, none, none, np.empty(0, np.bool_))
    some = [pictures[k] for k in searched]
    thumbs = thumbs_of(some)
    phash, dhash = _views(some, clean)
    limit = max(clean.same_distance, clean.kin_distance)
    chunks = [
        _confirmed(Pairs(*(part[start : start + _CHUNK] for part in pairs)), thumbs, clean)
        for pairs in near_pairs(phash, dhash, limit, clean.workers or os.cpu_count() or 1)
        for start in range(0, len(pairs.i), _CHUNK)
    ]
    return _each_once(chunks, searched)


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


def _confirmed(pairs: Pairs, thumbs: Thumbs, clean: CleanConfig) -> Matches:
    left, right = thumbs[pairs.i].astype(np.float32), thumbs[pairs.j].astype(np.float32)
    mirrored = pairs.view == 1
    right[mirrored] = right[mirrored][:, :, ::-1]
    for some in (left, right):
        some -= some.mean(axis=(1, 2), keepdims=True)
        some /= np.sqrt((some**2).sum(axis=(1, 2), keepdims=True))
    alike = np.einsum("nij,nij->n", left, right)
    kin = alike >= KIN_CORRELATION
    same = (pairs.distance <= clean.same_distance) & (alike >= SAME_CORRELATION)
    i, j = np.minimum(pairs.i, pairs.j), np.maximum(pairs.i, pairs.j)
    return Matches(i[kin], j[kin], pairs.view[kin], same[kin])


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
