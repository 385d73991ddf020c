"""Effective verdicts: whether an image stays under a label, from verdicts and decisions, and counts by class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from workspace.catalog.records import Override, Verdict

Pair = tuple[str, str]
"""(sha256, label)."""

_ORDER = ("keep", "flag", "drop")
DROP = _ORDER.index("drop")
FLAG = _ORDER.index("flag")


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


def effective_verdicts(verdicts: Iterable[Verdict], ignoring: Collection[str] = ()) -> dict[Pair, str]:
    """Compute the effective verdict of each image under each label: drop, else flag, else keep.

    Args:
        verdicts: of all stages.
        ignoring: stages whose verdicts do not count.
    """
    worst: dict[Pair, str] = {}
    for verdict in verdicts:
        if verdict.stage not in ignoring:
            key = verdict.sha256, verdict.label
            worst[key] = max(verdict.verdict, worst.get(key, "keep"), key=_ORDER.index)
    return worst


def worst(verdicts: sa.FromClause, ignoring: Collection[str] = ()) -> sa.Function[int]:
    """Write `effective_verdicts` in SQL: the largest of a group of rows, 0 keep to DROP; NULL: all are ignored."""
    rank = sa.case({name: number for number, name in enumerate(_ORDER)}, value=verdicts.c.verdict)
    return sa.func.max(sa.case((verdicts.c.stage.in_(ignoring), None), else_=rank))


def staying(standing: Mapping[Pair, str], overrides: Iterable[Override]) -> set[Pair]:
    """Compute the images that stay, under their final labels: a person's decision overrides every verdict."""
    stays = {pair for pair, verdict in standing.items() if verdict != "drop"}
    for override in overrides:
        if override.action == "keep":
            stays.add((override.sha256, override.label))
        else:
            stays.discard((override.sha256, override.label))
        if override.action == "relabel":
            stays.add((override.sha256, override.new_label))
    return stays


def decided_pairs(overrides: Iterable[Override]) -> set[Pair]:
    """Collect the images on which a person has decided, under the label that found each and its new one."""
    return {
        (override.sha256, label) for override in overrides for label in (override.label, override.new_label) if label
    }


def count_images(standing: Mapping[Pair, str], overrides: Collection[Override]) -> defaultdict[str, ImageCounts]:
    """Count images by class."""
    counts: defaultdict[str, ImageCounts] = defaultdict(ImageCounts)
    stays, decided = staying(standing, overrides), decided_pairs(overrides)
    for pair, verdict in standing.items():
        counts[pair[1]].judged += 1
        counts[pair[1]].to_review += verdict == "flag" and pair not in decided
    for _, label in stays:
        counts[label].kept += 1
    for override in overrides:
        counts[override.label].decided += 1
    return counts
