"""Out-of-distribution pictures: when to answer none of the classes (selective classification).

Two scores say how much a picture is like the own ones: the calibrated probability of the best class (Hendrycks &
Gimpel 2017, arXiv 1610.02136) and the distance to the k-th nearest training picture, on L2-normalised features (Sun
et al. 2022, arXiv 2204.06507). Each becomes a rank among own pictures that the model had not learnt from, and the lower
rank counts (Tippett 1931). How low it may be follows from own pictures alone; no outsider is needed to set it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.neighbours import nearest, unit

Floats = npt.NDArray[np.float32]

NEIGHBOURS = 5
"""Which nearest training picture the distance is taken to: one off-topic picture among them vouches for no outsider."""


@dataclass(frozen=True, slots=True)
class OodLimits:
    """What a picture must reach to be answered.

    Attributes:
        accept: the share of own pictures that is to be answered, in [0, 1].
        min_probability: of the best class, calibrated.
        max_distance: to the k-th nearest training picture, a cosine distance in [0, 2]; None: not asked for.
    """

    accept: float
    min_probability: float
    max_distance: float | None

    def accepts(self, probability: Floats, distance: Floats | None) -> npt.NDArray[np.bool_]:
        """Which of n pictures are answered; probability of the best class [n], distance [n]."""
        sure = probability >= np.float32(self.min_probability)
        if self.max_distance is None or distance is None:
            return np.asarray(sure)
        return np.asarray(sure & (distance <= np.float32(self.max_distance)))

    def why_none(self, label: str, probability: float, distance: float | None) -> str:
        """Why a picture is answered with none of the classes; empty when it is answered.

        Args:
            label: its best class.
            probability: of that class.
            distance: None where it was not measured.
        """
        if self.max_distance is not None and distance is not None and distance > np.float32(self.max_distance):
            far, limit = _told_apart(distance, self.max_distance)
            return f"unlike the training pictures: distance {far}, own ones have at most {limit}"
        if probability < np.float32(self.min_probability):
            low, limit = _told_apart(probability, self.min_probability)
            return f"unsure: {label} {low}, own pictures have at least {limit}"
        return ""


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Two different numbers with two decimals, or as many more as it takes to see that they differ."""
    places = next((places for places in range(2, 9) if f"{one:.{places}f}" != f"{other:.{places}f}"), 9)
    return f"{one:.{places}f}", f"{other:.{places}f}"


def fit_limits(probability: Floats, distance: Floats | None, accept: float) -> OodLimits:
    """Choose the limits that own pictures pass with this share.

    Of n own pictures at most n - ⌈(n + 1) accept⌉ are turned away, so that a new one passes with about this chance
    (split conformal prediction; Vovk, Gammerman & Shafer 2005). Fewer than 20 pictures turn none of them away at 0.95.

    Args:
        probability: of the best class, [n], n >= 1, of pictures that the model had not learnt from.
        distance: of the same pictures, [n]; None: the probability alone decides.
        accept: in (0, 1].
    """
    # A share such as 0.95 is a little more or less than it says; 1e-9 keeps ⌈20 x 0.95⌉ at 19.
    spare = max(0, len(probability) - math.ceil((len(probability) + 1) * accept - 1e-9))
    scores = [probability] if distance is None else [probability, -distance]
    ordered = [np.sort(score) for score in scores]
    ranks = np.min([np.searchsorted(o, s, side="right") for o, s in zip(ordered, scores, strict=True)], axis=0)
    turned_away = np.searchsorted(np.sort(ranks), np.arange(len(probability)), side="right")
    cut = int(np.flatnonzero(turned_away <= spare)[-1]) if (turned_away <= spare).any() else 0
    # Halfway between the last one turned away and the first one that passes: with two scores, each at its own limit,
    # the latter would turn away a third too many of 60 new pictures.
    bounds = [float(np.float64(o[cut]) + o[max(0, cut - 1)]) / 2 for o in ordered]
    return OodLimits(accept, bounds[0], None if distance is None else -bounds[1])


def neighbour_distances(
    bank: npt.NDArray[np.floating], queries: npt.NDArray[np.floating], neighbours: int = NEIGHBOURS
) -> Floats:
    """Cosine distance, float32 [queries] in [0, 2], of each query to its k-th nearest in the bank.

    Args:
        bank: features [n, dim], n >= 1; where n < neighbours the farthest counts.
        queries: features [m, dim].
        neighbours: k.
    """
    return _distances(nearest(unit(queries), unit(bank), neighbours)[1])


def own_distances(
    features: npt.NDArray[np.floating], groups: npt.NDArray[np.str_], neighbours: int = NEIGHBOURS
) -> Floats:
    """The same of each picture among the others, without those of its own group: float32 [n].

    It says how far a new own picture is, provided that the features were not learnt from these pictures.
    """
    vectors, numbers = unit(features), np.unique(groups, return_inverse=True)[1]
    return _distances(nearest(vectors, vectors, neighbours, (numbers, numbers))[1])


def _distances(cosines: Floats) -> Floats:
    """To the last of the nearest, whose cosines are [n, k]; one of the own group is as far as can be."""
    return np.clip(1 - cosines[:, -1], 0, 2)
