"""Work out from verdicts and people's decisions whether an image stays under a label, and count this by class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from workspace.catalog.records import Override, Verdict

Pair = tuple[str, str]
"""(sha256, label)."""

_ORDER = ("keep", "flag", "drop")


@dataclass(slots=True)
class ImageCounts:
    """Images of one class.

    Attributes:
        judged: those that a check has judged, whatever came of it.
        kept: those that stay: no stage drops them, or a person keeps them or has moved them here.
        to_review: of these, those that a check flags and on which no person has decided.
        decided: those of this class on which a person has decided.
    """

    judged: int = 0
    kept: int = 0
    to_review: int = 0
    decided: int = 0


def standing_of(verdicts: Iterable[Verdict], ignoring: Collection[str] = ()) -> dict[Pair, str]:
    """Give the verdict that counts for each image under each label: drop, else flag, else keep.

    Args:
        verdicts: of all stages.
        ignoring: stages whose verdicts do not count.
    """
    worst: dict[Pair, str] = {}
    for one in verdicts:
        if one.stage not in ignoring:
            key = one.sha256, one.label
            worst[key] = max(one.verdict, worst.get(key, "keep"), key=_ORDER.index)
    return worst


def staying(standing: Mapping[Pair, str], overrides: Iterable[Override]) -> set[Pair]:
    """Give the images that stay, under the labels where they stay: a person's word beats every verdict."""
    stays = {pair for pair, verdict in standing.items() if verdict != "drop"}
    for one in overrides:
        if one.action == "keep":
            stays.add((one.sha256, one.label))
        else:
            stays.discard((one.sha256, one.label))
        if one.action == "relabel":
            stays.add((one.sha256, one.new_label))
    return stays


def decided_pairs(overrides: Iterable[Override]) -> set[Pair]:
    """Give the images on which a person has decided, under the label that found each and the one that it got."""
    return {(one.sha256, label) for one in overrides for label in (one.label, one.new_label) if label}


def count_images(standing: Mapping[Pair, str], overrides: Collection[Override]) -> dict[str, ImageCounts]:
    """Count by class."""
    counts: dict[str, ImageCounts] = defaultdict(ImageCounts)
    stays, decided = staying(standing, overrides), decided_pairs(overrides)
    for pair, verdict in standing.items():
        counts[pair[1]].judged += 1
        counts[pair[1]].to_review += verdict == "flag" and pair not in decided
    for _, label in stays:
        counts[label].kept += 1
    for one in overrides:
        counts[one.label].decided += 1
    return counts
