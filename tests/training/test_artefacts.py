"""The JSON files of a run: those of programs before versions are read and keep every value, others are named errors."""

import json
from pathlib import Path

import pytest

from training.fit.history import History
from training.fit.regime import RegimeRecord
from training.stats.calibration import CalibrationRecord
from workspace.errors import ModelError
from workspace.storage.artefact import Artefact
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard

# As the program before versions wrote them for the workspace of tests/training/conftest.py, with lists cut short.

CARD = r"""
{"format": 2, "classes": ["amber", "blue", "cyan"], "backbone": "efficientnet_lite0",
"requested_backbone": "efficientnet_lite0", "fallback_reason": "", "weights": "random", "weights_source": "random",
"input": {"resize_px": 256, "crop_px": 224, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "decoder_version": 2,
"cache_side_px": 256, "fitted_on": ["train", "val"], "trained_on": {"train": 15, "val": 6, "per_class": {"amber": 7,
"blue": 7, "cyan": 7}}, "seed": 0, "run_id": "first", "device": "cpu-float32", "versions": {"torch": "2.14.1",
"torchvision": "0.29.1", "timm": "1.0.31", "albumentations": "2.0.8", "scikit-learn": "1.9.1", "numpy": "2.4.6",
"pillow": "13.0.0"}, "head_stages": 3, "chosen": "finetuned",
"why": "fine-tuning ships unjudged (train.guard = false)", "regime": "head-first", "metrics": {"split": "test",
"n": 3, "accuracy": {"value": 1.0, "interval": [0.43850296824495455, 1.0]}, "balanced_accuracy": {"value": 1.0,
"interval": [0.5419010330670049, 1.0]}, "macro_f1": {"value": 1.0, "interval": [0.5419010330670049, 1.0]},
"log_loss": 0.00023899830392415787, "cross_validation": {"n": 21, "accuracy": {"value": 1.0,
"interval": [0.8453609810751531, 1.0]}, "balanced_accuracy": {"value": 1.0, "interval": [0.7954272279321708, 1.0]},
"macro_f1": {"value": 1.0, "interval": [0.7954272279321708, 1.0]}, "log_loss": 0.0018573643292810536},
"leads": "cross_validation", "baseline": {"label": "amber", "accuracy": 0.3333333333333333},
"notes": ["The test set has only 3 pictures"]}}
"""

