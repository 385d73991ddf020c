"""Paired test (McNemar's, grouped) of two models on the same images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True, slots=True)
class PairedAnswer:
    """Whether each model is right on one image; images of the same `group` are not independent."""

    group: str
    champion_right: bool
    challenger_right: bool


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The result of the test; decisions.jsonl records these fields.

    `wins` are groups in which the challenger is right more often, `losses` those in which it is right less often.

    `p_better` is the probability that two equally good models give so many wins or more among wins + losses (exact
    binomial, which is McNemar's test for groups of one image), `p_worse` the same for losses.
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
        kin = "" if self.groups == self.pictures else f", {self.groups} of them independent,"
        text = (
            f"of {self.pictures} test pictures{kin} the new model answers {self.challenger_right} rightly, the earlier "
            f"one {self.champion_right}"
        )
        if not self.wins + self.losses:
            return text
        unit = "pictures" if self.groups == self.pictures else "groups"
        return (
            f"{text}; of the {unit} on which they differ the new one is better on {self.wins}, the earlier one on "
            f"{self.losses} (p = {self.p_better:.3g}, the probability of so clear a lead by chance)"
        )


def paired_test(answers: Sequence[PairedAnswer]) -> PairedTest:
    """Test whether the challenger is better than the champion.

    Each group votes once (by its majority; a tie does not count), since copies and one creator's images are easy or
    hard together. Exact at every size: the chi-squared form of McNemar's test needs 25 differences.
    """
    balance: Counter[str] = Counter()
    for answer in answers:
        balance[answer.group] += answer.challenger_right - answer.champion_right
    wins = sum(value > 0 for value in balance.values())
    losses = sum(value < 0 for value in balance.values())
    return PairedTest(
        pictures=len(answers),
        groups=len(balance),
        champion_right=sum(answer.champion_right for answer in answers),
        challenger_right=sum(answer.challenger_right for answer in answers),
        wins=wins,
        losses=losses,
        p_better=_chance(wins, wins + losses),
        p_worse=_chance(losses, wins + losses),
    )


def _chance(count: int, total: int) -> float:
    return float(binomtest(count, total, 0.5, alternative="greater").pvalue) if total else 1.0
