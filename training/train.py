"""STEP dataset to model: features, then the recipe (training/fit/selection.py), then the model and its card."""

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
from workspace.progress import SILENT, Progress
from workspace.storage.model_card import Input, ModelCard, TrainedOn
from workspace.storage.paths import RunFolder, Workspace, write_atomic
from workspace.storage.run import Run, open_run

FITTED_ON = ("train", "val")
"""The splits that the shipped model learns from."""

_LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "scikit-learn", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What is learnt from: the training and the validation pictures, by sha256; the test part stays out of sight.

    Validation pictures are learnt from too, since what chooses is cross-validation: of a few hundred pictures 15 %
    are worth more for learning than for one small comparison.
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
            groups=np.array([sample.group or sample.sha256 for sample in self.samples]),
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
    """Train on the latest run's dataset, by the settings that it was frozen with, and save the model there.

    Does nothing where there is one. Of `config` counts what does not shape the model, such as the device.

    Raises:
        WorkspaceError: there is no run yet.
        DatasetError: there is nothing to learn from.
        ConfigError: train.processes is more than the GPUs, or than the images of a batch.
        WeightsError: the backbone's weights are not to be had.
    """
    frozen = open_run(workspace)
    folder, config = frozen.folder, frozen.settings(config, progress)
    if folder.has_model:
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
    """Weights, held-out answers, history, and last the card, whose presence says that all is there."""
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
    """The same table from a fresh card and from one that was there."""
    origin = Origin.from_card(card)
    by_reason = {"classes": len(card.classes), "train": card.trained_on.train, "val": card.trained_on.val}
    return StepCounts("train", done, 1 - done, by_reason, (*origin.notes(), f"{card.chosen}: {card.why}"))
