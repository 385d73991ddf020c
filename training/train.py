"""STEP dataset to model: features, the linear head, fine-tuning, and the better of the two on validation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save as save_safetensors

from preprocessing.decode import DECODER_VERSION
from preprocessing.split import read_dataset
from training.augment import Augmenter, preset_for
from training.backbone import BACKBONES, Network, load_backbone
from training.device import Device, choose_device
from training.features import Extractor
from training.finetune import CachedPictures, Job, finetune, predicted
from training.head import Floats, Labels, LinearHead, balanced_accuracy, fit_head, log_loss
from training.origin import Origin
from training.predict import CARD_FORMAT, CARD_NAME, WEIGHTS_NAME
from workspace.config import WorkspaceConfig
from workspace.errors import DatasetError
from workspace.paths import RunFolder, Workspace, digest, write_atomic, write_json
from workspace.progress import SILENT, Progress
from workspace.records import Sample, StepCounts

HISTORY_NAME = "history.json"

_LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "scikit-learn", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class _Part:
    """The pictures of one split, by sha256; `labels` int64 [n]."""

    samples: list[Sample]
    labels: Labels

    @property
    def keys(self) -> list[str]:
        return [sample.sha256 for sample in self.samples]


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What is learnt from, and what chooses; the test part stays out of sight."""

    classes: tuple[str, ...]
    train: _Part
    val: _Part

    @classmethod
    def read(cls, path: Path) -> _Dataset:
        samples = sorted(read_dataset(path), key=lambda sample: sample.sha256)
        classes = tuple(sorted({sample.label for sample in samples}))
        parts = []
        for split in ("train", "val"):
            chosen = [sample for sample in samples if sample.split == split]
            labels = np.array([classes.index(sample.label) for sample in chosen], dtype=np.int64)
            parts.append(_Part(chosen, labels))
        absent = [name for place, name in enumerate(classes) if place not in parts[0].labels]
        if len(classes) < 2 or absent or not parts[1].samples:
            raise DatasetError(
                f"{path} has {len(classes)} classes, {len(parts[0].samples)} training pictures (none of "
                f"{', '.join(absent) or '-'}) and {len(parts[1].samples)} for validation; needed are 2 classes, each "
                "with training pictures, and some for validation: collect more, then split again"
            )
        return cls(classes, *parts)


