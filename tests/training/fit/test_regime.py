from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from training.fit.diagnostics import Diagnosis, diagnose
from training.fit.regime import THRESHOLDS, Regime, RegimeRecord, decide_regime

SMALL, LARGE = 30, THRESHOLDS.large_per_class + 20
SIMILAR, DIFFERENT = 1.2, 0.35


def cloud(labels: np.ndarray, gap: float, seed: int, dim: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, gap, (int(labels.max()) + 1, dim))
    return (centres[labels] + rng.normal(0, 1, (len(labels), dim))).astype(np.float32)


def training_set(per_class: int, last: float, middle: float):
    labels = np.repeat(np.arange(3), per_class).astype(np.int64)
    pooled = {"layer4": cloud(labels, last, 1), "layer3": cloud(labels, middle, 2), "layer2": cloud(labels, 0.2, 3)}
    return pooled, labels, np.arange(len(labels)).astype(str)


def found(**changes: object) -> Diagnosis:
    probes, errors = {"layer4": 0.98, "layer3": 0.8, "layer2": 0.5}, dict.fromkeys(("layer4", "layer3", "layer2"), 0.02)
    return dataclasses.replace(Diagnosis(28, 30, probes, errors, 0.9, 0.7, 0.05), **changes)


@pytest.mark.parametrize(
    ("per_class", "last", "middle", "regime"),
    [
        (LARGE, DIFFERENT, DIFFERENT, Regime.ALL_LAYERS),
        (LARGE, SIMILAR, 0.5, Regime.LATE_STAGES),
        (SMALL, DIFFERENT, DIFFERENT, Regime.HEAD_FIRST),
        (SMALL, SIMILAR, 0.5, Regime.FROZEN),
    ],
)
def test_each_regime_is_chosen_on_data_made_for_it(per_class, last, middle, regime):
    pooled, labels, groups = training_set(per_class, last, middle)
    diagnosis = diagnose(pooled, labels, groups, None, seed=0)
    assert (diagnosis.smallest, diagnosis.per_class) == (per_class, per_class)
    assert list(diagnosis.probes) == ["layer4", "layer3", "layer2"]
    assert decide_regime(diagnosis).regime is regime


def test_the_numbers_mean_what_they_say():
    pooled, labels, groups = training_set(60, SIMILAR, 0.0)
    logits = np.zeros((len(labels), 10), np.float32)
    logits[np.arange(len(labels)), np.where(np.arange(len(labels)) % 4, labels + 4, 9)] = 1
    diagnosis = diagnose(pooled, labels, groups, logits, seed=0)
    assert diagnosis.probes["layer4"] > 0.95 > 0.25 > abs(diagnosis.probes["layer3"])  # the second was guessing
    assert diagnosis.neighbour > 0.8
    assert diagnosis.source_head == pytest.approx(0.75)
    outputs = np.eye(2, dtype=np.float32)[np.minimum(labels, 1)]  # a class for which no output is left has none right
    one_right = diagnose(pooled, labels, groups, outputs, seed=0)
    assert one_right.source_head == pytest.approx(2 / (labels.max() + 1))
    assert abs(diagnosis.doubling_gain) < 0.05
    noisy, labels, groups = training_set(20, 0.5, 0.5)
    assert diagnose(noisy, labels, groups, None, 0).doubling_gain > 0.03


def test_copies_do_not_answer_for_each_other():
    pooled, labels, _ = training_set(24, 0.0, 0.0)
    copied = {stage: np.repeat(rows[::4], 4, axis=0) for stage, rows in pooled.items()}
    groups = np.repeat(np.arange(len(labels) // 4), 4).astype(str)
    torn = diagnose(copied, labels, np.arange(len(labels)).astype(str), None, 0)
    whole = diagnose(copied, labels, groups, None, 0)
    assert torn.neighbour > 0.95
    assert whole.neighbour < 0.5
    assert whole.probes["layer4"] < 0.5 < torn.probes["layer4"]


def test_each_regime_trains_its_share_of_the_stages():
    shares = {
        stages: [decide_regime(found(), setting=name).tuned_stages(stages) for name in "1234"] for stages in (4, 3, 1)
    }
    assert shares == {4: [4, 2, 2, 0], 3: [3, 2, 2, 0], 1: [1, 0, 0, 0]}


@pytest.mark.parametrize(
    ("diagnosis", "words"),
    [
        (found(), "with at least 200 pictures in the median class: late-stages"),
        (found(), "with a probe below 0.9 on the last stage: head-first"),
        (found(per_class=300, doubling_gain=0.01), "if doubling the pictures gained more than 0.03: frozen"),
    ],
)
def test_what_would_have_changed_it_would_have(diagnosis, words):
    sure = dataclasses.replace(THRESHOLDS, large_per_class=200, similar_probe=0.9, doubling_gain=0.03)
    if "at least 200" in words:
        diagnosis = dataclasses.replace(diagnosis, doubling_gain=0.01)
    assert words in decide_regime(diagnosis, sure).otherwise


def test_a_setting_overrides_by_name_and_by_number_and_says_so():
    for setting in ("all-layers", "1"):
        decision = decide_regime(found(), setting=setting)
        assert decision.regime is Regime.ALL_LAYERS
        assert decision.by_setting
        assert "by itself it would be frozen" in decision.why


def test_what_is_written_holds_numbers_rule_and_thresholds():
    written = RegimeRecord.of(found(), decide_regime(found()))
    assert (written.regime, written.number, written.by_setting) == ("frozen", 4, False)
    assert written.diagnosis.probes["layer3"] == 0.8
    assert written.thresholds.large_per_class == THRESHOLDS.large_per_class
    assert "small: 30 pictures" in written.why


def test_a_class_of_one_group_has_no_diagnosis():
    pooled, labels, groups = training_set(5, SIMILAR, 0.5)
    groups[labels == 1] = "one creator"
    assert diagnose(pooled, labels, groups, None, 0) is None
