"""Standardise features before a linear fit, with a floor under their deviations, and fold that into what was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.stats.scores import Floats

Values = npt.NDArray[np.float64]

FLOOR = 0.5
"""Share of the mean deviation of a stage's features that is added, in squares, to the deviation of each.

Many channels of a last stage hardly vary on the images of one set. Divided by its own deviation alone, such a channel
can be hundreds of deviations from its mean in a new image; it then outweighs all others, and the answer is wrong and
certain (docs/decisions/0011)."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """What features are centred by and multiplied with: `mean` and `factor`, float64 [dim]."""

    mean: Values
    factor: Values

    @classmethod
    def fit_in_place(cls, rows: Values, blocks: Sequence[int] = ()) -> Scaling:
        """Find the scaling of some rows and scale them, in place: they may be the largest thing in memory.

        Args:
            rows: float64 [n, dim].
            blocks: how many features, in order, come from the same stage; each stage is made to weigh as much as the
                first, however few features it has. Empty: all come from one.
        """
        mean = rows.mean(axis=0)
        rows -= mean
        deviations = np.sqrt(np.einsum("ij,ij->j", rows, rows) / len(rows))
        sizes, factors = blocks or rows.shape[1:], []
        for part in np.split(deviations, np.cumsum(sizes)[:-1]):
            spread = np.hypot(part, FLOOR * part.mean())
            factors.append(np.sqrt(sizes[0] / len(part)) / np.where(spread > 0, spread, 1))
        scaling = cls(mean, np.concatenate(factors))
        rows *= scaling.factor
        return scaling

    def folded(self, weight: Values, bias: Values) -> tuple[Floats, Floats]:
        """Turn a linear layer on scaled features into one on features as they are.

        Args:
            weight: [outputs, dim].
            bias: [outputs].

        Returns:
            float32 of the same shapes.
        """
        own = weight * self.factor
        return own.astype(np.float32), (bias - own @ self.mean).astype(np.float32)