@dataclass(frozen=True, slots=True)
class _Score:
    """Balanced accuracy in [0, 1] and log-loss in nats, on validation."""

    accuracy: float
    loss: float

    @classmethod
    def of(cls, probabilities: Floats, labels: Labels) -> _Score:
        return cls(balanced_accuracy(probabilities, labels), log_loss(probabilities, labels))

    def __str__(self) -> str:
        return f"balanced accuracy {self.accuracy:.3f}, log-loss {self.loss:.3f}"


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Train on the latest run's dataset and save the model there; does nothing where there is one.

    Raises:
        WorkspaceError: there is no run yet.
        DatasetError: there is nothing to learn from.
        WeightsError: the backbone's weights are not to be had.
    """
    folder = workspace.latest_run()
    card_file = folder.model / CARD_NAME
    if card_file.is_file():
        return _counts(json.loads(card_file.read_text(encoding="utf-8")), done=0)
    data = _Dataset.read(folder.dataset_file)
    device = choose_device(config.train.device)
    backbone, origin = load_backbone(config.train, config.seed)
    for note in origin.notes():
        progress.say(note)
    extractor = Extractor(workspace, config, backbone, device)
    extractor.extract_clean([*data.train.keys, *data.val.keys], progress)

    head = _fit_head(extractor, data, config.seed)
    before = _Score.of(head.probabilities(extractor.features.get(data.val.keys)), data.val.labels)
    network = device.put(Network(backbone, head.layer()))
    linear = {name: value.clone() for name, value in network.state_dict().items()}
    history: list[dict[str, float]] = []
    after = None
    if config.train.epochs:
        job = _job(extractor, data, config, folder, progress)
        history = finetune(network, job, device, progress)
        after = _Score.of(predicted(network, job.val, device, config.train.batch_size), data.val.labels)
    chosen, why = _choose(before, after)
    if chosen == "head":
        network.load_state_dict(linear)
    card = {**_card(data, origin, config, folder, device), "chosen": chosen, "why": why}
    record = {
        "C": head.strength,
        "val_accuracy": before.accuracy,
        "val_loss": before.loss,
        "n_train": len(data.train.samples),
    }
    _save(network, card, {"head": record, "finetune": history, "chosen": chosen, "why": why}, folder)
    return _counts(card, done=1)


def _fit_head(extractor: Extractor, data: _Dataset, seed: int) -> LinearHead:
    groups = np.array([sample.group or sample.sha256 for sample in data.train.samples])
    return fit_head(extractor.features.get(data.train.keys), data.train.labels, groups, len(data.classes), seed)


def _job(extractor: Extractor, data: _Dataset, config: WorkspaceConfig, folder: RunFolder, progress: Progress) -> Job:
    per_class = int(np.median(np.bincount(data.train.labels)))
    augmenter = Augmenter(preset_for(per_class), config.augment, extractor.spec.crop_px)
    views = extractor.extract_views(data.train.keys, augmenter, progress)
    clean = extractor.activations
    fingerprint = digest(
        views.folder.name,
        config.features.views,
        config.train.model_dump(),
        config.seed,
        [[sample.sha256, sample.label, sample.group] for part in (data.train, data.val) for sample in part.samples],
    )
    return Job(
        train=CachedPictures(tuple(data.train.keys), data.train.labels, clean, views, config.features.views),
        val=CachedPictures(tuple(data.val.keys), data.val.labels, clean),
        config=config.train,
        classes=len(data.classes),
        seed=config.seed,
        checkpoint=folder.checkpoint_file,
        fingerprint=fingerprint,
    )


def _choose(head: _Score, finetuned: _Score | None) -> tuple[str, str]:
    if finetuned is None:
        return "head", "fine-tuning is off (train.epochs = 0)"
    if (finetuned.accuracy, -finetuned.loss) > (head.accuracy, -head.loss):
        return "finetuned", f"fine-tuned is better on validation: {finetuned}; the linear head: {head}"
    return "head", f"fine-tuning did not help on validation: {finetuned}; the linear head: {head}"


def _card(data: _Dataset, origin: Origin, config: WorkspaceConfig, folder: RunFolder, device: Device) -> dict[str, Any]:
    spec = BACKBONES[origin.used]
    per_class = np.bincount(data.train.labels, minlength=len(data.classes))
    return {
        "format": CARD_FORMAT,
        "classes": list(data.classes),
        "backbone": spec.name,
        "requested_backbone": origin.requested,
        "fallback_reason": origin.fallback_reason,
        "weights": origin.weights,
        "weights_source": origin.source,
        "input": {
            "resize_px": spec.resize_px,
            "crop_px": spec.crop_px,
            "mean": list(spec.mean),
            "std": list(spec.std),
        },
        "decoder_version": DECODER_VERSION,
        "cache_side_px": config.clean.cache_side_px,
        "trained_on": {
            "train": len(data.train.samples),
            "val": len(data.val.samples),
            "per_class": {name: int(count) for name, count in zip(data.classes, per_class, strict=True)},
        },
        "seed": config.seed,
        "run_id": folder.run_id,
        "device": device.name,
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def _save(network: Network, card: Mapping[str, Any], history: Mapping[str, Any], folder: RunFolder) -> None:
    """Weights, then history, then the card, whose presence says that all is there."""
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    write_atomic(folder.model / WEIGHTS_NAME, save_safetensors(state))
    write_json(folder.root / HISTORY_NAME, history)
    write_json(folder.model / CARD_NAME, card)
    folder.checkpoint_file.unlink(missing_ok=True)


def _counts(card: Mapping[str, Any], done: int) -> StepCounts:
    """The same table from a fresh card and from one that was there."""
    origin = Origin.from_card(card)
    by_reason = {"classes": len(card["classes"]), **{part: card["trained_on"][part] for part in ("train", "val")}}
    return StepCounts("train", done, 1 - done, by_reason, (*origin.notes(), f"{card['chosen']}: {card['why']}"))
