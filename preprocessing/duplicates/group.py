"""Which files show the same picture, which copy to keep, and which pictures must not be parted by a split."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scipy.cluster.hierarchy import DisjointSet

from preprocessing.duplicates.fingerprint import Look, ThumbsOf
from preprocessing.duplicates.hash_search import Indices
from preprocessing.duplicates.match import Mask, Matches, find_matches
from preprocessing.duplicates.orientation import AS_IS
from preprocessing.duplicates.registration_cache import Lay
from workspace.config.clean import CleanConfig

_AT_A_TIME = 10_000


@dataclass(frozen=True, slots=True)
class Copies:
    """What belongs together among some files, each given by its sha256.

    Attributes:
        kept: the picture that each file is a copy of; the best copy of a picture, and a picture without copies,
            have themselves here.
        view: how each file has to be turned to look like that picture: as preprocessing/duplicates/orientation.py
            counts, or `EDITED` (preprocessing/duplicates/match.py).
        kin: for every file the name of what must stay in one split: the best sha256 among all that are the same
            or nearly so, also along a chain.
    """

    kept: Mapping[str, str]
    view: Mapping[str, int]
    kin: Mapping[str, str]


def find_copies(
    pictures: Iterable[Look], thumbs: ThumbsOf, licensed: Collection[str], clean: CleanConfig, lay: Lay | None = None
) -> Copies:
    """Group the files that show the same picture; the order of `pictures` does not matter.

    Files with equal pixels are the same. So are two whose pHash and dHash distances add up to at most
    `same_distance` and whose thumbs correlate; up to `kin_distance` they are kin. Groups are stars: a copy is like
    the picture that is kept in its place, not merely like another copy of it.

    Args:
        pictures: decoded ones, each sha256 once.
        thumbs: gives their thumbs.
        licensed: the sha256 of pictures whose licence is known; they are kept before others.
        clean: the distances, and whether mirrored and turned pictures count.
        lay: lays pictures over each other that may be edited copies; none: only hashes and thumbs count.
    """
    ordered = sorted(pictures, key=lambda one: best_first(one, one.sha256 in licensed))
    twin = _twins(ordered)
    different = [one for one in ordered if twin[one.sha256] == one.sha256]
    return copies_of(different, twin, find_matches(different, thumbs, clean, lay))


def copies_of(pictures: Sequence[Look], twin: Mapping[str, str], matches: Matches) -> Copies:
    """Make stars of the pairs that match.

    Args:
        pictures: the best first.
        twin: for every file, the best first, the one among the pictures that it cannot be told from.
        matches: pairs of places among the pictures.
    """
    centre, view = _stars(len(pictures), matches)
    names = [one.sha256 for one in pictures]
    star = {sha: names[index] for sha, index in zip(names, centre, strict=True)}
    seen = dict(zip(names, view, strict=True))
    near = ((names[i], names[j]) for i, j in _rows(matches.i, matches.j))
    return Copies(
        kept={sha: star[other] for sha, other in twin.items()},
        view={sha: seen[other] for sha, other in twin.items()},
        kin=connected(twin, itertools.chain(twin.items(), near)),
    )


def best_first(picture: Look, licensed: bool) -> tuple[bool, int, float, str]:
    """Sort key that puts the copy to keep first: licence known, more pixels, less compressed, lower sha256."""
    return (not licensed, -picture.area, -picture.file_bytes / max(1, picture.area), picture.sha256)


def connected(items: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name the connected part that each item lies in, by the item of it that comes first in `items`.

    Args:
        items: every item, in order of preference for the name.
        pairs: which two belong together; both must be items.
    """
    parts = DisjointSet(items)
    for one, other in pairs:
        parts.merge(one, other)
    names: dict[str, str] = {}
    return {item: names.setdefault(parts[item], item) for item in parts}


def _twins(ordered: Sequence[Look]) -> dict[str, str]:
    """Each file's first one with equal pixels, or that no comparison can tell from it.

    A placeholder that was served ten thousand times, each time compressed anew, is so compared once.
    """
    first: dict[bytes, str] = {}
    twin = {one.sha256: first.setdefault(one.pixel_digest, one.sha256) for one in ordered}
    looks: dict[bytes, str] = {}
    for one in ordered:
        if twin[one.sha256] == one.sha256 and one.comparable:
            twin[one.sha256] = looks.setdefault(one.look_digest, one.sha256)
    return {sha: twin[other] for sha, other in twin.items()}


def _stars(count: int, matches: Matches) -> tuple[list[int], list[int]]:
    """Each picture's centre, which is the better one, of lower index, and the view in which it looks like it."""
    centre, seen = list(range(count)), [AS_IS] * count
    taken = [False] * count
    for one, other, how in _rows(*(part[matches.same] for part in matches[:3])):  # by i: its own centre is known by now
        if not taken[one] and not taken[other]:
            centre[other], seen[other], taken[other] = one, how, True
    return centre, seen


def _rows(*columns: Indices | Mask) -> Iterator[tuple[int, ...]]:
    """Row by row as Python's numbers, which take five times the memory of numpy's, a few thousand at a time."""
    for start in range(0, len(columns[0]), _AT_A_TIME):
        yield from zip(*(column[start : start + _AT_A_TIME].tolist() for column in columns), strict=True)
