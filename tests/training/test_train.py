from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from preprocessing.images.pixel_cache import PixelCache
from training import evaluate, train
from training.fit.head import fit_head
from training.inference.classifier import Classifier
from training.network import features
from training.network.backbone import load_backbone
from training.network.device import choose_device
from training.network.features import Extractor
from training.stats.fold_comparison import FoldComparison
from training.stats.folds import OutOfFold
from workspace.errors import ConfigError, DatasetError
from workspace.files.atomic import write_atomic
from workspace.progress import SILENT
from workspace.storage.dataset import dataset_bytes, read_dataset


class Listener:
    def __init__(self, steps: int = 10**6) -> None:
        self.left, self.said, self.fine_tuning = steps, [], False

    def begin(self, what, total):
        self.fine_tuning = what == "Fine-tuning"

    def advance(self, count=1):
        self.left -= self.fine_tuning
        if not self.left:
            raise KeyboardInterrupt

    def say(self, message):
        self.said.append(message)

    warn = say


def learnt_from(workspace):
    samples = read_dataset(workspace.latest_run().dataset_file)
    return sorted((one for one in samples if one.split != "test"), key=lambda one: one.sha256)


@pytest.fixture
def passes(monkeypatch):
    """The head answers these pictures without a mistake; here the fine-tuned copy ships all the same."""
    monkeypatch.setattr(FoldComparison, "passes", True)


def outcome(workspace):
    folder = workspace.latest_run()
    card = json.loads((folder.model / "card.json").read_text(encoding="utf-8"))
    history = json.loads((folder.root / "history.json").read_text(encoding="utf-8"))
    return card, history


