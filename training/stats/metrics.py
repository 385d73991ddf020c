"""Accuracy, recall, precision and F1 with confidence intervals.

Every measure follows from three counts per class, so that a bootstrap only sums them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workspace.storage.metrics import Share

Labels = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Interval = tuple[float, float]

Z_95 = 1.959963984540054
"""The normal distribution's two-sided 95 % point."""

_CELLS_AT_A_TIME = 4_000_000  # draws x groups held in memory: 32 MB

INTERVAL_METHOD = (
    "95 %, by bootstrap: pictures are drawn anew many times, copies and one creator's pictures together. Accuracy's is "
    "widened to Wilson's interval, and balanced accuracy's to one made of Wilson's, because a bootstrap shows no doubt "
    "when every answer is right; for macro-F1 there is no such formula, so its interval may be narrower than it should"
)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts per class, float64 [..., classes]: images of the class, answers of the class, and right answers."""

    support: Float64s
    answered: Float64s
    hits: Float64s

    @classmethod
    def of(cls, labels: Labels, predicted: Labels, classes: int) -> Tally:
        """Count answers; labels and predicted int64 [n], each in 0 … classes-1."""
        return cls(
            np.bincount(labels, minlength=classes).astype(np.float64),
            np.bincount(predicted, minlength=classes).astype(np.float64),
            np.bincount(labels[labels == predicted], minlength=classes).astype(np.float64),
        )

    def accuracy(self) -> Float64s:
        """Compute the share of right answers, [...]; nan without images."""
        return _ratio(self.hits.sum(-1), self.support.sum(-1))

    def recall(self) -> Float64s:
        """Compute the recall per class, [..., classes]; nan for a class without images."""
        return _ratio(self.hits, self.support)

    def precision(self) -> Float64s:
        """Compute the precision per class, [..., classes]; nan for a class that was never answered."""
        return _ratio(self.hits, self.answered)

    def f1(self) -> Float64s:
        """Compute F1 per class, [..., classes]; nan for a class without images that was never answered."""
        return _ratio(2 * self.hits, self.support + self.answered)

    def balanced_accuracy(self) -> Float64s:
        """Compute the mean recall of the classes that have images, [...]; as scikit-learn's balanced_accuracy_score."""
        return _mean_of_known(self.recall())

    def macro_f1(self) -> Float64s:
        """Compute the mean F1 of the classes that have images or answers, [...]; as scikit-learn's f1_score(macro)."""
        return _mean_of_known(self.f1())


@dataclass(frozen=True, slots=True)
class HeadlineMeasures:
    """The three headline measures of one split."""

    accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share


def score(
    labels: Labels, predicted: Labels, groups: Sequence[str], classes: int, draws: int, seed: int
) -> HeadlineMeasures:
    """Compute the headline measures, with intervals that allow for images that are not independent.

    A percentile bootstrap draws whole groups (Davison & Hinkley 1997, Bootstrap Methods, section 3.8). Where every
    answer is right it has no width, so accuracy takes in the Wilson interval too, and balanced accuracy the limits
    of a mean of proportions (Zou, Huang & Zhang 2009, CSDA 53, 1080-1085) that are made of Wilson's. Macro-F1
    has no such formula; without a single mistake it equals balanced accuracy and takes its interval.

    Args:
        labels: int64 [n], n >= 1.
        predicted: int64 [n].
        groups: [n], equal for images that are not independent.
        classes: how many.
        draws: of the bootstrap.
        seed: of the draws.
    """
    tally = Tally.of(labels, predicted, classes)
    drawn = bootstrap(labels, predicted, groups, classes, draws, seed)
    names = np.asarray(groups, dtype=np.str_)
    accuracy = Share(float(tally.accuracy()), percentiles(drawn.accuracy()))
    balanced = Share(float(tally.balanced_accuracy()), percentiles(drawn.balanced_accuracy()))
    macro_f1 = Share(float(tally.macro_f1()), percentiles(drawn.macro_f1()))
    mean_of_recalls = _mean_interval(labels, labels == predicted, names)
    own = (macro_f1.value, macro_f1.value)
    return HeadlineMeasures(
        _widened(accuracy, wilson(accuracy.value, effective_size(names))),
        _widened(balanced, mean_of_recalls),
        _widened(macro_f1, mean_of_recalls if np.array_equal(labels, predicted) else own),
    )