METRICS = r"""
{"format": 2, "inputs": "980d0414252e", "run_id": "first", "classes": ["amber", "blue", "cyan"],
"leads": "cross_validation", "notes": ["The test set has only 3 pictures"], "baseline": {"label": "amber",
"accuracy": 0.3333333333333333}, "interval": "95 %: bootstrap over groups", "splits": {"test": {"n": 3, "groups": 3,
"effective_n": 3.0, "accuracy": {"value": 1.0, "interval": [0.43850296824495455, 1.0]},
"balanced_accuracy": {"value": 1.0, "interval": [0.5419010330670049, 1.0]}, "macro_f1": {"value": 1.0,
"interval": [0.5419010330670049, 1.0]}, "standard_error": 0.17074694419062766, "log_loss": 0.00023899830392415787,
"per_class": {"amber": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}, "blue": {"precision": 1.0,
"recall": 1.0, "f1": 1.0, "support": 1}, "cyan": {"precision": null, "recall": 1.0, "f1": 1.0, "support": 1}},
"confusion": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
"predictions": [{"sha256": "e5d70c6dce5ee49ac6235a219c54d68e1cd59895f9764cca15ceac6f7d3371f0", "label": "amber",
"predicted": "amber", "probability": 0.9999420046806335, "probabilities": [0.999942, 8e-06, 5e-05]}]}},
"test_cleaned": null, "cross_validation": {"n": 21, "groups": 21, "effective_n": 21.0, "accuracy": {"value": 1.0,
"interval": [0.8453609810751531, 1.0]}, "balanced_accuracy": {"value": 1.0, "interval": [0.7954272279321708, 1.0]},
"macro_f1": {"value": 1.0, "interval": [0.7954272279321708, 1.0]}, "standard_error": 0.05425863986500213,
"log_loss": 0.0018573643292810536, "per_class": {"amber": {"precision": 1.0, "recall": 1.0, "f1": 1.0,
"support": 7}, "blue": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 7}, "cyan": {"precision": 1.0,
"recall": 1.0, "f1": 1.0, "support": 7}}, "confusion": [[7, 0, 0], [0, 7, 0], [0, 0, 7]],
"predictions": [{"sha256": "01bcae2d4afa5917c49c70a9e40271fa531657c0e99dae9fc701ec6c9803231e", "label": "amber",
"predicted": "amber", "probability": 0.999870240688324, "probabilities": [0.99987, 5.3e-05, 7.7e-05]}],
"folds": [{"n": 11, "accuracy": 1.0}, {"n": 10, "accuracy": 1.0}]},
"calibration": {"temperature": 0.9502025049564011, "n": 21, "before": {"ece": 0.0021481712659199978,
"log_loss": 0.0021539342154074013, "bins": [{"confidence": 0.9962034550580111, "right": 1.0, "n": 11}]},
"after": {"ece": 0.0018527848379952408, "log_loss": 0.0018573643292810536,
"bins": [{"confidence": 0.9966862310062755, "right": 1.0, "n": 11}]}, "test_before": {"ece": 0.00036901235580444336,
"log_loss": 0.00036911324307824586, "bins": [{"confidence": 0.9996309876441956, "right": 1.0, "n": 3}]},
"test_after": {"ece": 0.00023895502090454102, "log_loss": 0.00023899830392415787,
"bins": [{"confidence": 0.9997610449790955, "right": 1.0, "n": 3}]}}, "rejection": {"default": {"accept": 0.95,
"min_probability": 0.9926131367683411, "max_distance": 0.015157699584960938}, "n": 3, "held_out_n": 21,
"table": [{"accept": 0.99, "min_probability": 0.9926131367683411, "max_distance": 0.015157699584960938,
"held_out_share": 1.0, "test_answered": 3, "test_share": 1.0, "test_accuracy": 1.0}],
"own_scores": {"probability": [0.9998859763145447, 0.9993518590927124], "distance": [0.008400559425354004,
0.013994932174682617]}}, "gradcam": [{"sha256": "01bcae2d4afa5917c49c70a9e40271fa531657c0e99dae9fc701ec6c9803231e",
"label": "amber", "map": [[0.0, 1.0], [0.25, 0.0]]}]}
"""

HISTORY = r"""
{"head": {"C": 1.0, "stages": null, "views": 1, "val_accuracy": 1.0, "val_loss": 0.0012701326952546303,
"n_train": 21}, "finetune": [{"epoch": 1, "loss": 0.9428421023852107, "lr": 0.008535533905932738,
"val_loss": 0.001079511256519279, "val_accuracy": 1.0}, {"epoch": 2, "loss": 0.37462453097105025,
"lr": 0.0014644660940672626, "val_loss": 0.00220577769756439, "val_accuracy": 1.0}],
"guard": {"head": 1.0000000000000002, "finetuned": 1.0000000000000002, "difference": 0.0, "standard_error": 0.0,
"n": 21, "passes": false}, "chosen": "finetuned", "why": "fine-tuning ships unjudged (train.guard = false)"}
"""

REGIME = r"""
{"regime": "head-first", "number": 3, "why": "train.regime = \"head-first\"; by itself it would be frozen",
"otherwise": [], "by_setting": true, "opens_stage_before_last": true, "diagnosis": {"smallest": 7, "per_class": 7,
"probes": {"layer4": 1.0000000000000002, "layer3": 1.0000000000000002, "layer2": 1.0000000000000002},
"probe_errors": {"layer4": 9.774978228411138e-17, "layer3": 9.774978228411138e-17, "layer2": 9.774978228411138e-17},
"neighbour": 1.0000000000000002, "source_head": null, "doubling_gain": 0.0}, "thresholds": {"large_per_class": 200,
"doubling_gain": 0.03, "similar_probe": 0.9, "stage_lead": 0.0}}
"""

CALIBRATION = r"""
{"format": 1, "temperature": 0.9502025049564011, "pictures": 21, "limits": [{"accept": 0.95,
"min_probability": 0.9926131367683411, "max_distance": 0.015157699584960938}, {"accept": 0.5,
"min_probability": 0.998, "max_distance": null}]}
"""

OLD = {ModelCard: CARD, Metrics: METRICS, History: HISTORY, RegimeRecord: REGIME, CalibrationRecord: CALIBRATION}

