"""The linear head: multinomial logistic regression on cached features, folded into one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from training.losses import Floats, Labels, class_weights, log_loss, softmax

STRENGTHS: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""The values of C, scikit-learn's inverse regularisation, that cross-validation chooses from."""

DEFAULT_STRENGTH = 1e-2
"""C where there are too few groups to cross-validate."""

TOLERANCE = 1e-7
"""Of the solver's gradient; at scikit-learn's own 1e-4 probabilities still move in their third digit."""

SEARCH_TOLERANCE = 1e-3
"""While C is chosen, where the third digit of a log-loss does not matter."""

_RANK = 1e-12
"""Share of the largest eigenvalue below which one is 0 but for rounding."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """`logits = features @ weight.T + bias`: weight float32 [classes, dim], bias float32 [classes]; C was chosen."""

    weight: Floats
    bias: Floats
    strength: float

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


def fit_head(
    features: Floats,
    labels: Labels,
    classes: int,
    strength: float = DEFAULT_STRENGTH,
    tolerance: float = TOLERANCE,
    blocks: Sequence[int] = (),
) -> LinearHead:
    """Fit on standardised features.

    Args:
        features: float32 [n, dim], or [n, views, dim]: several views of each picture, which all count.
        labels: int64 [n], every one of 0 … classes-1 present.
        classes: how many.
        strength: C, of the sum over pictures (views of one picture share its weight).
        tolerance: of the solver's gradient.
        blocks: how many features, in order, come from the same stage; each stage then weighs as much as the first,
            however few features it has. None: all alike.
    """
    return _Span(features, labels, classes, blocks).fit(strength, tolerance)


def cross_validate(
    features: Floats, labels: Labels, fold: Labels, classes: int, blocks: Sequence[int] = ()
) -> tuple[Floats, float]:
    """Answer every picture by a head that never saw its fold, and choose C.

    A fold's C is chosen by the other folds' log-loss: what is measured on a fold took no part in choosing.

    Args:
        features: float32 [n, dim], or [n, views, dim], of which view 0 is answered and all are learnt from.
        labels: int64 [n].
        fold: int64 [n], from 0.
        classes: how many.
        blocks: as in fit_head.

    Returns:
        Logits float32 [n, classes], and the C of the smallest log-loss over all folds.
    """
    count = int(fold.max()) + 1
    clean = features if features.ndim == 2 else features[:, 0]
    spans = [_Span(features[fold != number], labels[fold != number], classes, blocks) for number in range(count)]
    logits, losses = [], []
    for strength in STRENGTHS:
        answers, loss = np.zeros((len(labels), classes), np.float32), np.zeros(count)
        for number, span in enumerate(spans):
            held_out = fold == number
            answers[held_out] = span.fit(strength, SEARCH_TOLERANCE).logits(clean[held_out])
            loss[number] = log_loss(softmax(answers[held_out]), labels[held_out]) * held_out.sum()
        logits.append(answers)
        losses.append(loss)
        if len(losses) > 2 and losses[-3].sum() < losses[-2].sum() < losses[-1].sum():
            break  # the weaker it is held, the worse it gets, and the longer the fit takes
    total = np.sum(losses, axis=1)
    chosen = [int((total - np.array(losses)[:, number]).argmin()) for number in range(count)]
    return np.array(logits)[np.array(chosen)[fold], np.arange(len(labels))], STRENGTHS[int(total.argmin())]


class _Span:
    """Standardised features in the span of the pictures, with what does not depend on C done once.

    The ridge penalty does not see rotations, so the same solution is found in that span: exact, and several times
    faster where there are fewer pictures than features.
    """

    def __init__(self, features: Floats, labels: Labels, classes: int, blocks: Sequence[int] = ()) -> None:
        views = 1 if features.ndim == 2 else features.shape[1]
        rows = features.reshape(-1, features.shape[-1]).astype(np.float64)
        self._scaler = StandardScaler()
        sizes = np.array(blocks or rows.shape[1:])
        self._block_weight = np.repeat(np.sqrt(sizes[0] / sizes), sizes)
        standard = self._scaler.fit_transform(rows) * self._block_weight
        self._axes = _axes(standard)
        self._inputs = standard @ self._axes.T
        self._labels = np.repeat(labels, views)
        self._class_weights = dict(enumerate(class_weights(labels, classes) / views))
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
        weight = coefficients * self._block_weight / self._scaler.scale_
        bias = intercept - weight @ self._scaler.mean_
        return LinearHead(weight.astype(np.float32), bias.astype(np.float32), strength)


def _axes(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Orthonormal axes of the span of some rows [n, dim]: [rank, dim], from the smaller of the two Gram matrices."""
    short = rows if rows.shape[0] <= rows.shape[1] else rows.T
    values, vectors = np.linalg.eigh(short @ short.T)
    kept = values > values[-1] * _RANK
    if short is not rows:
        return np.asarray(vectors[:, kept].T)
    return np.asarray((vectors[:, kept] / np.sqrt(values[kept])).T @ rows)
