"""Which files show the same picture, which copy to keep, and which pictures must not be parted by a split."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preprocessing.hashing import THUMB_SIDE_PX, Hashes, distances, hashes_of, pairs_within
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


@dataclass(frozen=True, slots=True)
class Copies:
    """What belongs together among some files, each given by its sha256.

    Attributes:
        kept: the picture that each file is a copy of; the best copy of a picture, and a picture without copies,
            have themselves here.
        mirrored: the copies that show the picture mirrored.
        kin: for every file the name of what must stay in one split: the best sha256 among all that are the same
            or nearly so, also along a chain.
    """

    kept: Mapping[str, str]
    mirrored: Collection[str]
    kin: Mapping[str, str]


class _Edge(NamedTuple):
    """Two pictures, i < j, that are the same or else kin; `mirrored` when only as mirror images of each other."""

    i: int
    j: int
    mirrored: bool
    same: bool


class _Seen(NamedTuple):
    """How pictures look, one row each: uint64 [n], uint64 [n], thumbs of zero mean and unit length [n, 32, 32]."""

    phash: Hashes
    dhash: Hashes
    thumbs: npt.NDArray[np.float32]


def find_copies(facts: Iterable[ImageFacts], licensed: Collection[str], clean: CleanConfig) -> Copies:
    """Group the files that show the same picture; the order of `facts` does not matter.

    Files with equal pixels are the same. So are two whose pHash and dHash distances add up to at most
    `same_distance` and whose thumbs correlate; up to `kin_distance` they are kin. Groups are stars: a copy is like
    the picture that is kept in its place, not merely like another copy of it.

    Args:
        facts: decoded pictures, each sha256 once.
        licensed: the sha256 of pictures whose licence is known; they are kept before others.
        clean: the distances, and whether mirrored pictures count.
    """
    ordered = sorted(facts, key=lambda one: best_first(one, one.sha256 in licensed))
    first: dict[str, str] = {}
    kept = {one.sha256: first.setdefault(one.pixel_digest, one.sha256) for one in ordered}
    pictures = [one for one in ordered if kept[one.sha256] == one.sha256]
    edges = _edges(pictures, clean)
    star_of = _stars(len(pictures), edges)
    star = {one.sha256: pictures[star_of[index][0]].sha256 for index, one in enumerate(pictures)}
    mirrored = {one.sha256 for index, one in enumerate(pictures) if star_of[index][1]}
    near = [(pictures[edge.i].sha256, pictures[edge.j].sha256) for edge in edges]
    kin = connected([one.sha256 for one in ordered], [*kept.items(), *near])
    return Copies(
        kept={sha: star[twin] for sha, twin in kept.items()},
        mirrored={sha for sha, twin in kept.items() if twin in mirrored},
        kin=kin,
    )


def best_first(facts: ImageFacts, licensed: bool) -> tuple[bool, int, float, str]:
    """Sort key that puts the copy to keep first: licence known, more pixels, less compressed, lower sha256."""
    area = facts.width * facts.height
    return (not licensed, -area, -facts.bytes / max(1, area), facts.sha256)


def connected(items: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name the connected part that each item lies in, by the item of it that comes first in `items`.

    Args:
        items: every item, in order of preference for the name.
        pairs: which two belong together; both must be items.
    """
    place = {item: index for index, item in enumerate(dict.fromkeys(items))}
    parent = {item: item for item in place}

    def root(item: str) -> str:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for one, other in pairs:
        first, second = sorted((root(one), root(other)), key=place.__getitem__)
        parent[second] = first
    return {item: root(item) for item in place}


def _edges(pictures: list[ImageFacts], clean: CleanConfig) -> list[_Edge]:
    searched = np.array([k for k, one in enumerate(pictures) if one.contrast >= FLAT_CONTRAST], dtype=np.intp)
    if len(searched) < 2:
        return []
    some = [pictures[k] for k in searched]
    thumbs = _thumbs(some)
    upright = _Seen(hashes_of([one.phash for one in some]), hashes_of([one.dhash for one in some]), thumbs)
    found = _confirmed(upright, None, clean)
    if clean.mirrored:
        phash, dhash = hashes_of([one.phash_mirror for one in some]), hashes_of([one.dhash_mirror for one in some])
        found += _confirmed(upright, _Seen(phash, dhash, thumbs[:, :, ::-1]), clean)
    return sorted(_Edge(int(searched[i]), int(searched[j]), mirrored, same) for i, j, mirrored, same in found)


def _confirmed(left: _Seen, mirror: _Seen | None, clean: CleanConfig) -> list[_Edge]:
    """Search by hashes among the pictures, or for those that look like another's mirror image; confirm by thumbs."""
    right = mirror or left
    # p + d <= s implies min(p, d) <= s / 2: two searches with half the radius find every pair.
    radius = max(clean.same_distance, clean.kin_distance) // 2
    by_phash = pairs_within(left.phash, radius, mirror and mirror.phash)
    by_dhash = pairs_within(left.dhash, radius, mirror and mirror.dhash)
    pairs = np.unique(np.concatenate([np.stack(by_phash, 1), np.stack(by_dhash, 1)]), axis=0)
    i, j = pairs[pairs[:, 0] != pairs[:, 1]].T
    total = distances(left.phash[i], right.phash[j]) + distances(left.dhash[i], right.dhash[j])
    near = total <= max(clean.same_distance, clean.kin_distance)
    i, j, total = i[near], j[near], total[near]
    alike = np.array([float((left.thumbs[a] * right.thumbs[b]).sum()) for a, b in zip(i, j, strict=True)])
    return [
        _Edge(min(int(a), int(b)), max(int(a), int(b)), mirror is not None, bool(same))
        for a, b, same, kin in zip(
            i, j, (total <= clean.same_distance) & (alike >= SAME_CORRELATION), alike >= KIN_CORRELATION, strict=True
        )
        if kin
    ]


def _stars(count: int, edges: list[_Edge]) -> list[tuple[int, bool]]:
    """Each picture's centre and whether it is its mirror image; the better picture, of lower index, is the centre."""
    neighbours: dict[int, list[tuple[int, bool]]] = {}
    for edge in edges:
        if edge.same:
            neighbours.setdefault(edge.i, []).append((edge.j, edge.mirrored))
    centre: dict[int, tuple[int, bool]] = {}
    for index in range(count):
        if index not in centre:
            centre[index] = (index, False)
            for other, mirrored in neighbours.get(index, []):  # in order: as it is comes before mirrored
                centre.setdefault(other, (index, mirrored))
    return [centre[index] for index in range(count)]


def _thumbs(pictures: list[ImageFacts]) -> npt.NDArray[np.float32]:
    raw = np.frombuffer(bytes.fromhex("".join(one.thumb for one in pictures)), dtype=np.uint8)
    thumbs = raw.reshape(len(pictures), THUMB_SIDE_PX, THUMB_SIDE_PX).astype(np.float32)
    thumbs -= thumbs.mean(axis=(1, 2), keepdims=True)
    thumbs /= np.maximum(np.sqrt((thumbs**2).sum(axis=(1, 2), keepdims=True)), 1e-6)
    return thumbs
