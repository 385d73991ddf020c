"""The linear head: multinomial logistic regression on cached features, folded into one linear layer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import nn

from training.stats.scores import Floats, Labels, class_weights, softmax

STRENGTHS: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
"""The values of C, scikit-learn's inverse regularisation, that cross-validation chooses from."""

LEAD = 2.0
"""Standard errors by which fewer stages or views must lead all of them, in log-loss, to be learnt from instead: with
less, the choice flipped with noise on photographs (docs/decisions/0011)."""

TOLERANCE = 1e-7
"""Of the solver's gradient; at scikit-learn's own 1e-4 probabilities still move in their third digit."""

SEARCH_TOLERANCE = 1e-4
"""While settings are chosen; at 1e-3 a weakly held head was stopped so early that its log-loss was wrong by a fifth."""

_BLAS: dict[str, Any] = {"limits": 1, "user_api": "blas"}
"""One thread: in the solver's many small products OpenBLAS's threads wait for each other; two were 3 times slower."""

_TINY = 1e-12  # so that a logarithm is finite

_RANK = 1e-12
"""Share of the largest eigenvalue below which one is 0 but for rounding."""


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """What cross-validation chooses; these values where there are too few groups for it.

    `strength` is C, of the sum over pictures. `stages` says how many blocks of the features are learnt from, the first
    ones, and `views` how many views of each picture, the clean one first; None: all. Photographs are told apart better
    with all of both, cut-out objects by the last stage alone, drawings that always lie alike by the clean view alone.
    """

    strength: float = 1e-2
    stages: int | None = None
    views: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For history.json."""
        return {"C": self.strength, "stages": self.stages, "views": self.views}


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


def fit_head(
    features: Floats,
    labels: Labels,
    classes: int,
    settings: HeadSettings | None = None,
    tolerance: float = TOLERANCE,
    blocks: Sequence[int] = (),
) -> LinearHead:
    """Fit on standardised features.

    Args:
        features: float32 [n, dim], or [n, views, dim]: several views of each picture, which share its weight.
        labels: int64 [n], every one of 0 … classes-1 present.
        classes: how many.
        settings: what is learnt from, and how strongly; None: the defaults.
        tolerance: of the solver's gradient.
        blocks: how many features, in order, come from the same stage; each stage then weighs as much as the first,
            however few features it has. None: all alike.
    """
    settings = settings or HeadSettings()
    with threadpool_limits(**_BLAS):
        return _Span(features, labels, classes, blocks, settings).fit(settings.strength, tolerance)


def cross_validate(
    features: Floats, labels: Labels, fold: Labels, classes: int, blocks: Sequence[int] = ()
) -> tuple[Floats, HeadSettings]:
    """Answer every picture by a head that never saw its fold, and choose the settings.

    A fold's settings are chosen by the other folds' log-loss: what is measured on a fold took no part in choosing.

    Args:
        features: float32 [n, dim], or [n, views, dim], of which view 0 is answered.
        labels: int64 [n].
        fold: int64 [n], from 0.
        classes: how many.
        blocks: as in fit_head.

    Returns:
        Logits float32 [n, classes], and the settings that all folds together choose.
    """
    with threadpool_limits(**_BLAS):
        settings, logits = zip(*_search(features, labels, fold, classes, blocks), strict=True)
    losses = np.array([-np.log(softmax(one)[np.arange(len(labels)), labels] + _TINY) for one in logits])
    found = np.zeros_like(logits[0])
    for number in range(int(fold.max()) + 1):
        held_out = fold == number
        found[held_out] = logits[_choose(settings, losses[:, ~held_out])][held_out]
    return found, settings[_choose(settings, losses)]


def _search(
    features: Floats, labels: Labels, fold: Labels, classes: int, blocks: Sequence[int]
) -> Iterator[tuple[HeadSettings, Floats]]:
    """Settings and their held-out logits [n, classes]; those that learn from all stages and views come first."""
    clean = features if features.ndim == 2 else features[:, 0]
    several = features.ndim == 3 and features.shape[1] > 1
    folds = [fold == number for number in range(int(fold.max()) + 1)]

    def answer(here: npt.NDArray[np.bool_], seen: HeadSettings) -> list[Floats]:
        span = _Span(features[~here], labels[~here], classes, blocks, seen)
        return [span.fit(strength, SEARCH_TOLERANCE).logits(clean[here]) for strength in STRENGTHS]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for stages, views in product((None, 1) if len(blocks) > 1 else (None,), (None, 1) if several else (None,)):
            seen = HeadSettings(stages=stages, views=views)
            answers = np.zeros((len(STRENGTHS), len(labels), classes), np.float32)
            for here, logits in zip(folds, pool.map(answer, folds, repeat(seen)), strict=True):
                answers[:, here] = logits
            yield from zip((replace(seen, strength=strength) for strength in STRENGTHS), answers, strict=True)


def _choose(settings: Sequence[HeadSettings], losses: npt.NDArray[np.float64]) -> int:
    """The place of the settings to take, by their loss of every picture [settings, n]: paired, and with LEAD."""
    means = losses.mean(1)
    best: dict[tuple[int | None, int | None], int] = {}  # of each choice of stages and views
    for place in np.argsort(means, kind="stable").tolist():
        best.setdefault((settings[place].stages, settings[place].views), place)
    everything = best.pop((None, None))
    gains = {place: losses[everything] - losses[place] for place in best.values()}
    leading = [
        place for place, gain in gains.items() if gain.mean() > LEAD * gain.std(ddof=1) / np.sqrt(losses.shape[1])
    ]
    return min(leading, key=lambda place: float(means[place]), default=everything)


class _Span:
    """Standardised features in the span of the pictures, with what does not depend on C done once.

    The ridge penalty does not see rotations, so the same solution is found in that span: exact, and several times
    faster where there are fewer pictures than features.
    """

    def __init__(
        self,
        features: Floats,
        labels: Labels,
        classes: int,
        blocks: Sequence[int],
        seen: HeadSettings,
    ) -> None:
        blocks = blocks[: seen.stages]
        self._unused = features.shape[-1] - sum(blocks) if blocks else 0
        views = features if features.ndim == 3 else features[:, None]
        views = views[:, : seen.views, : features.shape[-1] - self._unused]
        rows, count = views.reshape(-1, views.shape[-1]).astype(np.float64), views.shape[1]
        self._scaler = StandardScaler(copy=False)  # the rows are a copy already, and the largest thing here
        sizes = np.array(blocks or rows.shape[1:])
        self._block_weight = np.repeat(np.sqrt(sizes[0] / sizes), sizes)
        standard = self._scaler.fit_transform(rows)
        standard *= self._block_weight
        self._axes = _axes(standard)
        self._inputs = standard @ self._axes.T
        self._labels = np.repeat(labels, count)
        self._class_weights = dict(enumerate(class_weights(labels, classes) / count))
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
        weight = np.pad(weight, ((0, 0), (0, self._unused)))
        return LinearHead(weight.astype(np.float32), bias.astype(np.float32))


def _axes(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Orthonormal axes of the span of some rows [n, dim]: [rank, dim], from the smaller of the two Gram matrices."""
    short = rows if rows.shape[0] <= rows.shape[1] else rows.T
    values, vectors = np.linalg.eigh(short @ short.T)
    kept = values > values[-1] * _RANK
    if short is not rows:
        return np.asarray(vectors[:, kept].T)
    return np.asarray((vectors[:, kept] / np.sqrt(values[kept])).T @ rows)
