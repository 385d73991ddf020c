"""Which way of training fits a training set: diagnostics from cached features, and the table of rules they go through.

Measures that rank models, such as LogME and LEEP, are not used: they do not say how much of one model to train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from training.folds import grouped_folds
from training.guard import Groups, balanced_mean
from training.head import HeadSettings, fit_head
from training.losses import Floats, Labels

Values = npt.NDArray[np.float64]


class Regime(StrEnum):
    """The four ways of training, by the size of the training set and by how ImageNet-like its pictures are."""

    ALL_LAYERS = "all-layers"
    LATE_STAGES = "late-stages"
    HEAD_FIRST = "head-first"
    FROZEN = "frozen"


NUMBERS: Mapping[Regime, int] = {
    Regime.ALL_LAYERS: 1,
    Regime.LATE_STAGES: 2,
    Regime.HEAD_FIRST: 3,
    Regime.FROZEN: 4,
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the rules draw their lines; `python -m benchmarks.regime` shows the photo sets on which they rest.

    `large_per_class`: pictures in the median class from which a set counts as large, unless `doubling_gain` says that
    more pictures would still help a linear probe by more than this. `similar_probe`: chance-corrected accuracy of the
    probe on the last stage from which pictures count as similar to ImageNet's, provided that the stage before is not
    better by more than `stage_lead`.
    """

    large_per_class: int = 200
    doubling_gain: float = 0.03
    similar_probe: float = 0.90
    stage_lead: float = 0.0


THRESHOLDS = Thresholds()

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
        source_head: balanced accuracy of ImageNet's own classes, each given to one of ours; None where unknown.
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


@dataclass(frozen=True, slots=True)
class Decision:
    """The regime, why, and what would have changed it.

    `open_before_last` says that the stage before the last is trained too, in head-first.
    """

    regime: Regime
    why: str
    otherwise: tuple[str, ...]
    open_before_last: bool
    by_setting: bool = False


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
    for stage, features in pooled.items():
        accuracy, error = balanced_mean(_probe(features, labels, fold, classes), labels, groups)
        probes[stage], errors[stage] = _corrected(accuracy, classes), error / (1 - 1 / classes)
    last = next(iter(pooled.values()))
    return Diagnosis(
        smallest=int(counts.min()),
        per_class=int(np.median(counts)),
        probes=probes,
        probe_errors=errors,
        neighbour=_corrected(_nearest(last, labels, groups), classes),
        source_head=None if source_logits is None else _source_accuracy(source_logits, labels),
        doubling_gain=_doubling_gain(last, labels, groups, fold, classes, seed),
    )


def decide(found: Diagnosis, thresholds: Thresholds = THRESHOLDS, setting: str = "auto") -> Decision:
    """Go through the rules, or take the setting: `auto`, a regime's name or its number."""
    large, similar = _is_large(found, thresholds), _is_similar(found, thresholds)
    regime = _TABLE[large, similar]
    words = f"{_size_words(found, thresholds, large)}; {_similarity_words(found, thresholds, similar)}"
    open_more = bool(found.before_last) and found.lead >= -found.probe_errors[next(iter(found.probes))]
    if setting != "auto":
        chosen = next(one for one in Regime if setting in (one.value, str(NUMBERS[one])))
        why = f'train.regime = "{setting}"; by itself it would be {regime.value} ({words})'
        return Decision(chosen, why, (), open_more, by_setting=True)
    return Decision(regime, words, _otherwise(found, thresholds, regime), open_more)


def as_json(found: Diagnosis | None, decision: Decision, thresholds: Thresholds = THRESHOLDS) -> dict[str, Any]:
    """For regime.json; see data/README.md."""
    return {
        "regime": decision.regime.value,
        "number": NUMBERS[decision.regime],
        "why": decision.why,
        "otherwise": list(decision.otherwise),
        "by_setting": decision.by_setting,
        "opens_stage_before_last": decision.open_before_last,
        "diagnosis": asdict(found) if found else None,
        "thresholds": asdict(thresholds),
    }


_TABLE: Mapping[tuple[bool, bool], Regime] = {
    # large, similar
    (True, False): Regime.ALL_LAYERS,
    (True, True): Regime.LATE_STAGES,
    (False, False): Regime.HEAD_FIRST,
    (False, True): Regime.FROZEN,
}


def _is_large(found: Diagnosis, limits: Thresholds) -> bool:
    return found.per_class >= limits.large_per_class and found.doubling_gain <= limits.doubling_gain


def _is_similar(found: Diagnosis, limits: Thresholds) -> bool:
    return found.last >= limits.similar_probe and found.lead <= limits.stage_lead


def _size_words(found: Diagnosis, limits: Thresholds, large: bool) -> str:
    if large:
        return (
            f"large: {found.per_class} pictures in the median class, and doubling them gains {found.doubling_gain:.3f}"
        )
    if found.per_class < limits.large_per_class:
        return f"small: {found.per_class} pictures in the median class, fewer than {limits.large_per_class}"
    return f"small: twice the pictures still gain {found.doubling_gain:.3f}, more than {limits.doubling_gain}"


