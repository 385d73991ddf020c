"""Out-of-distribution detection: when the answer is none of the classes (selective classification).

Two scores measure how much an image is like the in-class ones: the calibrated probability of the best class (Hendrycks
& Gimpel 2017, arXiv 1610.02136) and the distance to the k-th nearest training image, on L2-normalised features (Sun et
al. 2022, arXiv 2204.06507). Each becomes a rank among in-class images that the model was not trained on, and the lower
rank counts (Tippett 1931). The limits are fitted on in-class images; no out-of-distribution image is needed. Where some
are known to be of no class (negatives), they choose among the pairs of limits that let the same share of in-class
images pass: in-class images say how many are refused, negatives say by which of the two scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.neighbours import nearest, unit
from training.stats.paired_test import PairedAnswer, paired_test
from training.stats.parts import random_parts

Floats = npt.NDArray[np.float32]

_PAIRS, _LEVEL = 33, 0.05  # pairs of limits that are compared, and the level of the test

NEIGHBOURS = 5
"""The k of the distance; more than 1, so that a single off-topic training image does not let others like it pass."""

FENCE = 2.0
"""Interquartile ranges above the upper quartile of its class, beyond which a distance sets no limit."""


@dataclass(frozen=True, slots=True)
class OodLimits:
    """Limits that an image must reach to get a class as its answer.

    Attributes:
        accept: the share of in-class images that is to get a class, in [0, 1].
        min_probability: of the best class, calibrated.
        max_distance: to the k-th nearest training image, a cosine distance in [0, 2]; None: no limit.
    """

    accept: float
    min_probability: float
    max_distance: float | None

    def accepts(self, probability: Floats, distance: Floats | None) -> npt.NDArray[np.bool_]:
        """Test which of n images get a class, bool [n]; probability of the best class [n], distance [n]."""
        sure = probability >= np.float32(self.min_probability)
        if self.max_distance is None or distance is None:
            return np.asarray(sure)
        return np.asarray(sure & (distance <= np.float32(self.max_distance)))

    def why_none(self, label: str, probability: float, distance: float | None) -> str:
        """Explain why an image gets the answer `none`; empty when it gets a class.

        Args:
            label: its best class.
            probability: of that class.
            distance: None where it was not measured.
        """
        # Written so that NaN, which is on neither side of a limit, gets no class.
        if self.max_distance is not None and distance is not None and not distance <= np.float32(self.max_distance):
            far, limit = _distinguishable(distance, self.max_distance)
            nearest = f"best class: {label}, {probability:.2f}"
            return f"unlike the training pictures: distance {far}, own ones have at most {limit}; {nearest}"
        if not probability >= np.float32(self.min_probability):
            low, limit = _distinguishable(probability, self.min_probability)
            return f"unsure: {label} {low}, own pictures have at least {limit}"
        return ""


def _distinguishable(value: float, limit: float) -> tuple[str, str]:
    """Format two different numbers with two decimals, or with as many as are needed to make them look different."""
    decimals = next((count for count in range(2, 9) if f"{value:.{count}f}" != f"{limit:.{count}f}"), 9)
    return f"{value:.{decimals}f}", f"{limit:.{decimals}f}"


@dataclass(frozen=True, slots=True, eq=False)
class NegativeScores:
    """The scores of m images that are of no class: probability of the best class, distance, and names of groups, [m].

    `distance` is None where the probability alone decides; images of one group are not independent.
    """

    probability: Floats
    distance: Floats | None
    groups: npt.NDArray[np.str_]


def fit_limits(
    probability: Floats, distance: Floats | None, accept: float, negatives: NegativeScores | None = None
) -> OodLimits:
    """Fit the limits that this share of in-class images passes.

    Of n in-class images at most n - ⌈(n + 1) accept⌉ are rejected, so that a new one passes with about this
    probability (split conformal prediction; Vovk, Gammerman & Shafer 2005). At 0.95 and n < 20 none is rejected.

    Many pairs of limits reject so many. Without negatives the two scores have equal rights. With some, the pair that
    accepts fewest of one half of them is taken, if a paired test on the other half shows that it accepts fewer than
    equal rights do: below ten independent negatives nothing can.

    Args:
        probability: of the best class, [n], n >= 1, of in-class images that the model was not trained on.
        distance: of the same images, [n]; None: the probability alone decides.
        accept: in (0, 1].
        negatives: images of no class.
    """
    # 0.95 has no exact binary form; 1e-9 keeps ⌈20 x 0.95⌉ at 19.
    spare = max(0, len(probability) - math.ceil((len(probability) + 1) * accept - 1e-9))
    scores = [probability] if distance is None else [probability, -distance]
    ordered = [np.sort(score) for score in scores]
    cut = _equal_rights(scores, ordered, spare)
    equal = _limits(ordered, (cut,) * len(ordered), accept)
    if distance is None or negatives is None or negatives.distance is None or not len(negatives.probability):
        return equal
    pairs = sorted(_pairs(scores, ordered, spare), key=lambda pair: abs(pair[0] - cut))  # near to equal rights first
    return _chosen_by_negatives(equal, [_limits(ordered, pair, accept) for pair in pairs], negatives)


def _equal_rights(scores: Sequence[Floats], ordered: Sequence[Floats], spare: int) -> int:
    """Find the place before which, in either of the sorted scores, together at most `spare` images stand."""
    ranks = np.min([np.searchsorted(o, s, side="right") for o, s in zip(ordered, scores, strict=True)], axis=0)
    rejected = np.searchsorted(np.sort(ranks), np.arange(len(ranks)), side="right")
    return int(np.flatnonzero(rejected <= spare)[-1]) if (rejected <= spare).any() else 0


def _chosen_by_negatives(equal: OodLimits, others: Sequence[OodLimits], negatives: NegativeScores) -> OodLimits:
    """Take the limits that refuse most of one half of the negatives, if the other half shows them to be better.

    The best of many, tested on the negatives that it was chosen by, would look better though none is.
    """
    candidates = [equal, *others]
    refused = [~limits.accepts(negatives.probability, negatives.distance) for limits in candidates]
    choosing = random_parts(negatives.groups, 2) == 0
    counts = [np.count_nonzero(each[choosing]) for each in refused]
    best = int(np.argmax(counts))  # the first of equals
    rows = np.flatnonzero(~choosing)
    votes = zip(negatives.groups[rows].tolist(), refused[0][rows].tolist(), refused[best][rows].tolist(), strict=True)
    is_better = paired_test([PairedAnswer(*vote) for vote in votes]).p_better < _LEVEL
    return candidates[best] if is_better else equal


def _limits(ordered: Sequence[Floats], cuts: Sequence[int], accept: float) -> OodLimits:
    """Make limits that reject what stands before these places of the sorted scores."""
    # Halfway between the last rejected image and the first that passes: limits at the latter, one for each of the two
    # scores, would reject a third too many of 60 new images.
    bounds = [float(np.float64(o[cut]) + o[max(0, cut - 1)]) / 2 for o, cut in zip(ordered, cuts, strict=True)]
    return OodLimits(accept, bounds[0], None if len(bounds) == 1 else -bounds[1])


def _pairs(scores: Sequence[Floats], ordered: Sequence[Floats], spare: int) -> list[tuple[int, int]]:
    """List the places in the two sorted scores before which together at most `spare` images stand."""
    probability, nearness = scores
    by_nearness = np.argsort(nearness, kind="stable")
    pairs = []
    for first in np.unique(np.linspace(0, spare, _PAIRS).astype(np.int64)):
        unsure = probability < ordered[0][first]
        further = np.cumsum(~unsure[by_nearness]) + np.count_nonzero(unsure)
        pairs.append((int(first), min(int(np.searchsorted(further, spare, side="right")), len(nearness) - 1)))
    return pairs


def far_out(distances: Floats, classes: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Find the images that lie much farther from the others than their class does, bool [n]: most are off topic.

    Fifty held-out images have one or two at the limit, so that a single off-topic one would move it to where strangers
    pass. Classes are fenced one by one (Tukey 1977), since a diverse one lies farther apart than the others.

    Args:
        distances: of `own_distances`, [n].
        classes: names, [n].
    """
    far = np.zeros(len(distances), np.bool_)
    for name in np.unique(classes):
        rows = classes == name
        lower, upper = np.quantile(distances[rows], (0.25, 0.75))
        far[rows] = distances[rows] > upper + FENCE * (upper - lower)
    return far