def bootstrap(labels: Labels, predicted: Labels, groups: Sequence[str], classes: int, draws: int, seed: int) -> Tally:
    """Draw the groups with replacement, and tally each draw: [draws, classes]; arguments as in `score`."""
    names, group = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    right = labels == predicted
    per_group = [
        np.bincount(rows * classes + values, minlength=len(names) * classes).reshape(-1, classes)
        for rows, values in ((group, labels), (group, predicted), (group[right], labels[right]))
    ]
    flat = np.concatenate(per_group, axis=1).astype(np.float64)
    rng = np.random.default_rng((seed, len(names), draws))
    chance = np.full(len(names), 1 / len(names))
    step = max(1, _CELLS_AT_A_TIME // len(names))
    sums = [
        rng.multinomial(len(names), chance, size=min(step, draws - start)) @ flat for start in range(0, draws, step)
    ]
    totals = np.concatenate(sums).reshape(draws, 3, classes)
    return Tally(totals[:, 0], totals[:, 1], totals[:, 2])


def percentiles(values: Float64s) -> Interval:
    """Compute the middle 95 % of values [draws]."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def wilson(share: float, n: float) -> Interval:
    """Compute Wilson's 95 % score interval of a share of n independent trials; n > 0, need not be whole.

    Recommended for small n by Brown, Cai & DasGupta 2001, Statistical Science 16, 101-133.
    """
    spread = Z_95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * np.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def effective_size(groups: npt.NDArray[np.str_]) -> float:
    """Compute how many independent images these are worth if those of a group are all alike: n² / Σ m².

    Kish 1965, Survey Sampling; with groups of one image each it is their number.
    """
    sizes = np.unique(groups, return_counts=True)[1]
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def standard_error(share: float, n: float) -> float:
    """Compute the standard error of a share of n independent trials, with two of each outcome added, so never 0.

    Agresti & Coull 1998, The American Statistician 52, 119-126.
    """
    adjusted = (share * n + 2) / (n + 4)
    return float(np.sqrt(adjusted * (1 - adjusted) / (n + 4)))


def confusion(labels: Labels, predicted: Labels, classes: int) -> Labels:
    """Count answers, int64 [classes, classes]: row the true class, column the answer."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def _mean_interval(labels: Labels, right: npt.NDArray[np.bool_], groups: npt.NDArray[np.str_]) -> Interval:
    """Compute the interval of the mean recall over classes from the Wilson interval of each."""
    shares, below, above = [], [], []
    for label in np.unique(labels):
        rows = labels == label
        share = float(right[rows].mean())
        low, high = wilson(share, effective_size(groups[rows]))
        shares.append(share)
        below.append(share - low)
        above.append(high - share)
    mean, count = float(np.mean(shares)), len(shares)
    return (
        max(0.0, mean - float(np.linalg.norm(below)) / count),
        min(1.0, mean + float(np.linalg.norm(above)) / count),
    )


def _widened(measure: Share, other: Interval) -> Share:
    low, high = measure.interval
    # Percentiles of a skewed bootstrap may not include the value itself.
    return Share(measure.value, (min(low, other[0], measure.value), max(high, other[1], measure.value)))


def _ratio(over: Float64s, under: Float64s) -> Float64s:
    nothing = np.full(np.shape(under), np.nan)
    return np.asarray(np.divide(over, under, out=nothing, where=np.asarray(under) > 0))


def _mean_of_known(values: Float64s) -> Float64s:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(-1), known.sum(-1).astype(np.float64))
