"""The linear head: multinomial logistic regression on cached features, folded into one linear layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from torch import nn

STRENGTHS: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""The values of C, scikit-learn's inverse regularisation, that cross-validation chooses from."""

DEFAULT_STRENGTH = 1e-2
"""C where there are too few groups to cross-validate."""

FOLDS = 5

TOLERANCE = 1e-7
"""Of the solver's gradient; at scikit-learn's own 1e-4 probabilities still move in their third digit."""

UNBALANCED = 1.5
"""Largest class over smallest class above which classes are weighted."""

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LinearHead:
    """`logits = features @ weight.T + bias`: weight float32 [classes, dim], bias float32 [classes]; C was chosen."""

    weight: Floats
    bias: Floats
    strength: float

    def probabilities(self, features: Floats) -> Floats:
        """Features [n, dim] to probabilities [n, classes]."""
        return softmax(features @ self.weight.T + self.bias)

    def layer(self) -> nn.Linear:
        """The same as a layer of the network."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            layer.bias.copy_(torch.from_numpy(self.bias))
        return layer


def fit_head(features: Floats, labels: Labels, groups: npt.NDArray[np.str_], classes: int, seed: int) -> LinearHead:
    """Fit on standardised features, with C chosen by cross-validated log-loss that keeps groups whole.

    Args:
        features: float32 [n, dim].
        labels: int64 [n], every one of 0 … classes-1 present.
        groups: [n], what must not be torn apart.
        classes: how many.
        seed: of the folds.
    """
    scaler = StandardScaler()
    standard = scaler.fit_transform(features.astype(np.float64))
    # The ridge penalty does not see rotations, so the same solution is found in the span of the n pictures: exact,
    # and several times faster where there are fewer pictures than features.
    axes = np.linalg.svd(standard, full_matrices=False)[2]
    inputs = standard @ axes.T
    weights = class_weights(labels, classes)
    strength = _choose_strength(inputs, labels, groups, weights, seed)
    model = _model(strength, weights).fit(inputs, labels)
    coefficients, intercept = model.coef_ @ axes, model.intercept_
    if classes == 2:  # scikit-learn keeps one row then: the logit of class 1 against class 0
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weight = coefficients / scaler.scale_
    bias = intercept - weight @ scaler.mean_
    return LinearHead(weight.astype(np.float32), bias.astype(np.float32), strength)


def class_weights(labels: Labels, classes: int) -> npt.NDArray[np.float64]:
    """What a picture of each class counts, [classes]: 1 when nearly balanced, else so that classes count the same."""
    counts = np.bincount(labels, minlength=classes)
    if counts.max() <= UNBALANCED * counts.min():
        return np.ones(classes)
    return np.asarray(len(labels) / (classes * counts), dtype=np.float64)


def softmax(logits: npt.NDArray[np.floating]) -> Floats:
    """Logits [n, classes] to probabilities, float32 [n, classes]."""
    powers = np.exp((logits - logits.max(1, keepdims=True)).astype(np.float64))
    return np.asarray(powers / powers.sum(1, keepdims=True), dtype=np.float32)


def log_loss(probabilities: Floats, labels: Labels) -> float:
    """Mean negative log-likelihood in nats; probabilities float32 [n, classes], clipped at 1e-7."""
    picked = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(picked, 1e-7, 1)).mean())


def balanced_accuracy(probabilities: Floats, labels: Labels) -> float:
    """Mean over the classes present of the share that is answered right; in [0, 1]."""
    right = probabilities.argmax(1) == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def _model(strength: float, weights: npt.NDArray[np.float64]) -> LogisticRegression:
    return LogisticRegression(C=strength, class_weight=dict(enumerate(weights)), max_iter=5000, tol=TOLERANCE)


def _choose_strength(
    inputs: npt.NDArray[np.float64],
    labels: Labels,
    groups: npt.NDArray[np.str_],
    weights: npt.NDArray[np.float64],
    seed: int,
) -> float:
    groups_per_class = [len(set(groups[labels == label])) for label in range(len(weights))]
    folds = min(FOLDS, *groups_per_class)
    if folds < 2:
        return DEFAULT_STRENGTH
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    losses = np.zeros(len(STRENGTHS))
    for fit, check in splitter.split(inputs, labels, groups):
        if len(set(labels[fit])) < len(weights) or not len(check):
            continue  # a group so large that a class is wholly in it
        for place, strength in enumerate(STRENGTHS):
            answers = _model(strength, weights).fit(inputs[fit], labels[fit]).predict_proba(inputs[check])
            losses[place] += log_loss(answers.astype(np.float32), labels[check]) * len(check)
    return STRENGTHS[int(losses.argmin())] if losses.any() else DEFAULT_STRENGTH