def neighbour_distances(
    bank: npt.NDArray[np.floating], queries: npt.NDArray[np.floating], neighbours: int = NEIGHBOURS
) -> Floats:
    """Compute the cosine distance of each query to its k-th nearest in the bank, float32 [m] in [0, 2].

    Args:
        bank: features [n, dim], n >= 1; where n < neighbours the farthest counts.
        queries: features [m, dim].
        neighbours: k.
    """
    return _distances(nearest(unit(queries), unit(bank), neighbours)[1])


def own_distances(
    features: npt.NDArray[np.floating], groups: npt.NDArray[np.str_], neighbours: int = NEIGHBOURS
) -> Floats:
    """Compute the same for each image among the others, without those of its own group: float32 [n].

    This estimates the distance of a new in-class image if the backbone was not trained on these images.
    """
    return distances_to_others(features, groups, features, groups, neighbours)


def distances_to_others(
    queries: npt.NDArray[np.floating],
    query_groups: npt.NDArray[np.str_],
    bank: npt.NDArray[np.floating],
    bank_groups: npt.NDArray[np.str_],
    neighbours: int = NEIGHBOURS,
) -> Floats:
    """Compute the distances of queries [m, dim] to a bank [n, dim] that holds them or their like: float32 [m].

    Images of a query's own group are left out; groups are names, [m] and [n].
    """
    numbers = np.unique(np.concatenate([query_groups, bank_groups]), return_inverse=True)[1]
    pair = numbers[: len(query_groups)], numbers[len(query_groups) :]
    return _distances(nearest(unit(queries), unit(bank), neighbours, pair)[1])


def _distances(cosines: Floats) -> Floats:
    """Convert the last of the k nearest cosines [n, k] to a distance [n]; a neighbour of the own group is at 2."""
    return np.clip(1 - cosines[:, -1], 0, 2)
