"""The numbers of an evaluation, from labels and probabilities alone; each agrees with scikit-learn's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.int64]

INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap: a 95 % interval (Efron and Tibshirani 1993, An Introduction to the Bootstrap, 13.3)."""

WILSON_Z = 1.959964
"""Normal quantile of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A value in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, object]:
        """As metrics.json holds it."""
        return {"value": self.value, "interval": [self.low, self.high]}


def confusion(labels: Labels, predicted: Labels, classes: int) -> Matrix:
    """Count pictures by (true, predicted): int64 [classes, classes]."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(matrix: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Share of pictures on the diagonal; matrices [..., classes, classes] to [...]."""
    diagonal = np.diagonal(matrix, axis1=-2, axis2=-1).sum(-1)
    return np.asarray(diagonal / np.maximum(matrix.sum((-2, -1)), 1), dtype=np.float64)


def balanced_accuracy(matrix: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Mean recall over the classes that are present; matrices [..., classes, classes] to [...]."""
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    support = matrix.sum(-1)
    recall = right / np.maximum(support, 1)
    return np.asarray(recall.sum(-1) / np.maximum((support > 0).sum(-1), 1), dtype=np.float64)


def macro_f1(matrix: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Mean F1 over the classes that are present or predicted; matrices [..., classes, classes] to [...]."""
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    total = matrix.sum(-1) + matrix.sum(-2)
    f1 = 2 * right / np.maximum(total, 1)
    return np.asarray(f1.sum(-1) / np.maximum((total > 0).sum(-1), 1), dtype=np.float64)


def per_class(matrix: Matrix) -> list[dict[str, float | int]]:
    """Precision, recall, F1 and support of each class; 0 where a class was never predicted or is absent."""
    right, support, predicted = np.diagonal(matrix), matrix.sum(1), matrix.sum(0)
    return [
        {
            "precision": float(right[k] / max(predicted[k], 1)),
            "recall": float(right[k] / max(support[k], 1)),
            "f1": float(2 * right[k] / max(support[k] + predicted[k], 1)),
            "support": int(support[k]),
        }
        for k in range(len(matrix))
    ]


def group_matrices(labels: Labels, predicted: Labels, groups: npt.NDArray[np.str_], classes: int) -> Matrix:
    """One confusion matrix per group, groups in order: int64 [groups, classes, classes]."""
    _, place = np.unique(groups, return_inverse=True)
    cells = (place * classes + labels) * classes + predicted
    count = int(place.max()) + 1
    return np.bincount(cells, minlength=count * classes * classes).reshape(count, classes, classes)


def bootstrap(matrices: Matrix, draws: int, seed: int) -> Matrix:
    """Confusion matrices of resampled test sets, drawn group by group, since copies and one creator's go together.

    Args:
        matrices: one per group, [groups, classes, classes].
        draws: how many.
        seed: of the draws.

    Returns:
        int64 [draws, classes, classes].
    """
    groups = len(matrices)
    counts = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return np.asarray(np.tensordot(counts, matrices, axes=1), dtype=np.int64)


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): of use at 0 and 1 too, where the bootstrap has no width."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, WILSON_Z**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = WILSON_Z / (1 + z2 / total) * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
