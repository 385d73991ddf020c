"""The guard: the fine-tuned network ships only where it beats the linear head on the same held-out pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.losses import Floats, Labels

Groups = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two recipes on the same held-out pictures.

    `head` and `finetuned` are balanced accuracies in [0, 1], `difference` is the second minus the first and
    `standard_error` that of the difference, paired by group; `n` pictures were answered by both.
    """

    head: float
    finetuned: float
    difference: float
    standard_error: float
    n: int

    @property
    def passes(self) -> bool:
        """Whether fine-tuning is better by more than one standard error."""
        return self.difference > self.standard_error

    def as_json(self) -> dict[str, Any]:
        """For history.json."""
        return {**asdict(self), "passes": self.passes}

    def __str__(self) -> str:
        return (
            f"balanced accuracy on {self.n} held-out pictures {self.finetuned:.3f} fine-tuned, {self.head:.3f} by the "
            f"linear head (difference {self.difference:+.3f}, standard error {self.standard_error:.3f})"
        )


def compare(head: Floats, finetuned: Floats, labels: Labels, groups: Groups) -> Comparison:
    """Compare the answers of two recipes to the same pictures.

    Args:
        head: logits [n, classes].
        finetuned: the same of the other.
        labels: int64 [n].
        groups: [n]; pictures of one group go together in the standard error.
    """
    weights = _weights(labels)
    right = [logits.argmax(1) == labels for logits in (head, finetuned)]
    gains = weights * (right[1].astype(float) - right[0])
    return Comparison(
        head=float(weights @ right[0]),
        finetuned=float(weights @ right[1]),
        difference=float(gains.sum()),
        standard_error=_standard_error(gains, weights, groups),
        n=len(labels),
    )


def hopeless(head: Floats, labels: Labels, groups: Groups, finetuned: Floats, known: npt.NDArray[np.bool_]) -> bool:
    """Whether no answers to the pictures that are not `known` yet could let fine-tuning pass.

    It is so, and the rest need not be trained, when it would fail even if it were right wherever the head is wrong.

    Args:
        head: logits [n, classes].
        labels: int64 [n].
        groups: [n].
        finetuned: logits [n, classes], those not known of no meaning.
        known: [n], which pictures both have answered.
    """
    best = finetuned.copy()
    best[~known] = head[~known]
    wrong = ~known & (head.argmax(1) != labels)
    best[wrong, labels[wrong]] = head[wrong].max(1) + 1
    return not compare(head, best, labels, groups).passes


def _weights(labels: Labels) -> npt.NDArray[np.float64]:
    """What a picture counts in the balanced accuracy: every class counts the same."""
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(counts) * counts[place]), dtype=np.float64)


def _standard_error(gains: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], groups: Groups) -> float:
    """Of the weighted mean gain, over groups drawn at random."""
    _, place = np.unique(groups, return_inverse=True)
    count = int(place.max()) + 1
    if count < 2:
        return float("inf")
    residuals = np.bincount(place, gains) - np.bincount(place, weights) * gains.sum()
    return float(np.sqrt((residuals**2).sum() * count / (count - 1)))
