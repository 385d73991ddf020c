"""The guard: the fine-tuned network ships only where it beats the linear head on the same held-out pictures."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.stats.scores import Floats, Labels

Groups = npt.NDArray[np.str_]

PEEK = 1 / 3
"""Share of the epochs after which the first fold is looked at."""


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
    right = [(logits.argmax(1) == labels).astype(np.float64) for logits in (head, finetuned)]
    difference, error = balanced_mean(right[1] - right[0], labels, groups)
    before, after = (balanced_mean(one, labels, groups)[0] for one in right)
    return Comparison(before, after, difference, error, len(labels))


def balanced_mean(values: npt.NDArray[np.float64], labels: Labels, groups: Groups) -> tuple[float, float]:
    """The mean over classes of each class's mean value [n], and its standard error with groups drawn at random."""
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = 1 / (len(counts) * counts[place])
    mean = float(weights @ values)
    _, place = np.unique(groups, return_inverse=True)
    count = int(place.max()) + 1
    if count < 2:
        return mean, float("inf")
    residuals = np.bincount(place, weights * values) - np.bincount(place, weights) * mean
    return mean, float(np.sqrt((residuals**2).sum() * count / (count - 1)))


def unpromising(done: Comparison, folds: int, of: int) -> bool:
    """Whether the folds so far speak so little for fine-tuning that the others need not be trained.

    They do where it would not pass though its lead stayed as it is: the error falls with the root of the pictures. The
    head then ships, as it does when nothing is known: a fold of fine-tuning costs more than all the rest of the
    training.
    """
    return not done.difference > done.standard_error * math.sqrt(folds / of)


def slow_start(epochs_done: int, epochs: int, accuracy: float, head_accuracy: float) -> bool:
    """Whether the first fold need not be trained to its end: a third of the way it is not ahead of the head.

    Held-out accuracy hardly moved after that, on any set that was tried (docs/decisions/0011).
    """
    return epochs_done == math.ceil(epochs * PEEK) and accuracy <= head_accuracy


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
