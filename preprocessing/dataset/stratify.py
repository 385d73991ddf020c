"""Stratified split by label into train, val and test; groups stay whole, and the seed decides ties."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from workspace.config.clean import SplitConfig
from workspace.digest import digest
from workspace.errors import DatasetError

SPLITS = ("train", "val", "test")

Group = Mapping[str, int]
"""How many images of each label a group holds."""


def stratify(
    groups: Mapping[str, Group], config: SplitConfig, seed: int, earlier: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Assign every group to a split.

    A group that has an earlier split keeps it; if that is test, without exception.

    The largest groups go first, equal ones in an order drawn from the seed, each where most images of its labels
    are still wanted; to val or test only if it fits there. A label that is then missing in val or test gets there the
    smallest group that can be spared.

    Args:
        groups: label counts by the group's name.
        config: the shares.
        seed: for the order.
        earlier: the splits of groups that had one in an earlier run.

    Returns:
        train, val or test by group.

    Raises:
        DatasetError: a label has too few groups to be in every split; names all such labels.
    """
    wanted = _wanted(groups, config)
    splits = {name: split for name, split in (earlier or {}).items() if name in groups}
    frozen = frozenset(name for name, split in splits.items() if split == "test")
    for name, split in splits.items():
        _take_from(wanted[split], groups[name])
    for name in sorted(
        groups.keys() - splits.keys(), key=lambda name: (-sum(groups[name].values()), digest(seed, name))
    ):
        group = groups[name]
        fitting = [
            split
            for split in SPLITS
            if split == "train" or all(count <= math.ceil(wanted[split][label]) for label, count in group.items())
        ]
        best = max(fitting, key=lambda split: sum(count * wanted[split][label] for label, count in group.items()))
        splits[name] = best
        _take_from(wanted[best], group)
    _fill_gaps(groups, splits, config, frozen)
    return splits


def _take_from(wanted: dict[str, float], group: Group) -> None:
    for label, count in group.items():
        wanted[label] -= count


def _wanted(groups: Mapping[str, Group], config: SplitConfig) -> dict[str, dict[str, float]]:
    """Images per split and label: the shares, but at least 1, from 10 images on 2, where there is a share."""
    totals = _totals(groups.values())
    wanted: dict[str, dict[str, float]] = {split: {} for split in SPLITS}
    for label, total in totals.items():
        least = 2 if total >= 10 else 1
        for split, share in (("val", config.val), ("test", config.test)):
            wanted[split][label] = max(share * total, least) if share > 0 else 0
        wanted["train"][label] = total - wanted["val"][label] - wanted["test"][label]
    return wanted


def _fill_gaps(
    groups: Mapping[str, Group], splits: dict[str, str], config: SplitConfig, frozen: Collection[str]
) -> None:
    problems = []
    labels = sorted(_totals(groups.values()))
    for split, share in (("val", config.val), ("test", config.test), ("train", config.train)):
        for label in labels:
            if share <= 0 or any(splits[name] == split and label in group for name, group in groups.items()):
                continue
            spare = _spare(groups, splits, label, split, frozen)
            if spare is None:
                count = sum(label in group for group in groups.values())
                problems.append(
                    f"the pictures of {label!r} form {count} groups (copies of each other, or by one creator), "
                    f"so that {split} gets none"
                )
            else:
                splits[spare] = split
    if problems:
        raise DatasetError(
            f"{'; '.join(problems)}. Groups are never divided. Add keywords or sources, or raise search.per_class, "
            "then run again"
        )


def _spare(
    groups: Mapping[str, Group], splits: Mapping[str, str], label: str, split: str, frozen: Collection[str]
) -> str | None:
    """Find the smallest unfrozen group with this label that its split can lose without losing a label."""
    held: Counter[tuple[str, str]] = Counter()
    for name, group in groups.items():
        held.update((splits[name], other) for other in group)
    candidates = [
        (SPLITS.index(splits[name]), sum(group.values()), name)
        for name, group in groups.items()
        if name not in frozen
        and label in group
        and splits[name] != split
        and all(held[splits[name], other] > 1 for other in group)
    ]
    return min(candidates)[2] if candidates else None


def _totals(groups: Iterable[Group]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for group in groups:
        totals.update(group)
    return totals
