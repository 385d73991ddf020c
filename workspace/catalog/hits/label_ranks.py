"""Which of two labels of an image counts: first that of `review`, then of a person's own folder, then of a search."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from workspace.catalog.records import Hit

GIVEN_SOURCES = ("folder", "inbox")
"""The sources whose labels a person has given, file by file; what others find has the label of a keyword."""

REVIEWED, GIVEN, FOUND = range(3)
"""Where a label comes from, the strongest first."""


class LabelRank(NamedTuple):
    """The rank of a label of an image: by its `origin` first, then by the best `rank` of its hits."""

    origin: int
    rank: int


@cache  # one object for each: a million images have few different ones
def label_rank(origin: int, rank: int) -> LabelRank:
    """Return the rank of a label."""
    return LabelRank(origin, rank)


def better_rank(hit: Hit, earlier: LabelRank | None) -> LabelRank:
    """Return the rank of a label after one more hit under it."""
    origin = GIVEN if hit.source in GIVEN_SOURCES else FOUND
    if earlier is None:
        return label_rank(origin, hit.rank)
    return label_rank(min(origin, earlier.origin), min(hit.rank, earlier.rank))