def _similarity_words(found: Diagnosis, limits: Thresholds, similar: bool) -> str:
    probe = f"a linear probe on the last stage reaches {found.last:.3f} above chance"
    if similar:
        return f"like ImageNet: {probe}, at least {limits.similar_probe}"
    if found.last < limits.similar_probe:
        return f"unlike ImageNet: {probe}, less than {limits.similar_probe}"
    return f"unlike ImageNet: {probe}, and {found.lead:+.3f} on the stage before it"


def _otherwise(found: Diagnosis, limits: Thresholds, regime: Regime) -> tuple[str, ...]:
    """Which change of one number would have led to another regime, and to which."""
    probes = dict(found.probes)
    last = next(iter(probes))
    changes = {
        f"with at least {limits.large_per_class} pictures in the median class": {"per_class": limits.large_per_class},
        f"with fewer than {limits.large_per_class} pictures in the median class": {
            "per_class": limits.large_per_class - 1
        },
        f"if doubling the pictures gained at most {limits.doubling_gain}": {"doubling_gain": limits.doubling_gain},
        f"if doubling the pictures gained more than {limits.doubling_gain}": {
            "doubling_gain": limits.doubling_gain + 1e-6
        },
        f"with a probe of at least {limits.similar_probe} on the last stage": {
            "probes": probes | {last: max(limits.similar_probe, probes.get(found.before_last, 0.0))}
        },
        f"with a probe below {limits.similar_probe} on the last stage": {
            "probes": probes | {last: limits.similar_probe - 1e-6}
        },
    }
    said = []
    for words, change in changes.items():
        changed = replace(found, **change)  # type: ignore[arg-type]
        other = _TABLE[_is_large(changed, limits), _is_similar(changed, limits)]
        if other != regime:
            said.append(f"{words}: {other.value}")
    return tuple(said)


def _corrected(accuracy: float, classes: int) -> float:
    """So that guessing is 0 and no mistake is 1."""
    return (accuracy - 1 / classes) / (1 - 1 / classes)


def _fit(features: Floats, labels: Labels, classes: int) -> Callable[[Floats], Labels]:
    """A probe with a C that means the same whatever the dimension: standardised features have a norm of its root."""
    settings = HeadSettings(PROBE_STRENGTH / features.shape[1])
    head = fit_head(features, labels, classes, settings, tolerance=1e-3)
    return lambda rows: head.logits(rows).argmax(1)


def _probe(features: Floats, labels: Labels, fold: Labels, classes: int) -> Values:
    """Which pictures a probe that did not see their fold answers right, [n] of 0 and 1."""
    right = np.zeros(len(labels))
    for number in range(int(fold.max()) + 1):
        held_out = fold == number
        answer = _fit(features[~held_out], labels[~held_out], classes)
        right[held_out] = answer(features[held_out]) == labels[held_out]
    return right


def _doubling_gain(features: Floats, labels: Labels, groups: Groups, fold: Labels, classes: int, seed: int) -> float:
    """Balanced accuracy with all of a fold's training pictures, minus that with either half of them."""
    whole, half = _probe(features, labels, fold, classes), np.zeros(len(labels))
    for number in range(int(fold.max()) + 1):
        held_out, learnt = fold == number, np.flatnonzero(fold != number)
        halves = grouped_folds(labels[learnt], groups[learnt], seed, most=2)
        if halves is None:
            half[held_out] = whole[held_out]
            continue
        for part in (0, 1):
            rows = learnt[halves == part]
            answer = _fit(features[rows], labels[rows], classes)
            half[held_out] += (answer(features[held_out]) == labels[held_out]) / 2
    return balanced_mean(whole - half, labels, groups)[0]


def _nearest(features: Floats, labels: Labels, groups: Groups) -> float:
    """Balanced accuracy of the nearest picture of another group, by cosine."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    places = np.unique(groups, return_inverse=True)[1]
    right = np.zeros(len(labels))
    for start in range(0, len(labels), 512):
        rows = slice(start, start + 512)
        closeness = unit[rows] @ unit.T
        closeness[places[rows, None] == places[None, :]] = -2
        right[rows] = labels[closeness.argmax(1)] == labels[rows]
    return balanced_mean(right, labels, groups)[0]


def _source_accuracy(logits: Floats, labels: Labels) -> float:
    """Balanced accuracy when each of our classes gets that one of ImageNet's that serves it best, no class twice."""
    table = np.zeros((int(labels.max()) + 1, logits.shape[1]))
    np.add.at(table, (labels, logits.argmax(1)), 1)
    shares = table / table.sum(1, keepdims=True)
    rows, columns = linear_sum_assignment(-shares)
    return float(shares[rows, columns].mean())