def test_the_whole_step_leaves_a_model_its_card_and_its_history(trainable, settings, passes):
    config, listener = settings(train__backbone="efficientnet_lite0"), Listener()
    workspace = trainable("w", config)
    first = train.run(workspace, config, listener)
    assert (first.done, first.reused) == (1, 0)
    assert first.by_reason == {"classes": 3, "train": 15, "val": 6}
    assert any("means nothing" in said for said in listener.said)
    card, history = outcome(workspace)
    assert card["format"] == 2
    assert card["classes"] == ["amber", "blue", "cyan"]
    assert (card["backbone"], card["requested_backbone"], card["fallback_reason"]) == ("efficientnet_lite0",) * 2 + (
        "",
    )
    assert (card["weights"], card["seed"], card["run_id"], card["cache_side_px"]) == ("random", 0, "first", 256)
    assert card["input"] == {"resize_px": 256, "crop_px": 224, "mean": [0.5] * 3, "std": [0.5] * 3}
    assert card["trained_on"] == {"train": 15, "val": 6, "per_class": {"amber": 7, "blue": 7, "cyan": 7}}
    assert card["fitted_on"] == ["train", "val"]
    assert {"torch", "torchvision", "timm"} <= set(card["versions"])
    assert [row["epoch"] for row in history["finetune"]] == [1, 2, 3]
    assert ["val_loss" in row for row in history["finetune"]] == [False, True, False]
    assert set(history["head"]) == {"C", "val_accuracy", "val_loss", "n_train"}
    held_out = history["guard"]["n"]
    assert (9 <= held_out <= 12, history["cut_short"]) == (True, "")
    assert [part["n"] for part in history["parts"]] == [held_out] * 4
    regime = json.loads(workspace.latest_run().regime_file.read_text(encoding="utf-8"))
    assert (regime["regime"], regime["number"], card["regime"]) == ("head-first", 3, "head-first")
    assert regime["by_setting"]
    assert set(regime["diagnosis"]["probes"]) == {"layer4", "layer3", "layer2"}
    assert history["chosen"] == card["chosen"] == "finetuned"
    assert (card["tuned_stages"], card["augmentation"]["views"]) == (2, 3)
    assert history["why"] == card["why"]
    assert not workspace.latest_run().checkpoints.exists()

    files = {path: path.read_bytes() for path in workspace.latest_run().root.rglob("*") if path.is_file()}
    second = train.run(workspace, config, SILENT)
    assert dataclasses.replace(second, done=1, reused=0) == first
    assert {path: path.read_bytes() for path in workspace.latest_run().root.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("steps", [3, 6], ids=["without the held-out pictures", "with them"])
def test_a_kill_while_fine_tuning_changes_no_bit_of_the_model(trainable, settings, passes, steps):
    whole, broken, config = trainable("whole"), trainable("broken"), settings()
    train.run(whole, config)
    features.run(broken, config)
    with pytest.raises(KeyboardInterrupt):
        train.run(broken, config, Listener(steps=steps))  # 2 epochs of 2 steps, then one of 3
    assert not (broken.latest_run().model / "card.json").exists()
    listener = Listener()
    train.run(broken, settings(features__workers=2), listener)
    assert any("fine-tuning goes on" in said for said in listener.said)
    for name in ("model/model.safetensors", "model/card.json", "history.json", "oof.npz"):
        assert (whole.latest_run().root / name).read_bytes() == (broken.latest_run().root / name).read_bytes(), name


def test_the_saved_head_answers_as_it_did_in_training(trainable, settings):
    config = settings(train__epochs=0)
    workspace = trainable("w", config)
    train.run(workspace, config)
    card, history = outcome(workspace)
    assert (card["chosen"], card["tuned_stages"], card["augmentation"], history["finetune"]) == ("head", 0, None, [])
    assert "train.epochs = 0" in card["why"]

    classifier = Classifier.load(workspace.latest_run().model, "cpu")
    samples = learnt_from(workspace)
    backbone, _ = load_backbone(config.train, config.seed)
    extractor = Extractor(workspace, config, backbone, choose_device("cpu"))
    keys = [one.sha256 for one in samples]
    seen = extractor.head_features(keys)
    labels = np.array([classifier.classes.index(one.label) for one in samples])
    head = fit_head(seen, labels, 3, history["head"]["C"], blocks=backbone.blocks)
    pixels = PixelCache(workspace, config.clean)
    answers = classifier.probabilities([pixels.read(key) for key in keys])
    assert np.abs(answers - head.probabilities(seen)).max() < 1e-4

    held_out = OutOfFold.read(workspace.latest_run().oof_file)
    assert list(held_out.sha256) == keys
    assert np.array_equal(held_out.labels, labels)
    assert held_out.balanced_accuracy == history["head"]["val_accuracy"]
    assert held_out.log_loss == history["head"]["val_loss"]
    assert [part["name"] for part in history["parts"]] == ["head on the last stage", "linear head"]


@pytest.mark.parametrize("better", [False, True], ids=["worse", "not worse"])
def test_the_guard_decides_whether_the_copy_ships(trainable, settings, monkeypatch, better):
    monkeypatch.setattr(FoldComparison, "passes", better)
    config = settings(train__folds=3)
    workspace = trainable("w", config)
    train.run(workspace, config)
    card, history = outcome(workspace)
    held_out = OutOfFold.read(workspace.latest_run().oof_file)
    guard, parts = history["guard"], {part["name"]: part for part in history["parts"]}
    assert card["chosen"] == ("finetuned" if better else "head")
    assert f"{guard['difference']:+.3f}" in card["why"]
    assert (guard["n"], {part["n"] for part in parts.values()}) == (7, {7})
    assert (len(held_out.sha256), len(set(held_out.fold.tolist()))) == ((7, 1) if better else (21, 3))
    if better:
        assert held_out.log_loss == pytest.approx(parts["head and copy averaged"]["log_loss"])
    linear = trainable("linear", settings(train__epochs=0, train__folds=3))
    train.run(linear, settings(train__epochs=0, train__folds=3))
    saved = [(place.latest_run().model / "model.safetensors").read_bytes() for place in (workspace, linear)]
    assert (saved[0] == saved[1]) != better


def test_what_rests_on_held_out_answers_copes_with_those_of_some_folds(trainable, settings, passes):
    config = settings(train__folds=3)
    workspace = trainable("w", config)
    train.run(workspace, config)
    evaluate.run(workspace, config)
    metrics = json.loads(workspace.latest_run().metrics_file.read_text(encoding="utf-8"))
    assert metrics["cross_validation"]["n"] == metrics["calibration"]["n"] == 7
    assert len(metrics["cross_validation"]["folds"]) == 1
    assert metrics["rejection"]["default"]["max_distance"] is not None
    model = Classifier.load(workspace.latest_run().model, "cpu")
    assert len(model.calibration.reference) == 21  # all that was learnt from


def test_without_the_guard_the_copy_ships_and_the_comparison_is_told(trainable, settings, monkeypatch):
    monkeypatch.setattr(FoldComparison, "passes", False)
    config = settings(train__guard=False, train__mixup=0.4, train__label_smoothing=0.1)
    workspace = trainable("w", config)
    train.run(workspace, config)
    card, history = outcome(workspace)
    assert card["chosen"] == "finetuned"
    assert "train.guard = false" in card["why"]
    assert not history["guard"]["passes"]


def test_a_class_of_one_creator_cannot_be_held_out(trainable, settings):
    workspace = trainable("w")
    path = workspace.latest_run().dataset_file
    samples = [
        dataclasses.replace(one, group="one creator") if one.label == "blue" else one for one in read_dataset(path)
    ]
    write_atomic(path, dataset_bytes(samples))
    train.run(workspace, settings())
    card, history = outcome(workspace)
    assert card["chosen"] == "head"
    assert "single group" in card["why"]
    assert (history["head"]["C"], history["head"]["val_accuracy"]) == (0.1, None)
    assert OutOfFold.read(workspace.latest_run().oof_file) is None


def test_resnet_runs_the_same_lines_and_trains_its_last_two_layers(trainable, settings, passes):
    config = settings(train__backbone="resnet18", train__epochs=1, train__batch_size=21)
    workspace = trainable("w", config)
    train.run(workspace, config)
    card, history = outcome(workspace)
    assert (card["backbone"], card["weights"], len(history["finetune"])) == ("resnet18", "random", 2)
    assert card["input"]["mean"] == [0.485, 0.456, 0.406]
    model = Classifier.load(workspace.latest_run().model, "cpu")
    assert [name for name, _ in model.network.tuned.named_children()] == ["layer3", "layer4"]
    assert model.probabilities([np.zeros((90, 70, 3), np.uint8)]).shape == (1, 3)


def test_nothing_to_learn_from_is_an_error_that_says_so(trainable, settings):
    workspace = trainable("w")
    path = workspace.latest_run().dataset_file
    samples = [one for one in read_dataset(path) if one.label != "blue" or one.split == "test"]
    write_atomic(path, dataset_bytes(samples))
    with pytest.raises(DatasetError, match="none of blue.*split again"):
        train.run(workspace, settings())


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_the_views_are_as_strong_as_the_settings_say(trainable, settings, strength):
    config = settings(train__epochs=1, train__guard=False, augment__strength=strength)
    workspace = trainable("w", config)
    train.run(workspace, config, SILENT)
    augmentation = outcome(workspace)[0]["augmentation"]
    assert (augmentation["preset"]["name"], augmentation["switches"]["strength"]) == (strength, strength)


def test_frozen_tunes_nothing_and_every_layer_can_be_tuned(trainable, settings, passes):
    for regime, stages in (("frozen", 0), ("all-layers", 4)):
        config = settings(train__regime=regime, train__epochs=1, train__batch_size=21)
        workspace = trainable(regime, config)
        train.run(workspace, config)
        card, history = outcome(workspace)
        assert (card["chosen"], card["tuned_stages"]) == ("finetuned" if stages else "head", stages)
        assert len(history["finetune"]) == (2 if stages else 0)


def test_without_a_limit_it_is_said_how_long_fine_tuning_will_take(trainable, settings):
    workspace, listener = trainable("w"), Listener()
    train.run(workspace, settings(), listener)
    assert [said for said in listener.said if said.startswith("fine-tuning will take about")]


def test_a_time_limit_that_leaves_no_copy_ships_the_head_and_says_so(trainable, settings, passes):
    workspace, config, listener = trainable("w"), settings(train__time_limit_s=1e-9), Listener()
    train.run(workspace, config, listener)
    card, history = outcome(workspace)
    assert history["cut_short"].startswith("train.time_limit_s = 1e-09 ended fine-tuning before the copy was finished")
    assert history["cut_short"] in listener.said
    assert history["cut_short"] in card["why"]
    assert (card["chosen"], history["finetune"]) == ("head", [])
    evaluate.run(workspace, config)


def test_a_run_is_trained_with_the_settings_it_was_frozen_with_and_says_so(trainable, settings):
    workspace, listener = trainable("w", settings(train__epochs=0)), Listener()
    today = settings(train__epochs=20, train__device="auto", features__workers=0)
    train.run(workspace, today, listener)
    card, _ = outcome(workspace)
    assert "train.epochs = 0" in card["why"]
    said = [text for text in listener.said if "train.epochs = 0, not 20" in text]
    assert len(said) == 1 and "collect-and-train split" in said[0]
    assert not any("train.device" in text or "features.workers" in text for text in listener.said)

    train.run(workspace, today, again := Listener())  # where there is a model, nothing is ignored in silence either
    assert any("train.epochs = 0, not 20" in text for text in again.said)


def test_more_processes_than_images_in_a_batch_are_refused_before_the_network_is_loaded(
    monkeypatch, trainable, settings
):
    monkeypatch.setattr(train, "load_backbone", lambda *_: pytest.fail("began"))
    with pytest.raises(ConfigError, match=r"train\.processes = 30, but a batch has only \d+ pictures.*set train"):
        train.run(trainable("w"), settings(train__processes=30, train__device="cpu"), SILENT)
