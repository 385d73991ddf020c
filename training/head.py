"""The linear head: multinomial logistic regression on cached features, folded into one linear layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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

SEARCH_TOLERANCE = 1e-4
"""While C is chosen, where the third digit does not matter."""


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
    features: Floats, labels: Labels, classes: int, strength: float = DEFAULT_STRENGTH, tolerance: float = TOLERANCE
) -> LinearHead:
    """Fit on standardised features.

    Args:
        features: float32 [n, dim], or [n, views, dim]: several views of each picture, which all count.
        labels: int64 [n], every one of 0 … classes-1 present.
        classes: how many.
        strength: C, of the sum over pictures (views of one picture share its weight).
        tolerance: of the solver's gradient.
    """
    return _Span(features, labels, classes).fit(strength, tolerance)


def cross_validate(features: Floats, labels: Labels, fold: Labels, classes: int) -> tuple[Floats, float]:
    """Answer every picture by a head that never saw its fold, and choose C.

    A fold's C is chosen by the other folds' log-loss: what is measured on a fold took no part in choosing.

    Args:
        features: float32 [n, dim], or [n, views, dim], of which view 0 is answered and all are learnt from.
        labels: int64 [n].
        fold: int64 [n], from 0.
        classes: how many.

    Returns:
        Logits float32 [n, classes], and the C of the smallest log-loss over all folds.
    """
    count = int(fold.max()) + 1
    logits = np.zeros((len(STRENGTHS), len(labels), classes), np.float32)
    losses = np.zeros((len(STRENGTHS), count))
    clean = features if features.ndim == 2 else features[:, 0]
    for number in range(count):
        learnt, held_out = fold != number, fold == number
        span = _Span(features[learnt], labels[learnt], classes)
        for place, strength in enumerate(STRENGTHS):
            answers = span.fit(strength, SEARCH_TOLERANCE).logits(clean[held_out])
            logits[place, held_out] = answers
            losses[place, number] = log_loss(softmax(answers), labels[held_out]) * held_out.sum()
    total = losses.sum(1)
    chosen = [int((total - losses[:, number]).argmin()) for number in range(count)]
    return logits[np.array(chosen)[fold], np.arange(len(labels))], STRENGTHS[int(total.argmin())]


class _Span:
    """Standardised features in the span of the pictures, with what does not depend on C done once.

    The ridge penalty does not see rotations, so the same solution is found in that span: exact, and several times
    faster where there are fewer pictures than features.
    """

    def __init__(self, features: Floats, labels: Labels, classes: int) -> None:
        views = 1 if features.ndim == 2 else features.shape[1]
        rows = features.reshape(-1, features.shape[-1]).astype(np.float64)
        self._scaler = StandardScaler()
        standard = self._scaler.fit_transform(rows)
        self._axes = np.linalg.svd(standard, full_matrices=False)[2]
        self._inputs = standard @ self._axes.T
        self._labels = np.repeat(labels, views)
        self._weights = dict(enumerate(class_weights(labels, classes) / views))

    def fit(self, strength: float, tolerance: float) -> LinearHead:
        """The head of this C."""
        model = LogisticRegression(C=strength, class_weight=self._weights, max_iter=5000, tol=tolerance)
        model.fit(self._inputs, self._labels)
        coefficients, intercept = model.coef_ @ self._axes, model.intercept_
        if len(self._weights) == 2:  # scikit-learn keeps one row then: the logit of class 1 against class 0
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercept = np.concatenate([-intercept, intercept]) / 2
        weight = coefficients / self._scaler.scale_
        bias = intercept - weight @ self._scaler.mean_
        return LinearHead(weight.astype(np.float32), bias.astype(np.float32), strength)
