"""Predictions: what a saved model answers to the images of a split; everything measured follows from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from preprocessing.images.pixel_cache import PixelCache
from training.inference.classifier import Outputs
from training.stats.scores import Labels
from workspace.catalog.records import Sample
from workspace.errors import DatasetError, ModelError
from workspace.progress import Progress

TEST, VALIDATION = "test", "val"

IMAGES_AT_A_TIME = 64
"""Decoded images held in memory."""


class Model(Protocol):
    """What can be measured: a training.inference.classifier.Classifier, or anything that answers as it does."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that the columns of the logits stand for."""

    def outputs(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Outputs:
        """Images uint8 [h, w, 3] to features and logits."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """A model's outputs for n images.

    Attributes:
        samples: the images, n of them.
        labels: int64 [n], indices of the model's classes.
        features: of the last stage, float32 [n, dim].
        logits: float32 [n, classes].
    """

    samples: tuple[Sample, ...]
    labels: Labels
    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Images without a class, and a model's outputs for them."""

    samples: tuple[Sample, ...]
    outputs: Outputs


def answered(model: Model, cache: PixelCache, samples: Sequence[Sample], progress: Progress) -> Answered | None:
    """Run a model over images that are of no class; None where there are none."""
    if not samples:
        return None
    progress.begin("Asking about negatives", len(samples))
    return Answered(tuple(samples), outputs_of(model, cache, samples, progress))


def groups_of(samples: Sequence[Sample]) -> npt.NDArray[np.str_]:
    """Name the group of each sample, [n]."""
    return np.array([sample.group_key for sample in samples], dtype=np.str_)


def predict_splits(
    model: Model, cache: PixelCache, samples: Sequence[Sample], splits: Collection[str], progress: Progress
) -> dict[str, Predictions]:
    """Run the model once over the images of some splits; a split without images is left out.

    Raises:
        ModelError: the model does not know the class of a sample.
        DatasetError: there are no test images.
    """
    unknown = sorted({sample.label for sample in samples} - set(model.classes))
    if unknown:
        known = ", ".join(model.classes)
        raise ModelError(f"the model knows {known}, the dataset has also {', '.join(unknown)}; train again")
    if not any(sample.split == TEST for sample in samples):
        raise DatasetError("there are no test pictures, so nothing can be measured; raise split.test and split again")
    by_split = {split: tuple(sample for sample in samples if sample.split == split) for split in splits}
    progress.begin("Evaluating", sum(map(len, by_split.values())))
    return {split: _predictions(model, cache, part, progress) for split, part in by_split.items() if part}


def label_indices(samples: Sequence[Sample], classes: Sequence[str]) -> Labels:
    """Convert the labels of samples to indices of classes, int64 [n]."""
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index[sample.label] for sample in samples], dtype=np.int64)


def outputs_of(model: Model, cache: PixelCache, samples: Sequence[Sample], progress: Progress) -> Outputs:
    """Run the model over the images of n samples, at least one, a few at a time."""
    batches = []
    for start in range(0, len(samples), IMAGES_AT_A_TIME):
        batch = samples[start : start + IMAGES_AT_A_TIME]
        batches.append(model.outputs([cache.read(sample.sha256) for sample in batch]))
        progress.advance(len(batch))
    return Outputs(
        np.concatenate([batch.features for batch in batches]), np.concatenate([batch.logits for batch in batches])
    )


def _predictions(model: Model, cache: PixelCache, samples: tuple[Sample, ...], progress: Progress) -> Predictions:
    outputs = outputs_of(model, cache, samples, progress)
    return Predictions(samples, label_indices(samples, model.classes), outputs.features, outputs.logits)
