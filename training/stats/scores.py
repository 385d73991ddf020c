"""The few measures that training itself needs, on arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

UNBALANCED = 1.5
"""Largest class over smallest class above which classes are weighted."""

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


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


def log_losses(logits: npt.NDArray[np.floating], labels: Labels) -> npt.NDArray[np.float64]:
    """Negative log-likelihood of every image in nats, [n], from logits [n, classes]."""
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    return np.asarray(-log_probabilities[np.arange(len(labels)), labels], dtype=np.float64)


def log_loss(probabilities: Floats, labels: Labels) -> float:
    """Mean negative log-likelihood in nats; probabilities float32 [n, classes], clipped at 1e-7."""
    picked = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(picked, 1e-7, 1)).mean())


def balanced_accuracy(answers: Floats, labels: Labels) -> float:
    """Mean over the classes present of the share that is answered right, in [0, 1]; logits or probabilities."""
    right = answers.argmax(1) == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))
