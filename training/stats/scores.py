"""Scores of logits and probabilities: softmax, log-loss, balanced accuracy; and the weights of classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special
from sklearn import metrics

from training.stats.metrics import Tally

DOUBT = 0.003
"""Chance that a label is wrong, in the losses that choose the temperature and the head's C: one answered surely
would cost as much as a hundred images, and choose them by itself (docs/decisions/0011)."""

UNBALANCED = 1.5
"""Largest class over smallest class above which classes are weighted."""

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Groups = npt.NDArray[np.str_]
"""Names of groups; images of one group, such as copies, are not independent."""


def class_weights(labels: Labels, classes: int) -> npt.NDArray[np.float64]:
    """Weigh the images of each class, [classes]: 1 when nearly balanced, else so that all classes count the same."""
    counts = np.bincount(labels, minlength=classes)
    if counts.max() <= UNBALANCED * counts.min():
        return np.ones(classes)
    return np.asarray(len(labels) / (classes * counts), dtype=np.float64)


def softmax(logits: npt.NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Convert logits [n, classes], divided by a temperature, to probabilities, float32 [n, classes]."""
    return np.asarray(special.softmax(logits.astype(np.float64) / temperature, axis=1), dtype=np.float32)


def log_losses(logits: npt.NDArray[np.floating], labels: Labels) -> npt.NDArray[np.float64]:
    """Compute each image's negative log-likelihood in nats, [n], from logits [n, classes]."""
    log_probabilities = special.log_softmax(logits.astype(np.float64), axis=1)
    return np.asarray(-log_probabilities[np.arange(len(labels)), labels], dtype=np.float64)


def bounded_log_losses(logits: npt.NDArray[np.floating], labels: Labels) -> npt.NDArray[np.float64]:
    """Compute the same where a label is wrong with the chance DOUBT, and then any other: some 8 nats at most."""
    given = np.exp(-log_losses(logits, labels))
    return np.asarray(-np.log((1 - DOUBT) * given + DOUBT / logits.shape[1]), dtype=np.float64)


def log_loss(probabilities: Floats, labels: Labels) -> float:
    """Compute the mean negative log-likelihood in nats of probabilities, float32 [n, classes].

    scikit-learn clips them at the spacing of float32, 1.2e-7: a certainty that is wrong costs 15.9 nats.
    """
    return float(metrics.log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])))


def balanced_accuracy(answers: Floats, labels: Labels) -> float:
    """Compute the mean recall of the classes present, in [0, 1], from logits or probabilities [n, classes]."""
    return float(Tally.of(labels, answers.argmax(1), answers.shape[1]).balanced_accuracy())
