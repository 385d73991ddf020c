"""Drift: do the answers of a service still look like those to the test images? Exact tests on counts.

If they did, every way of dividing the pooled answers between the two would be as likely as the one seen (a permutation
test; Good 2005). On counts such a division is a draw from the multivariate hypergeometric distribution, so neither a
distribution nor a large sample is assumed, and the test images' own sampling noise is part of the band.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
Statistic = Callable[[Shares, Shares], Shares]

DRAWS = 2000
"""Random divisions of the pooled answers."""


@dataclass(frozen=True, slots=True)
class DriftTest:
    """One measure of the service's answers against those to the test images.

    Attributes:
        statistic: how far the two are apart.
        limit: the band: a larger statistic is drift.
        p: the share of random divisions that are as far apart.
        drifted: whether the statistic is out of its band.
        bands: of the service's share in each category, the lowest and highest that chance explains, [categories, 2].
    """

    statistic: float
    limit: float
    p: float
    drifted: bool
    bands: Shares


def largest_gap(served: Shares, test: Shares) -> Shares:
    """Return the largest difference of two cumulative distributions (Kolmogorov-Smirnov): [..., bins] to [...]."""
    return np.asarray(np.abs(np.cumsum(served - test, axis=-1)).max(-1))


def total_variation(served: Shares, test: Shares) -> Shares:
    """Return half the sum of the differences of shares: [..., categories] to [...]."""
    return np.asarray(np.abs(served - test).sum(-1) / 2)


def compare(test: Counts, served: Counts, statistic: Statistic, level: float, draws: int = DRAWS) -> DriftTest:
    """Test whether two sets of counts, each [categories] with a sum of at least 1, come from one distribution.

    Args:
        test: of the answers to the test images.
        served: of the service's answers.
        statistic: of the shares, the service's first.
        level: the largest chance of finding drift where there is none; at least 1 / draws.
        draws: random divisions.
    """
    pooled, n = test + served, int(served.sum())
    rest = int(test.sum())
    drawn = np.random.default_rng(0).multivariate_hypergeometric(pooled, n, size=draws)
    shares = drawn / n
    by_chance = np.sort(statistic(shares, (pooled - drawn) / rest))
    found = float(statistic(served / n, test / rest))
    # The division that was seen counts as one more draw, so that the chance of a false alarm is at most the level.
    p = (1 + int((by_chance >= found - 1e-12).sum())) / (draws + 1)
    limit = float(by_chance[draws - max(1, int(level * (draws + 1)))])
    tails = np.quantile(shares, [level / 2, 1 - level / 2], axis=0, method="inverted_cdf")
    return DriftTest(found, limit, p, p <= level, tails.T)


def compare_all(
    measures: Mapping[str, tuple[Counts, Counts, Statistic]], level: float, draws: int = DRAWS
) -> dict[str, DriftTest]:
    """Test several measures so that the chance of any false alarm is at most the level (Bonferroni).

    Args:
        measures: by name the test images' counts, the service's, and the statistic.
        level: of all of them together.
        draws: random divisions of each, at least; as many as it takes for the smallest chance to lie below the level.
    """
    draws = max(draws, math.ceil(2 * len(measures) / level))
    return {name: compare(*measure, level / len(measures), draws) for name, measure in measures.items()}
