"""Two models on the same pictures: which of them is right where the other is wrong, and what chance would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True, slots=True)
class Answer:
    """What both models made of one picture; `group` joins pictures that are not independent of each other."""

    group: str
    champion_right: bool
    challenger_right: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """The paired test. `wins` are groups in which the challenger is right more often, `losses` the opposite.

    `p_better` is the probability that two equally good models give so many wins or more among wins + losses (exact
    binomial, which is McNemar's test for groups of one picture), `p_worse` the same for losses.
    """

    pictures: int
    groups: int
    champion_right: int
    challenger_right: int
    wins: int
    losses: int
    p_better: float
    p_worse: float

    def __str__(self) -> str:
        return (
            f"on {self.pictures} test pictures ({self.groups} independent) it is right {self.challenger_right} times, "
            f"the live model {self.champion_right} times; it wins {self.wins} and loses {self.losses} "
            f"(p = {self.p_better:.3g})"
        )


def compare(answers: Sequence[Answer]) -> Comparison:
    """Test whether the challenger is better.

    Each group has one voice (that of its majority, none when it is divided), since copies and one creator's pictures
    are easy or hard together. Exact at every size: the chi-squared form of McNemar's test needs 25 differences.
    """
    balance: Counter[str] = Counter()
    for one in answers:
        balance[one.group] += one.challenger_right - one.champion_right
    wins = sum(value > 0 for value in balance.values())
    losses = sum(value < 0 for value in balance.values())
    return Comparison(
        pictures=len(answers),
        groups=len(balance),
        champion_right=sum(one.champion_right for one in answers),
        challenger_right=sum(one.challenger_right for one in answers),
        wins=wins,
        losses=losses,
        p_better=_chance(wins, wins + losses),
        p_worse=_chance(losses, wins + losses),
    )


def _chance(count: int, total: int) -> float:
    return float(binomtest(count, total, 0.5, alternative="greater").pvalue) if total else 1.0
