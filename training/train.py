"""STEP dataset → model: train on the latest run's dataset (training/fit/selection.py), save the model and its card."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from safetensors.torch import save as save_safetensors

from preprocessing.dataset.usage import refuse_withdrawn
from preprocessing.images.decode import DECODER_VERSION
from training.fit.distributed import check_world_size
from training.fit.selection import Setup, TrainingResult, TrainingSet, fitted_on, learn
from training.network.backbone import load_backbone
from training.network.device import choose_device
from training.network.features import Extractor
from training.network.registry import spec_of
from training.network.weights_origin import Origin
from workspace.catalog.records import Sample, StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.errors import DatasetError
from workspace.files.atomic import write_atomic
from workspace.progress import SILENT, Progress
from workspace.storage.model_card import Input, ModelCard, TrainedOn
from workspace.storage.paths import Workspace
from workspace.storage.run import Run, open_run
from workspace.storage.run_folder import RunFolder

FITTED_ON = ("train", "val")
"""The splits that the shipped model is trained on."""

_LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "scikit-learn", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class _Dataset:
    """The images to train on, by sha256: those of the splits train and val; test images are left out.

    The model is chosen by cross-validation, so the validation split is free: 15 % of a few hundred images are worth
    more in training than in one small comparison.
    """

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]

    @classmethod
    def read(cls, frozen: Run) -> _Dataset:
        everything = sorted(frozen.samples(), key=lambda sample: sample.sha256)
        classes = tuple(sorted({sample.label for sample in everything}))
        samples = tuple(sample for sample in everything if sample.split in FITTED_ON)
        absent = sorted(set(classes) - {sample.label for sample in samples})
        if len(classes) < 2 or absent:
            raise DatasetError(
                f"{frozen.folder.dataset_file} has {len(classes)} classes and {len(samples)} pictures to learn from "
                f"(none of {', '.join(absent) or '-'}); needed are 2 classes, each with such pictures: collect more, "
                "then split again"
            )
        return cls(classes, samples)

    def training_set(self) -> TrainingSet:
        return TrainingSet(
            keys=tuple(sample.sha256 for sample in self.samples),
            labels=np.array([self.classes.index(sample.label) for sample in self.samples], dtype=np.int64),
            groups=np.array([sample.group_key for sample in self.samples]),
            classes=len(self.classes),
        )

    def trained_on(self) -> TrainedOn:
        """Count the images for the model card."""
        per_class = Counter(sample.label for sample in self.samples)
        per_split = Counter(sample.split for sample in self.samples)
        return TrainedOn(
            train=per_split["train"],
            val=per_split["val"],
            per_class={name: per_class[name] for name in self.classes},
        )


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Train on the latest run's dataset with the settings that it was frozen with, and save the model in the run.

    A run that has a model is left as it is. `config` sets only what does not shape the model, such as the device.

    Raises:
        WorkspaceError: there is no run yet.
        DatasetError: fewer than two classes have images to train on.
        ConfigError: train.processes is more than the GPUs, or than the images of a batch.
        WeightsError: the backbone's weights cannot be found or downloaded.
    """
    frozen = open_run(workspace)
    folder, config = frozen.folder, frozen.settings(config, progress)
    if folder.has_model:
        workspace.keep(folder)
        return _counts(frozen.card(), done=0)
    data = _Dataset.read(frozen)
    refuse_withdrawn(workspace, folder, data.samples)
    device, pictures = choose_device(config.train.device), data.training_set()
    check_world_size(config.train.processes, device, fitted_on(pictures, config), config.train.batch_size)
    backbone, origin = load_backbone(config.train, config.seed)
    for note in origin.notes():
        progress.warn(note)
    extractor = Extractor(workspace, config, backbone, device)
    extractor.extract_clean(pictures.keys, progress)
    setup = Setup(pictures, config, extractor, backbone, device, folder.checkpoints)
    result = learn(setup, progress)
    card = _card(frozen, data, origin, setup, result)
    _save(result, card, folder)
    workspace.keep(folder)
    return _counts(card, done=1)


def _card(frozen: Run, data: _Dataset, origin: Origin, setup: Setup, result: TrainingResult) -> ModelCard:
    spec = spec_of(origin.used)
    return ModelCard(
        format=2,
        classes=data.classes,
        backbone=spec.name,
        requested_backbone=origin.requested,
        fallback_reason=origin.fallback_reason,
        weights=origin.weights,
        weights_source=origin.source,
        input=Input(resize_px=spec.resize_px, crop_px=spec.crop_px, mean=spec.mean, std=spec.std),
        decoder_version=DECODER_VERSION,
        cache_side_px=setup.config.clean.cache_side_px,
        fitted_on=FITTED_ON,
        trained_on=data.trained_on(),
        seed=setup.config.seed,
        run_id=frozen.folder.run_id,
        device=setup.device.name,
        versions={name: version(name) for name in _LIBRARIES},
        head_stages=result.network.backbone.head_stages,
        tuned_stages=result.network.tuned_stages,
        chosen=result.chosen,
        why=result.why,
        regime=result.regime.regime if result.regime else None,
        augmentation=result.augmentation,
    )


def _save(result: TrainingResult, card: ModelCard, folder: RunFolder) -> None:
    """Save weights, out-of-fold answers and history; the card last, since its presence marks the model as complete."""
    state = {name: value.cpu().contiguous() for name, value in result.network.state_dict().items()}
    write_atomic(folder.weights_file, save_safetensors(state))
    if result.out_of_fold:
        result.out_of_fold.write(folder.oof_file)
    result.history.write(folder.history_file)
    if result.regime:
        result.regime.write(folder.regime_file)
    card.write(folder.card_file)
    shutil.rmtree(folder.checkpoints, ignore_errors=True)


def _counts(card: ModelCard, done: int) -> StepCounts:
    """Build the counts from the card, new or read."""
    origin = Origin.from_card(card)
    by_reason = {"classes": len(card.classes), "train": card.trained_on.train, "val": card.trained_on.val}
    return StepCounts("train", done, 1 - done, by_reason, (*origin.notes(), f"{card.chosen}: {card.why}"))
