"""Comparison of two recipes on held-out images: the guard of fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.stats.scores import Floats, Groups, Labels, balanced_accuracy, log_losses
from workspace.text.counts import counted

Values = npt.NDArray[np.float64]

ERRORS = 2.0
"""Standard errors by which a recipe must be worse to be left out."""


@dataclass(frozen=True, slots=True)
class FoldComparison:
    """Two recipes on the same held-out images.

    `head` and `finetuned` are balanced accuracies in [0, 1], `difference` is the second minus the first and
    `loss_difference` the same of the log-losses in nats; the standard errors are those of the differences, paired by
    group; `n` images were answered by both.
    """

    head: float
    finetuned: float
    difference: float
    standard_error: float
    loss_difference: float
    loss_standard_error: float
    n: int

    @property
    def passes(self) -> bool:
        """Whether the second is not worse by more than two standard errors, in accuracy or in log-loss.

        Fine-tuning gains on most sets of photographs, so that it must be shown to harm, not to help: a hundred images
        are too few to show a gain of two points, and a single one of a rare class is more than one standard error.
        """
        return (
            self.difference >= -ERRORS * self.standard_error
            and self.loss_difference <= ERRORS * self.loss_standard_error
        )

    def __str__(self) -> str:
        return (
            f"balanced accuracy on {counted(self.n, 'held-out picture')} {self.finetuned:.3f} with the fine-tuned "
            f"copy, {self.head:.3f} by the linear head alone (difference {self.difference:+.3f}, standard error "
            f"{self.standard_error:.3f}; log-loss {self.loss_difference:+.3f}, {self.loss_standard_error:.3f})"
        )


def compare_folds(head: Floats, finetuned: Floats, labels: Labels, groups: Groups) -> FoldComparison:
    """Compare the answers of two recipes to the same held-out images.

    Args:
        head: logits [n, classes].
        finetuned: the same of the other.
        labels: int64 [n].
        groups: [n]; images of one group go together in the standard errors.
    """
    right = [(logits.argmax(1) == labels).astype(np.float64) for logits in (head, finetuned)]
    difference, error = balanced_mean(right[1] - right[0], labels, groups)
    before, after = (balanced_accuracy(logits, labels) for logits in (head, finetuned))
    losses = [log_losses(logits, labels) for logits in (head, finetuned)]
    loss_difference, loss_error = balanced_mean(losses[1] - losses[0], np.zeros_like(labels), groups)
    return FoldComparison(before, after, difference, error, loss_difference, loss_error, len(labels))


def balanced_mean(values: Values, labels: Labels, groups: Groups) -> tuple[float, float]:
    """Average values [n] per class, then over classes; return the mean and its standard error.

    The classes are given and the groups within them drawn at random, so that a value counts as error by its distance
    from the mean of its class (the linearised variance of a mean over strata with clusters: Lohr, Sampling: Design and
    Analysis, 2010, ch. 5). A class of a single group shows no spread of its own: its distance is from the whole mean.

    Args:
        values: float64 [n].
        labels: int64 [n]; all the same for a plain mean.
        groups: [n]; images of one group go together.

    Returns:
        The standard error of a single group is that of its images taken as independent, a lower bound: with an infinite
        one anything would pass for not worse. Of a single image it is infinite.
    """
    _, stratum, counts = np.unique(labels, return_inverse=True, return_counts=True)
    _, group = np.unique(groups, return_inverse=True)
    weights = 1 / (len(counts) * counts[stratum])
    mean = float(weights @ values)
    every = int(group.max()) + 1
    if every < 2:  # what they have in common cannot be told from what they differ in
        group, every = np.arange(len(values)), len(values)
    if every < 2:
        return mean, float("inf")
    within = np.bincount(np.unique(np.stack([stratum, group]), axis=1)[0])  # groups of each class
    centre = np.where(within > 1, np.bincount(stratum, values) / counts, mean)
    freedom = np.where(within > 1, within, every)
    scale = np.sqrt(freedom / (freedom - 1))
    residuals = np.bincount(group, weights * scale[stratum] * (values - centre[stratum]))
    return mean, float(np.sqrt((residuals**2).sum()))
