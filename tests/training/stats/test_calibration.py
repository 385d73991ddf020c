import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import log_loss

from training.stats.calibration import (
    Calibration,
    calibration_error,
    cross_fitted,
    fit_temperature,
    quality,
    reliability,
)
from training.stats.folds import OutOfFold
from training.stats.ood import OodLimits
from training.stats.scores import softmax
from workspace.errors import ModelError


def _drawn(count: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that follow from them at this temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (count, 4)).astype(np.float32)
    chances = softmax(logits, temperature).astype(np.float64)
    labels = (chances.cumsum(1) < rng.random((count, 1))).sum(1).clip(max=3)
    return logits, labels.astype(np.int64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    logits, labels = _drawn(4000, temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.1)
    assert log_loss(labels, softmax(logits, found)) <= log_loss(labels, softmax(logits, found * 1.2))
    assert log_loss(labels, softmax(logits, found)) <= log_loss(labels, softmax(logits, found / 1.2))


def test_answers_that_are_all_right_do_not_become_certainties_and_good_ones_stay_as_they_are():
    logits = np.float32([[3, 0], [0, 3]] * 10)
    best = softmax(logits, fit_temperature(logits, np.array([0, 1] * 10))).max(1)
    assert (best > 0.9526).all() and (best < 0.99).all()
    sure = np.float32([[9, 0, 0], [0, 9, 0], [0, 0, 9]] * 40)
    labels = np.array([0, 1, 2] * 40)
    labels[0] = 1  # one mistake, at a place where the model is not sure
    sure[0] = (1.2, 1.0, 0)
    assert fit_temperature(sure, labels) == pytest.approx(1.0, abs=0.1)


def test_one_wrong_label_does_not_set_the_temperature():
    logits, labels = _drawn(80, 1.0)
    before = fit_temperature(logits, labels)
    surest = int(logits.max(1).argmax())
    logits[surest] *= 92 / logits[surest].max()
    labels[surest] = logits[surest].argmin()
    assert fit_temperature(logits, labels) == pytest.approx(before, rel=0.2)


def test_calibration_lowers_the_error_of_overconfident_answers_and_no_fold_helps_itself():
    logits, labels = _drawn(900, 4.0)
    fold = np.arange(900) % 5
    before, after = quality(softmax(logits, 1), labels), quality(cross_fitted(logits, labels, fold), labels)
    assert before.ece > 0.2 and after.ece < 0.06 and after.log_loss < before.log_loss
    changed = labels.copy()
    changed[fold == 2] = (changed[fold == 2] + 1) % 4
    one, other = (cross_fitted(logits, given, fold)[fold == 2] for given in (labels, changed))
    assert np.array_equal(one, other)


def test_a_single_fold_is_divided_so_that_no_picture_nor_its_copies_help_themselves():
    logits, labels = _drawn(60, 4.0)
    groups = (np.arange(60) // 2).astype(str)
    answers = OutOfFold(tuple(map(str, range(60))), labels, logits, np.zeros(60, np.int64))
    changed = labels.copy()
    changed[:2] = (changed[:2] + 1) % 4
    one, other = (dataclasses.replace(answers, labels=given).probabilities(groups) for given in (labels, changed))
    assert np.array_equal(one[:2], other[:2])
    assert not np.array_equal(one[2:], other[2:])


def test_the_bins_hold_every_picture_once_and_their_gaps_make_the_error():
    logits, labels = _drawn(95, 1.0)
    answers = softmax(logits, 1.0)
    bins = reliability(answers, labels)
    assert len(bins) == 9 and sum(one.n for one in bins) == 95
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)
    assert sum(one.n * one.right for one in bins) == pytest.approx((answers.argmax(1) == labels).sum())
    expected = sum(one.n / 95 * abs(one.right - one.confidence) for one in bins)
    assert calibration_error(bins) == pytest.approx(expected)
    assert len(reliability(answers[:3], labels[:3])) == 1


@pytest.fixture
def calibration() -> Calibration:
    reference = np.eye(3, 8, dtype=np.float16)
    return Calibration(1.7, (OodLimits(0.95, 0.61234567, 0.4), OodLimits(0.5, 0.9, None)), reference, 77)


def test_what_is_written_reads_back(calibration, tmp_path):
    assert Calibration.read(tmp_path) is None
    calibration.write(tmp_path)
    back = Calibration.read(tmp_path)
    assert (back.temperature, back.limits, back.images) == (1.7, calibration.limits, 77)
    assert np.array_equal(back.reference, calibration.reference) and back.reference.dtype == np.float16
    assert back.limits_for(None).accept == 0.95 and back.limits_for(0.5).min_probability == 0.9
    with pytest.raises(ModelError, match=r"0\.95, 0\.5 of its own pictures, not for 0\.7"):
        back.limits_for(0.7)


def test_damage_is_named(calibration, tmp_path):
    calibration.write(tmp_path)
    file = tmp_path / "calibration.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"format": 9}))
    with pytest.raises(ModelError, match="format 9"):
        Calibration.read(tmp_path)
    file.write_text(json.dumps(values))
    (tmp_path / "reference.safetensors").unlink()
    with pytest.raises(ModelError, match=r"reference\.safetensors is gone"):
        Calibration.read(tmp_path)