every_kind = pytest.mark.parametrize("kind", OLD, ids=lambda kind: kind.__name__)


def _file(folder: Path, text: str) -> Path:
    file = folder / "file.json"
    file.write_text(text, encoding="utf-8")
    return file


@every_kind
def test_a_file_without_a_version_is_read_and_written_again_with_every_key_in_its_order(kind: type[Artefact], tmp_path):
    file = _file(tmp_path, OLD[kind])
    found = kind.read(file)
    assert found.version == 0
    found.write(file)
    written = json.loads(file.read_text(encoding="utf-8"))
    assert json.dumps(written) == json.dumps({"version": kind.VERSION} | json.loads(OLD[kind]))
    assert kind.read(file).version == kind.VERSION


def test_the_values_of_old_files_have_their_types(tmp_path):
    card, metrics = ModelCard.read(_file(tmp_path, CARD)), Metrics.read(_file(tmp_path, METRICS))
    assert card.classes == ("amber", "blue", "cyan") and card.input.mean == (0.5, 0.5, 0.5)
    assert card.metrics.accuracy == metrics.test.accuracy and metrics.test.accuracy.interval[1] == 1.0
    assert metrics.leading is metrics.cross_validation and metrics.leading.folds[1].n == 10
    assert not card.knows_augmentation
    history, regime = History.read(_file(tmp_path, HISTORY)), RegimeRecord.read(_file(tmp_path, REGIME))
    assert history.head.knows_settings and history.finetune[1].epoch == 2 and history.guard.passes is False
    assert regime.diagnosis.before_last == "layer3" and regime.thresholds.large_per_class == 200
    assert CalibrationRecord.read(_file(tmp_path, CALIBRATION)).limits[1].max_distance is None


def test_a_head_of_before_its_settings_were_chosen_does_not_claim_them(tmp_path):
    head = {"C": 0.01, "val_accuracy": 0.8, "val_loss": 0.6, "n_train": 18}
    assert not History.read(_file(tmp_path, json.dumps({"head": head, "finetune": []}))).head.knows_settings


@every_kind
def test_a_file_that_is_cut_off_is_an_error_with_its_remedy(kind: type[Artefact], tmp_path):
    with pytest.raises(ModelError, match=r"file\.json cannot be used .*collect-and-train (train|evaluate)"):
        kind.read(_file(tmp_path, OLD[kind][:100]))


@every_kind
def test_a_file_of_something_else_says_which_field_is_wrong(kind: type[Artefact], tmp_path):
    values = json.loads(OLD[kind])
    field = next(name for name in ("classes", "head", "why", "limits") if name in values)
    with pytest.raises(ModelError, match=rf"file\.json cannot be used \({field}.*collect-and-train (train|evaluate)"):
        kind.read(_file(tmp_path, json.dumps(values | {field: 7})))
    with pytest.raises(ModelError, match=r"file\.json cannot be used \(the file"):
        kind.read(_file(tmp_path, "[]"))


@every_kind
def test_a_file_of_a_newer_program_says_so_whatever_its_fields_are(kind: type[Artefact], tmp_path):
    newer = kind.VERSION + 1
    with pytest.raises(ModelError, match=rf"newer program \(version {newer}, this one reads up to {kind.VERSION}\)"):
        kind.read(_file(tmp_path, f'{{"version": {newer}, "format": 9, "other": []}}'))


@every_kind
def test_a_file_that_is_missing_names_the_command_that_makes_it(kind: type[Artefact], tmp_path):
    with pytest.raises(ModelError, match=r"has no gone\.json; make it with: collect-and-train (train|evaluate)"):
        kind.read(tmp_path / "gone.json")
    assert kind.read_if_present(tmp_path / "gone.json") is None


@pytest.mark.parametrize("kind", [ModelCard, Metrics, CalibrationRecord])
def test_another_format_is_named(kind: type[Artefact], tmp_path):
    with pytest.raises(ModelError, match="has format 7, this program reads"):
        kind.read(_file(tmp_path, json.dumps(json.loads(OLD[kind]) | {"format": 7})))


def test_keys_of_nobody_are_kept(tmp_path):
    file = _file(tmp_path, json.dumps(json.loads(CARD) | {"remark": "mine"}))
    ModelCard.read(file).write(file)
    assert json.loads(file.read_text(encoding="utf-8"))["remark"] == "mine"
