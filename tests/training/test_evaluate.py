"""The step on a saved network, and its numbers from answers that are known."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from sklearn.metrics import log_loss as reference_log_loss
from torch import nn

from preprocessing.images.pixel_cache import PixelCache
from training import evaluate
from training.evaluation.metrics_json import measure
from training.evaluation.predictions import predict_splits
from training.inference.classifier import Classifier, Outputs
from training.network.backbone import Backbone, Network
from training.network.registry import BACKBONES, build_network
from training.stats.folds import OutOfFold
from workspace.catalog.records import Sample
from workspace.config.model import WorkspaceConfig
from workspace.config.template import render_config
from workspace.errors import DatasetError, ModelError
from workspace.files.atomic import write_atomic, write_json
from workspace.progress import SILENT
from workspace.storage.dataset import dataset_bytes
from workspace.storage.paths import Workspace

CLASSES = ("ape", "bee", "고양이")


def _config(**sections: object) -> WorkspaceConfig:
    return WorkspaceConfig.model_validate(
        {"classes": {name: name for name in CLASSES}, "evaluate": {"bootstrap": 200}, **sections}
    )


def _sample(number: int, label: str, split: str, group: str = "") -> Sample:
    sha = f"{number:064x}"
    return Sample(sha, label, split, group, f"images/{sha}.jpg", *["t"] * 9, width=80, height=60)


def _samples(test: int = 12) -> list[Sample]:
    splits = ["train"] * 12 + ["val"] * 6 + ["test"] * test
    return [_sample(k, CLASSES[k % 3], split, f"g{k // 2}") for k, split in enumerate(splits)]


def _fill_cache(workspace: Workspace, samples: list[Sample], config: WorkspaceConfig) -> None:
    cache = PixelCache(workspace, config.clean)
    for place, one in enumerate(samples):
        pixels = np.random.default_rng(place).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        pixels[0, 0] = place  # what FromTable recognises it by
        cache.write(one.sha256, pixels)


class Listener:
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def begin(self, what, total):
        pass

    def advance(self, count=1):
        pass

    def say(self, message):
        pass

    def warn(self, message):
        self.warned.append(message)


class FromTable:
    """Answers what it was told to: row k of a table for the picture whose first pixel is k."""

    classes = CLASSES

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def outputs(self, pictures):
        rows = np.stack([self.table[picture[0, 0, 0]] for picture in pictures]).astype(np.float32)
        return Outputs(np.ones((len(rows), 4), np.float32), np.log(np.maximum(rows, 1e-12)))


def _measured(tmp_path: Path, samples: list[Sample], table: np.ndarray) -> dict:
    workspace, config = Workspace(tmp_path), _config()
    _fill_cache(workspace, samples, config)
    cache = PixelCache(workspace, config.clean)
    predictions = predict_splits(FromTable(table), cache, samples, ("test", "val"), SILENT)
    return measure(config, CLASSES, samples, predictions).model_dump()


def test_every_number_is_that_of_the_answers(tmp_path):
    samples = _samples(test=90)
    table = np.random.default_rng(1).dirichlet(np.ones(3), len(samples))
    metrics = _measured(tmp_path, samples, table)
    test = metrics["splits"]["test"]
    rows = [place for place, one in enumerate(samples) if one.split == "test"]
    answers, labels = table[rows].argmax(1), np.array([CLASSES.index(samples[row].label) for row in rows])
    assert test["n"] == 90 and test["groups"] == 45 and test["effective_n"] == pytest.approx(45)
    assert test["accuracy"]["value"] == pytest.approx((answers == labels).mean())
    assert test["log_loss"] == pytest.approx(reference_log_loss(labels, table[rows]), rel=1e-5)
    assert np.array(test["confusion"]).sum(1).tolist() == [30, 30, 30]
    assert [row["predicted"] for row in test["predictions"]] == [CLASSES[answer] for answer in answers]
    assert [row["sha256"] for row in test["predictions"]] == [samples[row].sha256 for row in rows]
    np.testing.assert_allclose([row["probabilities"] for row in test["predictions"]], table[rows], atol=1e-6)
    assert metrics["baseline"] == {"label": "ape", "accuracy": pytest.approx(1 / 3)}
    assert metrics["splits"]["val"]["n"] == 6


def test_a_class_that_is_never_answered_has_no_precision(tmp_path):
    table = np.tile([0.6, 0.4, 0.0], (len(_samples()), 1))
    per_class = _measured(tmp_path, _samples(), table)["splits"]["test"]["per_class"]
    assert per_class["bee"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 4}
    assert per_class["ape"]["precision"] == pytest.approx(1 / 3)


def test_few_pictures_come_with_a_warning_and_many_do_not(tmp_path):
    few = _measured(tmp_path / "few", _samples(test=50), np.tile([1.0, 0, 0], (68, 1)))
    assert "only 50 pictures" in few["notes"][0] and "2.0 points" in few["notes"][0]
    assert (
        _measured(tmp_path / "many", _samples(test=100), np.tile([1.0, 0, 0], (118, 1)))["notes"][0][:8] == "This run"
    )


def test_without_test_pictures_nothing_can_be_measured(tmp_path):
    with pytest.raises(DatasetError, match="split.test"):
        _measured(tmp_path, _samples(test=0), np.ones((18, 3)))


def test_a_model_of_other_classes_is_refused(tmp_path):
    with pytest.raises(ModelError, match="wasp"):
        _measured(tmp_path, [*_samples(), _sample(99, "wasp", "test")], np.ones((31, 3)))


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Workspace, WorkspaceConfig]:
    """A run with a saved network of random weights, its dataset and its cached pixels."""
    workspace, config, samples = Workspace(tmp_path / "ws"), _config(train={"device": "cpu"}), _samples()
    _fill_cache(workspace, samples, config)
    folder = workspace.run("r1")
    workspace.point_to("r1")
    write_atomic(folder.config_file, render_config(config).encode())
    write_atomic(folder.dataset_file, dataset_bytes(samples))
    torch.manual_seed(0)
    spec = BACKBONES["efficientnet_lite0"]
    network = Network(Backbone(spec, build_network(spec)), nn.Linear(spec.feature_dim, 3))
    write_atomic(folder.model / "model.safetensors", save({k: v.contiguous() for k, v in network.state_dict().items()}))
    card = {
        "format": 2,
        "classes": list(CLASSES),
        "backbone": spec.name,
        "requested_backbone": "resnet50",
        "fallback_reason": "no weights here",
        "weights": "random",
        "weights_source": "seed 0",
        "input": {"resize_px": 64, "crop_px": 64, "mean": list(spec.mean), "std": list(spec.std)},
        "cache_side_px": config.clean.cache_side_px,
        "trained_on": {"train": 12, "val": 6},
    }
    write_json(folder.model / "card.json", card)
    return workspace, config


def test_the_step_measures_the_saved_model_once(trained):
    workspace, config = trained
    first = evaluate.run(workspace, config)
    folder = workspace.latest_run()
    written = folder.metrics_file.read_bytes()
    assert (first.done, first.reused) == (18, 0)
    metrics = json.loads(written)
    rows = metrics["splits"]["test"]["predictions"]
    pictures = [PixelCache(workspace, config.clean).read(row["sha256"]) for row in rows]
    expected = Classifier.load(folder.model, "cpu").probabilities(pictures)
    np.testing.assert_allclose([row["probabilities"] for row in rows], expected, atol=2e-6)
    card = json.loads((folder.model / "card.json").read_text())
    assert card["metrics"]["accuracy"] == metrics["splits"]["test"]["accuracy"]
    assert card["weights_source"] == "seed 0"

    second = evaluate.run(workspace, config)
    assert (second.done, second.reused, second.by_reason) == (0, 18, first.by_reason)
    assert folder.metrics_file.read_bytes() == written
    folder.metrics_file.unlink()
    evaluate.run(workspace, config)
    assert folder.metrics_file.read_bytes() == written


def _answered_out_of_fold(workspace: Workspace) -> None:
    """As the linear head's cross-validation leaves it: mostly right, and far too sure."""
    samples = [one for one in _samples() if one.split != "test"]
    labels = np.array([CLASSES.index(one.label) for one in samples])
    logits = np.random.default_rng(5).normal(0, 8, (len(samples), 3)).astype(np.float32)
    logits[np.arange(len(samples)), labels] += 8
    fold = np.array([int(one.group[1:]) % 3 for one in samples])
    names = tuple(one.sha256 for one in samples)
    OutOfFold(names, labels, logits, fold).write(workspace.latest_run().oof_file)


