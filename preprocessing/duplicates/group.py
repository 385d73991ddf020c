"""Group near-duplicates: choose the copy to keep, and name the groups that must stay in one split."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scipy.cluster.hierarchy import DisjointSet

from preprocessing.duplicates.fingerprint import Fingerprint, ThumbsOf
from preprocessing.duplicates.hash_search import Indices
from preprocessing.duplicates.match import Mask, Matches, find_matches
from preprocessing.duplicates.orientation import AS_IS
from preprocessing.duplicates.registration_cache import RegisterPairs
from workspace.config.clean import CleanConfig
from workspace.spread.shards import HERE, Spread

_AT_A_TIME = 10_000


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies among some files, each given by its sha256.

    Attributes:
        kept: the image that each file is a copy of; the best copy of an image, and an image without copies,
            map to themselves.
        orientation: in which orientation (preprocessing/duplicates/orientation.py) each file looks like that image,
            or `EDITED` (preprocessing/duplicates/match.py).
        group: the near-duplicate group of each file, which stays in one split: named by the best sha256 among all
            that are the same or nearly so, also along a chain.
    """

    kept: Mapping[str, str]
    orientation: Mapping[str, int]
    group: Mapping[str, str]


def find_copies(
    images: Iterable[Fingerprint],
    thumbs: ThumbsOf,
    licensed: Collection[str],
    clean: CleanConfig,
    register: RegisterPairs | None = None,
    spread: Spread = HERE,
) -> Copies:
    """Group the files that show the same image; the order of `images` does not matter.

    Files with equal pixels are the same. So are two whose pHash and dHash distances add up to at most
    `same_distance` and whose thumbs correlate; up to `kin_distance` they are near-duplicates. Groups of copies are
    stars: a copy resembles the image that is kept in its place, not merely another copy of it.

    Args:
        images: decoded ones, each sha256 once.
        thumbs: gives their thumbs.
        licensed: the sha256 of images whose licence is known; they are kept before others.
        clean: the distances, and whether mirrored and rotated images count.
        register: registers pairs that may be edited copies; None: only hashes and thumbs count.
        spread: where hashes are searched.
    """
    ordered = sorted(images, key=lambda image: best_first(image, image.sha256 in licensed))
    original = _exact_duplicates(ordered)
    different = [image for image in ordered if original[image.sha256] == image.sha256]
    return copies_of(different, original, find_matches(different, thumbs, clean, register, spread))


def copies_of(images: Sequence[Fingerprint], original: Mapping[str, str], matches: Matches) -> Copies:
    """Group matching pairs into stars: one kept image, and its copies.

    Args:
        images: the best first.
        original: for every file, the best first, the image that it is an exact duplicate of, or itself.
        matches: pairs of indices into the images.
    """
    centre, orientation = _stars(len(images), matches)
    names = [image.sha256 for image in images]
    star = {sha: names[index] for sha, index in zip(names, centre, strict=True)}
    seen = dict(zip(names, orientation, strict=True))
    near = ((names[i], names[j]) for i, j in _rows(matches.i, matches.j))
    return Copies(
        kept={sha: star[other] for sha, other in original.items()},
        orientation={sha: seen[other] for sha, other in original.items()},
        group=connected_components(original, itertools.chain(original.items(), near)),
    )


def best_first(image: Fingerprint, licensed: bool) -> tuple[bool, int, float, str]:
    """Return a sort key that puts the copy to keep first: licence known, more pixels, less compressed, lower sha256."""
    return (not licensed, -image.area, -image.file_bytes / max(1, image.area), image.sha256)


def connected_components(items: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map each item to the name of its connected component: the first of its items in `items`.

    Args:
        items: every item, in order of preference for the name.
        pairs: the edges; both ends must be items.
    """
    parts = DisjointSet(items)
    for first, second in pairs:
        parts.merge(first, second)
    names: dict[str, str] = {}
    return {item: names.setdefault(parts[item], item) for item in parts}


def _exact_duplicates(ordered: Sequence[Fingerprint]) -> dict[str, str]:
    """Map each file to the best one with equal pixels, or with equal hashes and thumb.

    A placeholder that was served ten thousand times, each time recompressed, is so compared only once.
    """
    first: dict[bytes, str] = {}
    original = {image.sha256: first.setdefault(image.pixel_digest, image.sha256) for image in ordered}
    by_hashes: dict[bytes, str] = {}
    for image in ordered:
        if original[image.sha256] == image.sha256 and image.textured:
            original[image.sha256] = by_hashes.setdefault(image.hash_digest, image.sha256)
    return {sha: original[other] for sha, other in original.items()}


def _stars(count: int, matches: Matches) -> tuple[list[int], list[int]]:
    """Find each image's centre, a better image (of lower index), and the orientation in which the two match."""
    centre, seen = list(range(count)), [AS_IS] * count
    taken = [False] * count
    same = (column[matches.same] for column in matches[:3])
    for better, worse, orientation in _rows(*same):  # sorted by i: the better image has its centre already
        if not taken[better] and not taken[worse]:
            centre[worse], seen[worse], taken[worse] = better, orientation, True
    return centre, seen


def _rows(*columns: Indices | Mask) -> Iterator[tuple[int, ...]]:
    """Yield rows as Python integers, a few thousand at a time, since these take five times the memory of numpy's."""
    for start in range(0, len(columns[0]), _AT_A_TIME):
        yield from zip(*(column[start : start + _AT_A_TIME].tolist() for column in columns), strict=True)
