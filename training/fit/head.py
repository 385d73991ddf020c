"""The linear head: two logistic regressions on cached features, averaged and folded into one linear layer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import nn

from training.stats.scaling import Scaling
from training.stats.scores import Floats, Labels, bounded_log_losses, class_weights, softmax

STRENGTHS: tuple[float, ...] = (1e-2, 1e-1, 1.0)
"""The values of C, scikit-learn's inverse regularisation, that cross-validation chooses from."""

DEFAULT_STRENGTH = 0.1
"""C where nothing can be held out to choose it on."""

TOLERANCE = 1e-7
"""Of the solver's gradient; at scikit-learn's own 1e-4 probabilities still move in their third digit."""

SEARCH_TOLERANCE = 1e-4
"""While C is chosen; at 1e-3 a weakly held head was stopped so early that its log-loss was wrong by a fifth."""

_BLAS: dict[str, Any] = {"limits": 1, "user_api": "blas"}
"""One thread: in the solver's many small products OpenBLAS's threads wait for each other; two were 3 times slower."""

_RANK = 1e-12
"""Share of the largest eigenvalue below which one is 0 but for rounding."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """`logits = features @ weight.T + bias`: weight float32 [classes, dim], bias float32 [classes]."""

    weight: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """Features [n, dim] to logits [n, classes]."""
        return features @ self.weight.T + self.bias

    def probabilities(self, features: Floats) -> Floats:
        """Features [n, dim] to probabilities [n, classes]."""
        return softmax(self.logits(features))

    def layer(self) -> nn.Linear:
        """The same as a layer of the network."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))
        return layer


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidation:
    """Answers to every image by heads that never saw its fold.

    Attributes:
        logits: of the head, float32 [n, classes].
        last_stage: of its half that sees the last stage alone, the same shape.
        strength: the C that all folds together choose.
    """

    logits: Floats
    last_stage: Floats
    strength: float


def fit_head(
    features: Floats,
    labels: Labels,
    classes: int,
    strength: float = DEFAULT_STRENGTH,
    tolerance: float = TOLERANCE,
    blocks: Sequence[int] = (),
) -> LinearHead:
    """Fit two logistic regressions, on the last stage and on every stage, and average their logits.

    The one is never far behind where earlier stages only distract, the other is ahead where they tell more; no choice
    between them held on other sets of photographs as their average did (docs/decisions/0011).

    Args:
        features: float32 [n, dim].
        labels: int64 [n], every one of 0 … classes-1 present.
        classes: how many.
        strength: C.
        tolerance: of the solver's gradient.
        blocks: how many features, in order, come from the same stage, the last stage first; each stage weighs as much
            as the last, however few features it has. With one or none there is a single regression on all features.
    """
    with threadpool_limits(**_BLAS):
        return _average([span.fit(strength, tolerance) for span in _spans(features, labels, classes, blocks)])


def cross_validate(
    features: Floats, labels: Labels, fold: Labels, classes: int, blocks: Sequence[int] = ()
) -> CrossValidation:
    """Answer every image by a head that never saw its fold, and choose C.

    A fold's C is chosen by the other folds' log-loss: what is measured on a fold took no part in choosing.

    Args:
        features: float32 [n, dim].
        labels: int64 [n].
        fold: int64 [n], from 0.
        classes: how many.
        blocks: as in fit_head.
    """
    with threadpool_limits(**_BLAS):
        answers, last_stage = _search(features, labels, fold, classes, blocks)
    losses = np.array([bounded_log_losses(logits, labels) for logits in answers])
    found, last = np.zeros_like(answers[0]), np.zeros_like(answers[0])
    for number in range(int(fold.max()) + 1):
        held_out = fold == number
        best = int(losses[:, ~held_out].mean(1).argmin())
        found[held_out], last[held_out] = answers[best, held_out], last_stage[best, held_out]
    return CrossValidation(found, last, STRENGTHS[int(losses.mean(1).argmin())])


def _search(
    features: Floats, labels: Labels, fold: Labels, classes: int, blocks: Sequence[int]
) -> tuple[Floats, Floats]:
    """Held-out logits of the head and of its last-stage half by C: float32 [strengths, n, classes] each."""
    folds = [fold == number for number in range(int(fold.max()) + 1)]
    answers = np.zeros((2, len(STRENGTHS), len(labels), classes), np.float32)

    def answer(held_out: npt.NDArray[np.bool_]) -> None:
        spans = _spans(features[~held_out], labels[~held_out], classes, blocks)
        by_span = [[span.fit(strength, SEARCH_TOLERANCE) for strength in STRENGTHS] for span in spans]
        for place, heads in enumerate(zip(*by_span, strict=True)):
            answers[0, place, held_out] = _average(heads).logits(features[held_out])
            answers[1, place, held_out] = heads[0].logits(features[held_out])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(answer, folds))
    return answers[0], answers[1]


def _spans(features: Floats, labels: Labels, classes: int, blocks: Sequence[int]) -> Iterator[_Span]:
    """The last stage alone, then all stages where there are several; one at a time, for each is a large copy."""
    for count in (1, len(blocks)) if len(blocks) > 1 else (len(blocks),):
        yield _Span(features, labels, classes, blocks[:count])


def _average(heads: Sequence[LinearHead]) -> LinearHead:
    """The head whose logits are the mean of these heads'."""
    weight, bias = (np.mean([getattr(head, name) for head in heads], axis=0) for name in ("weight", "bias"))
    return LinearHead(weight.astype(np.float32), bias.astype(np.float32))


class _Span:
    """Scaled features of some blocks in the span of the images, with what does not depend on C done once.

    The ridge penalty does not see rotations, so the same solution is found in that span: exact, and several times
    faster where there are fewer images than features.
    """

    def __init__(self, features: Floats, labels: Labels, classes: int, blocks: Sequence[int]) -> None:
        self._unused = features.shape[1] - sum(blocks) if blocks else 0
        rows = features[:, : features.shape[1] - self._unused].astype(np.float64)
        self._scaling = Scaling.fit_in_place(rows, blocks)
        self._axes = _axes(rows)
        self._inputs = rows @ self._axes.T
        self._labels = labels
        self._class_weights = dict(enumerate(class_weights(labels, classes)))
        # Each C starts where the one before ended, which is near.
        self._model = LogisticRegression(class_weight=self._class_weights, max_iter=5000, warm_start=True)

    def fit(self, strength: float, tolerance: float) -> LinearHead:
        """The head of this C."""
        model = self._model.set_params(C=strength, tol=tolerance)
        model.fit(self._inputs, self._labels)
        coefficients, intercept = model.coef_ @ self._axes, model.intercept_
        if len(self._class_weights) == 2:  # scikit-learn keeps one row then: the logit of class 1 against class 0
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercept = np.concatenate([-intercept, intercept]) / 2
        weight, bias = self._scaling.folded(coefficients, intercept)
        return LinearHead(np.pad(weight, ((0, 0), (0, self._unused))), bias)


def _axes(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Orthonormal axes of the span of some rows [n, dim]: [rank, dim], from the smaller of the two Gram matrices."""
    short = rows if rows.shape[0] <= rows.shape[1] else rows.T
    values, vectors = np.linalg.eigh(short @ short.T)
    kept = values > values[-1] * _RANK
    if short is not rows:
        return np.asarray(vectors[:, kept].T)
    return np.asarray((vectors[:, kept] / np.sqrt(values[kept])).T @ rows)