def test_out_of_fold_answers_calibrate_the_model_and_lead_where_pictures_are_few(trained):
    workspace, config = trained
    _answered_out_of_fold(workspace)
    folder = workspace.latest_run()
    card = json.loads((folder.model / "card.json").read_text())
    write_json(folder.model / "card.json", card | {"chosen": "head"})
    evaluate.run(workspace, config)
    metrics = json.loads(folder.metrics_file.read_text())
    assert metrics["leads"] == "cross_validation" and metrics["cross_validation"]["n"] == 18
    assert list(metrics["splits"]) == ["test"] and len(metrics["cross_validation"]["folds"]) == 3
    found = metrics["calibration"]
    assert found["temperature"] > 2 and found["after"]["log_loss"] < found["before"]["log_loss"]
    model = Classifier.load(folder.model, "cpu")
    assert model.calibration.temperature == found["temperature"] and model.calibration.reference.shape == (18, 1280)
    rows = metrics["rejection"]["table"]
    assert [row["accept"] for row in rows] == [0.99, 0.95, 0.9, 0.8, 0.7, 0.5]
    assert all(row["held_out_share"] >= row["accept"] or row["held_out_share"] == 1 for row in rows)
    assert evaluate.run(workspace, config).done == 0
    (folder.model / "calibration.json").unlink()
    assert evaluate.run(workspace, config).done == 12


