"""What cached features say of a training set: the numbers that the rules of training/fit/regime.py go through.

Measures that rank models, such as LogME and LEEP, are not used: they do not say how much of one model to train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from preprocessing.neighbours import nearest, unit
from training.fit.head import fit_head
from training.stats.fold_comparison import balanced_mean
from training.stats.folds import grouped_folds
from training.stats.scores import Floats, Groups, Labels

Values = npt.NDArray[np.float64]

PROBE_STRENGTH = 10.0
"""C of the probes times the dimension of their features: 0.008 for 1,280, about what cross-validation chooses there."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What cached features say of a training set.

    Attributes:
        smallest: pictures in the smallest class.
        per_class: pictures in the median class.
        probes: by stage, the last first: grouped 5-fold balanced accuracy of a linear probe on its pooled features,
            chance-corrected: 0 is guessing, 1 is perfect.
        probe_errors: their standard errors.
        neighbour: leave-one-group-out accuracy of the nearest neighbour by cosine, chance-corrected.
        source_head: balanced accuracy of ImageNet's own classes, one given to each of ours; None where unknown.
        doubling_gain: what the probe on the last stage gains when its training pictures double from half to all.
    """

    smallest: int
    per_class: int
    probes: Mapping[str, float]
    probe_errors: Mapping[str, float]
    neighbour: float
    source_head: float | None
    doubling_gain: float

    @property
    def last(self) -> float:
        """The probe on the last stage."""
        return next(iter(self.probes.values()))

    @property
    def before_last(self) -> str:
        """The name of the stage before the last; empty where the network is one piece."""
        return next(iter(list(self.probes)[1:]), "")

    @property
    def lead(self) -> float:
        """By how much the probe on the stage before the last is better than on the last; -1 where there is none."""
        return self.probes[self.before_last] - self.last if self.before_last else -1.0


def diagnose(
    pooled: Mapping[str, Floats], labels: Labels, groups: Groups, source_logits: Floats | None, seed: int
) -> Diagnosis | None:
    """Measure a training set on cached features.

    Args:
        pooled: by stage, the last first: float32 [n, dim of the stage].
        labels: int64 [n].
        groups: [n], what must not be torn apart.
        source_logits: what ImageNet's own last layer says, float32 [n, 1000], or None.
        seed: of the folds.

    Returns:
        None when a class has a single group, so that nothing can be held out.
    """
    fold = grouped_folds(labels, groups, seed)
    if fold is None:
        return None
    classes, counts = int(labels.max()) + 1, np.bincount(labels)
    probes, errors = {}, {}
    right = {stage: _probe(features, labels, fold, classes) for stage, features in pooled.items()}
    for stage, answers in right.items():
        accuracy, error = balanced_mean(answers, labels, groups)
        probes[stage], errors[stage] = _corrected(accuracy, classes), error / (1 - 1 / classes)
    name, last = next(iter(pooled.items()))
    doubled = right[name] - _probe_on_halves(last, labels, groups, fold, seed)
    return Diagnosis(
        smallest=int(counts.min()),
        per_class=int(np.median(counts)),
        probes=probes,
        probe_errors=errors,
        neighbour=_corrected(_nearest(last, labels, groups), classes),
        source_head=None if source_logits is None else _source_accuracy(source_logits, labels),
        doubling_gain=balanced_mean(doubled, labels, groups)[0],
    )


def _corrected(accuracy: float, classes: int) -> float:
    """So that guessing is 0 and no mistake is 1."""
    return (accuracy - 1 / classes) / (1 - 1 / classes)


def _fit(features: Floats, labels: Labels, classes: int) -> Callable[[Floats], Labels]:
    """A probe with a C that means the same whatever the dimension: standardised features have a norm of its root."""
    head = fit_head(features, labels, classes, PROBE_STRENGTH / features.shape[1], tolerance=1e-3)
    return lambda rows: head.logits(rows).argmax(1)


def _probe(features: Floats, labels: Labels, fold: Labels, classes: int) -> Values:
    """Which pictures a probe that did not see their fold answers right, [n] of 0 and 1."""
    right = np.zeros(len(labels))
    for number in range(int(fold.max()) + 1):
        held_out = fold == number
        answer = _fit(features[~held_out], labels[~held_out], classes)
        right[held_out] = answer(features[held_out]) == labels[held_out]
    return right


def _probe_on_halves(features: Floats, labels: Labels, groups: Groups, fold: Labels, seed: int) -> Values:
    """How often probes on either half of the other folds' pictures answer a picture right, [n] of 0, 1/2 and 1.

    Where the pictures of the other folds cannot be halved, a probe on all of them answers.
    """
    right, classes = np.zeros(len(labels)), int(labels.max()) + 1
    for number in range(int(fold.max()) + 1):
        held_out, learnt = fold == number, np.flatnonzero(fold != number)
        halves = grouped_folds(labels[learnt], groups[learnt], seed, most=2)
        parts = [learnt] if halves is None else [learnt[halves == part] for part in (0, 1)]
        for rows in parts:
            answer = _fit(features[rows], labels[rows], classes)
            right[held_out] += (answer(features[held_out]) == labels[held_out]) / len(parts)
    return right


def _nearest(features: Floats, labels: Labels, groups: Groups) -> float:
    """Balanced accuracy of the nearest picture of another group, by cosine."""
    vectors, numbers = unit(features), np.unique(groups, return_inverse=True)[1]
    indices, _ = nearest(vectors, vectors, 1, (numbers, numbers))
    return balanced_mean((labels[indices[:, 0]] == labels).astype(np.float64), labels, groups)[0]


def _source_accuracy(logits: Floats, labels: Labels) -> float:
    """Balanced accuracy when each of our classes gets that one of ImageNet's that serves it best, no class twice.

    A class for which none is left has no right answer.
    """
    table = np.zeros((int(labels.max()) + 1, logits.shape[1]))
    np.add.at(table, (labels, logits.argmax(1)), 1)
    shares = table / table.sum(1, keepdims=True)
    rows, columns = linear_sum_assignment(-shares)
    return float(shares[rows, columns].sum() / len(shares))
