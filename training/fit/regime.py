"""Which way of training fits a training set: the table of rules that its diagnosis goes through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from training.fit.diagnostics import Diagnosis
from workspace.storage.artefact import Artefact
from workspace.text.counts import counted


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
    similar_probe: float = 0.97
    stage_lead: float = 0.0


THRESHOLDS = Thresholds()


@dataclass(frozen=True, slots=True)
class RegimeDecision:
    """The regime, why, and what would have changed it."""

    regime: Regime
    why: str
    otherwise: tuple[str, ...]
    by_setting: bool = False

    def tuned_stages(self, stages: int) -> int:
        """How many of a network's stages, the last ones, are trained; one in one piece is trained whole or not."""
        if self.regime is Regime.FROZEN or (stages == 1 and self.regime is not Regime.ALL_LAYERS):
            return 0
        return stages if self.regime is Regime.ALL_LAYERS else math.ceil(stages / 2)


def decide_regime(found: Diagnosis, thresholds: Thresholds = THRESHOLDS, setting: str = "auto") -> RegimeDecision:
    """Go through the rules, or take the setting: `auto`, a regime's name or its number."""
    large, similar = _is_large(found, thresholds), _is_similar(found, thresholds)
    regime = _TABLE[large, similar]
    words = f"{_size_words(found, thresholds, large)}; {_similarity_words(found, thresholds, similar)}"
    if setting != "auto":
        chosen = next(name for name in Regime if setting in (name.value, str(NUMBERS[name])))
        why = f'train.regime = "{setting}"; by itself it would be {regime.value} ({words})'
        return RegimeDecision(chosen, why, (), by_setting=True)
    return RegimeDecision(regime, words, _otherwise(found, thresholds, regime))


class RegimeRecord(Artefact):
    """regime.json: the regime of a training, and the numbers that it follows from."""

    VERSION: ClassVar[int] = 2
    COMMAND: ClassVar[str] = "collect-and-train train"
    REPAIR: ClassVar[str] = "delete the run's folder model/ and train again: collect-and-train train"

    regime: Regime
    number: int = Field(description="Of the regime, 1 to 4.")
    why: str = Field(description="In a sentence.")
    otherwise: tuple[str, ...] = Field(description="Changes of one number that would have led to another regime.")
    by_setting: bool = Field(description="Whether train.regime asked for it.")
    opens_stage_before_last: bool | None = Field(None, description="In files of programs that chose it.")
    diagnosis: Diagnosis | None
    thresholds: Thresholds

    @classmethod
    def of(cls, found: Diagnosis, decision: RegimeDecision, thresholds: Thresholds = THRESHOLDS) -> RegimeRecord:
        """Record what was found, and what was decided by it."""
        return cls(
            regime=decision.regime,
            number=NUMBERS[decision.regime],
            why=decision.why,
            otherwise=decision.otherwise,
            by_setting=decision.by_setting,
            diagnosis=found,
            thresholds=thresholds,
        )


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
        pictures = counted(found.per_class, "picture")
        return f"large: {pictures} in the median class, and doubling them gains {found.doubling_gain:.3f}"
    if found.per_class < limits.large_per_class:
        return f"small: {counted(found.per_class, 'picture')} in the median class, fewer than {limits.large_per_class}"
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