def test_a_model_keeps_its_calibration_where_measuring_it_again_fails(trained, monkeypatch):
    workspace, config = trained
    _answered_out_of_fold(workspace)
    evaluate.run(workspace, config)
    before = Classifier.load(workspace.latest_run().model, "cpu").calibration
    monkeypatch.setattr(evaluate, "measure", _fail)
    with pytest.raises(ModelError, match="no answer"):
        evaluate.run(workspace, _config(evaluate={"bootstrap": 300}, train={"device": "cpu"}))
    after = Classifier.load(workspace.latest_run().model, "cpu").calibration
    assert before.limits and after.limits == before.limits and after.temperature == before.temperature


def _fail(*_: object) -> None:
    raise ModelError("no answer")


def test_a_damaged_calibration_is_made_anew(trained):
    workspace, config = trained
    _answered_out_of_fold(workspace)
    evaluate.run(workspace, config)
    folder, listener = workspace.latest_run(), Listener()
    for damage in (lambda: write_atomic(folder.reference_file, b"cut off"), folder.reference_file.unlink):
        damage()
        assert evaluate.run(workspace, config, listener).done == 12
        assert Classifier.load(folder.model, "cpu").calibration.limits
    assert len(listener.warned) == 2


def test_a_fine_tuned_network_has_no_distance_limit_without_distances_of_its_folds(trained):
    workspace, config = trained
    _answered_out_of_fold(workspace)
    folder = workspace.latest_run()
    evaluate.run(workspace, config)
    assert Classifier.load(folder.model, "cpu").calibration.limits[0].max_distance is None
    answers = OutOfFold.read(folder.oof_file)
    distance = np.linspace(0.1, 0.4, 18, dtype=np.float32)
    OutOfFold(answers.sha256, answers.labels, answers.logits, answers.fold, distance).write(folder.oof_file)
    assert evaluate.run(workspace, config).done == 12
    assert 0.1 < Classifier.load(folder.model, "cpu").calibration.limits[0].max_distance < 0.401


def test_flagged_test_pictures_are_left_out_of_the_cleaned_numbers(tmp_path):
    samples = [dataclasses.replace(one, flagged=one.split == "test" and one.label == "bee") for one in _samples()]
    table = np.tile([0.8, 0.1, 0.1], (len(samples), 1))  # right for ape alone
    metrics = _measured(tmp_path, samples, table)
    assert metrics["test_cleaned"]["n"] == 8 and metrics["test_cleaned"]["accuracy"]["value"] == 0.5
    assert metrics["splits"]["test"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert _measured(tmp_path / "2", _samples(), table)["test_cleaned"] is None


def test_random_weights_and_a_fallback_are_said_first(trained):
    notes = evaluate.run(*trained).notes
    assert "no weights here" in notes[0] and "RANDOM WEIGHTS" in notes[1] and "only 12 pictures" in notes[2]


def test_other_weights_settings_or_a_card_without_numbers_are_measured_again(trained):
    workspace, config = trained
    evaluate.run(workspace, config)
    assert evaluate.run(workspace, _config(evaluate={"bootstrap": 300}, train={"device": "cpu"})).done == 18
    folder = workspace.latest_run()
    card = json.loads((folder.model / "card.json").read_text())
    del card["metrics"]  # as after a kill between the card and metrics.json, or a card that train wrote again
    write_json(folder.model / "card.json", card)
    assert evaluate.run(workspace, _config(evaluate={"bootstrap": 300}, train={"device": "cpu"})).done == 18
    write_atomic(folder.metrics_file, b"{ cut off")
    listener = Listener()
    assert evaluate.run(workspace, config, listener).done == 18
    assert len(listener.warned) == 1 and "metrics.json cannot be used" in listener.warned[0]


def test_without_a_model_the_error_names_the_step(trained):
    workspace, config = trained
    (workspace.latest_run().model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="collect-and-train train"):
        evaluate.run(workspace, config)
