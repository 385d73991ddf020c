from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from preprocessing.dataset import dataset_bytes, read_dataset
from preprocessing.pixels import PixelCache
from training import features, train
from training.backbone import load_backbone
from training.device import choose_device
from training.features import Extractor
from training.head import balanced_accuracy, fit_head, log_loss
from training.predict import Classifier
from workspace.errors import DatasetError
from workspace.paths import write_atomic
from workspace.progress import SILENT


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


def samples_of(workspace, split):
    samples = read_dataset(workspace.latest_run().dataset_file)
    return sorted((one for one in samples if one.split == split), key=lambda one: one.sha256)


def outcome(workspace):
    folder = workspace.latest_run()
    card = json.loads((folder.model / "card.json").read_text(encoding="utf-8"))
    history = json.loads((folder.root / "history.json").read_text(encoding="utf-8"))
    return card, history


def test_the_whole_step_leaves_a_model_its_card_and_its_history(trainable, settings):
    workspace, config, listener = trainable("w"), settings(), Listener()
    first = train.run(workspace, config, listener)
    assert (first.done, first.reused) == (1, 0)
    assert first.by_reason == {"classes": 3, "train": 15, "val": 6}
    assert any("means nothing" in said for said in listener.said)
    card, history = outcome(workspace)
    assert card["format"] == 1
    assert card["classes"] == ["amber", "blue", "cyan"]
    assert (card["backbone"], card["requested_backbone"], card["fallback_reason"]) == ("efficientnet_lite0",) * 2 + (
        "",
    )
    assert (card["weights"], card["seed"], card["run_id"], card["cache_side_px"]) == ("random", 0, "first", 256)
    assert card["input"] == {"resize_px": 256, "crop_px": 224, "mean": [0.5] * 3, "std": [0.5] * 3}
    assert card["trained_on"] == {"train": 15, "val": 6, "per_class": {"amber": 5, "blue": 5, "cyan": 5}}
    assert {"torch", "torchvision", "timm"} <= set(card["versions"])
    assert [row["epoch"] for row in history["finetune"]] == [1, 2, 3]
    assert set(history["head"]) == {"C", "val_accuracy", "val_loss", "n_train"}
    assert history["chosen"] == card["chosen"] in ("head", "finetuned")
    assert history["why"] == card["why"]
    assert not workspace.latest_run().checkpoint_file.exists()

    files = {path: path.read_bytes() for path in workspace.latest_run().root.rglob("*") if path.is_file()}
    second = train.run(workspace, config, SILENT)
    assert dataclasses.replace(second, done=1, reused=0) == first
    assert {path: path.read_bytes() for path in workspace.latest_run().root.rglob("*") if path.is_file()} == files


def test_a_kill_while_fine_tuning_changes_no_bit_of_the_model(trainable, settings):
    whole, broken, config = trainable("whole"), trainable("broken"), settings()
    train.run(whole, config)
    features.run(broken, config)
    with pytest.raises(KeyboardInterrupt):
        train.run(broken, config, Listener(steps=3))  # 2 steps an epoch
    assert not (broken.latest_run().model / "card.json").exists()
    listener = Listener()
    train.run(broken, config, listener)
    assert "fine-tuning goes on after epoch 1" in listener.said
    for name in ("model/model.safetensors", "model/card.json", "history.json"):
        assert (whole.latest_run().root / name).read_bytes() == (broken.latest_run().root / name).read_bytes(), name


def test_the_saved_head_answers_as_it_did_in_training(trainable, settings):
    workspace, config = trainable("w"), settings(train__epochs=0)
    train.run(workspace, config)
    card, history = outcome(workspace)
    assert (card["chosen"], history["finetune"]) == ("head", [])
    assert "train.epochs = 0" in card["why"]

    classifier = Classifier.load(workspace.latest_run().model, "cpu")
    part, val = samples_of(workspace, "train"), samples_of(workspace, "val")
    backbone, _ = load_backbone(config.train, config.seed)
    stored = Extractor(workspace, config, backbone, choose_device("cpu")).features
    labels = np.array([classifier.classes.index(one.label) for one in part])
    keys = [one.sha256 for one in part]
    head = fit_head(stored.get(keys), labels, np.array(keys), 3, config.seed)
    pixels = PixelCache(workspace, config.clean)
    answers = classifier.probabilities([pixels.read(key) for key in keys])
    assert np.abs(answers - head.probabilities(stored.get(keys))).max() < 1e-4
    on_val = classifier.probabilities([pixels.read(one.sha256) for one in val])
    truth = np.array([classifier.classes.index(one.label) for one in val])
    assert balanced_accuracy(on_val, truth) == history["head"]["val_accuracy"]
    assert log_loss(on_val, truth) == pytest.approx(history["head"]["val_loss"], abs=1e-4)


@pytest.mark.parametrize("rates", [(0.001, 0.001), (5.0, 5.0)], ids=["gentle", "ruinous"])
def test_the_better_on_validation_is_the_one_that_is_saved(trainable, settings, rates):
    workspace = trainable("w")
    train.run(workspace, settings(train__head_lr=rates[0], train__backbone_lr=rates[1]))
    card, history = outcome(workspace)
    if rates[0] == 5.0:
        assert card["chosen"] == "head"
        assert "did not help" in card["why"]
    classifier = Classifier.load(workspace.latest_run().model, "cpu")
    pixels, val = PixelCache(workspace, settings().clean), samples_of(workspace, "val")
    answers = classifier.probabilities([pixels.read(one.sha256) for one in val])
    truth = np.array([classifier.classes.index(one.label) for one in val])
    head = history["head"]
    assert balanced_accuracy(answers, truth) >= head["val_accuracy"]
    if card["chosen"] == "head":
        assert log_loss(answers, truth) == pytest.approx(head["val_loss"], abs=1e-3)
    else:
        assert (balanced_accuracy(answers, truth), -log_loss(answers, truth)) > (
            head["val_accuracy"],
            -head["val_loss"],
        )


def test_resnet_runs_the_same_lines(trainable, settings):
    workspace = trainable("w")
    config = settings(train__backbone="resnet50", train__epochs=1, features__views=0)
    train.run(workspace, config)
    card, history = outcome(workspace)
    assert (card["backbone"], card["weights"], len(history["finetune"])) == ("resnet50", "random", 1)
    assert card["input"]["mean"] == [0.485, 0.456, 0.406]
    answers = Classifier.load(workspace.latest_run().model, "cpu").probabilities([np.zeros((90, 70, 3), np.uint8)])
    assert answers.shape == (1, 3)


@pytest.mark.parametrize("without", ["train of a class", "val"])
def test_nothing_to_learn_from_is_an_error_that_says_so(trainable, settings, without):
    workspace = trainable("w")
    path = workspace.latest_run().dataset_file
    samples = [
        one for one in read_dataset(path) if one.split != "val" and (without == "val" or one.label != "blue")
    ] + [one for one in read_dataset(path) if one.split == "test" and one.label == "blue" and without != "val"]
    write_atomic(path, dataset_bytes(samples))
    with pytest.raises(DatasetError, match="split again"):
        train.run(workspace, settings())
