"""Out-of-fold answers: what a recipe says of pictures that it had not learnt from, and the calibration they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.images.pixel_cache import PixelCache
from preprocessing.neighbours import unit
from training.inference.classifier import Classifier
from training.stats.calibration import Calibration, cross_fitted, fit_temperature, scaled
from training.stats.folds import OutOfFold
from training.stats.ood import fit_limits, own_distances
from workspace.catalog.records import Sample
from workspace.config.model import WorkspaceConfig
from workspace.errors import WorkspaceError
from workspace.progress import Progress
from workspace.storage.arrays import latest_features
from workspace.storage.paths import RunFolder, Workspace

SHARES = (0.99, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares of own pictures to be answered, for which every model has limits beside the configured share."""

MOST_REFERENCES = 20_000
"""Pictures whose features are kept with a model: of 1280 numbers each, 51 MB."""

PICTURES_AT_A_TIME = 64
"""Decoded pictures held in memory."""

_ALIKE = 0.999  # cosine of the same picture's features, computed twice, in the GPU's shorter numbers at worst

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """A run's oof.npz: each picture answered by a model that was trained without its fold.

    Attributes:
        samples: the pictures, n of them: all that were learnt from, or those of some folds.
        labels: int64 [n], places among the model's classes.
        logits: float32 [n, classes].
        fold: int64 [n]; a group is in one fold alone.
        distance: to the nearest pictures that its fold's model learnt from, float32 [n]; None: not measured.
    """

    samples: tuple[Sample, ...]
    labels: Labels
    logits: Floats
    fold: Labels
    distance: Floats | None = None

    @property
    def groups(self) -> npt.NDArray[np.str_]:
        """What is not independent, [n]."""
        return _groups(self.samples)

    def probabilities(self) -> Floats:
        """Float32 [n, classes], each calibrated on the other folds."""
        return cross_fitted(self.logits, self.labels, self.fold)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A calibration, and of the held-out pictures that it was fitted on their best class's probability and distance."""

    calibration: Calibration
    probability: Floats
    distance: Floats | None


def read_held_out(folder: RunFolder, samples: Sequence[Sample]) -> HeldOut | None:
    """Read a run's out-of-fold answers; None when it has none: an older run, or a class of a single group.

    Raises:
        WorkspaceError: they are damaged, or of another dataset.
    """
    found = OutOfFold.read(folder.oof_file)
    if found is None:
        return None
    by_sha = {one.sha256: one for one in samples}
    strangers = [name for name in found.sha256 if name not in by_sha]
    if strangers:
        raise WorkspaceError(
            f"{folder.oof_file} has {len(strangers)} pictures that {folder.dataset_file.name} has not, such as "
            f"{strangers[0]}; delete {folder.model} and train again"
        )
    known = tuple(by_sha[name] for name in found.sha256)
    return HeldOut(known, found.labels, found.logits, found.fold, found.distance)


def calibrate_model(
    workspace: Workspace,
    config: WorkspaceConfig,
    model: Classifier,
    held_out: HeldOut,
    samples: Sequence[Sample],
    progress: Progress,
) -> Fitted:
    """Fit the temperature and the limits of "none of these" on held-out answers.

    Distances are taken on the frozen backbone's features, which were not learnt from these pictures, so that each one's
    distance to the others is that of a new picture. A backbone that an old program fine-tuned in place draws together
    what it has learnt: its distances come from its folds, and without them the probability alone decides.

    Args:
        workspace: where the pictures are.
        config: the share of own pictures to be answered.
        model: what is calibrated.
        held_out: its recipe's answers.
        samples: the dataset; those of its splits that the model learnt from are what distances are taken to.
        progress: told of features that must be computed.
    """
    temperature = fit_temperature(held_out.logits, held_out.labels)
    probability = scaled(held_out.logits, temperature).max(1)
    distance = held_out.distance
    reference = np.zeros((0, model.network.backbone.spec.feature_dim), np.float16)
    if distance is not None or model.card.frozen_backbone:
        learnt = [one for one in samples if one.split in model.card.fitted_on] or list(held_out.samples)
        # Digests are random, so the first ones in their order are a random draw.
        learnt = sorted(learnt, key=lambda one: one.sha256)[:MOST_REFERENCES]
        reference = _features(workspace, config, model, learnt, progress)
        if distance is None:
            rows, kept = _rows(learnt, held_out)
            distance, probability = own_distances(reference, _groups(learnt))[rows], probability[kept]
    shares = dict.fromkeys([config.evaluate.accept, *SHARES])
    limits = tuple(fit_limits(probability, distance, share) for share in shares)
    return Fitted(Calibration(temperature, limits, reference, len(held_out.samples)), probability, distance)


def _groups(samples: Sequence[Sample]) -> npt.NDArray[np.str_]:
    return np.array([one.group or one.sha256 for one in samples], dtype=np.str_)


def _rows(learnt: Sequence[Sample], held_out: HeldOut) -> tuple[list[int], list[int]]:
    """Of the held-out pictures that have a feature: their rows among those learnt from, and among the held-out ones."""
    row_of = {one.sha256: row for row, one in enumerate(learnt)}
    kept = [row for row, one in enumerate(held_out.samples) if one.sha256 in row_of]
    return [row_of[held_out.samples[row].sha256] for row in kept], kept


def _features(
    workspace: Workspace, config: WorkspaceConfig, model: Classifier, samples: Sequence[Sample], progress: Progress
) -> npt.NDArray[np.float16]:
    """L2-normalised features of the model's own backbone: from the cache where they are the same, else computed."""
    cache = PixelCache(workspace, config.clean)
    keys = [one.sha256 for one in samples]
    if model.card.frozen_backbone:
        probes = unit(model.outputs([cache.read(key) for key in keys[:2]]).features)
        try:
            found = unit(latest_features(workspace).get(keys))
        except (KeyError, WorkspaceError):
            found = np.zeros((0, 0), np.float32)  # the cache was emptied, or is another backbone's
        if found.shape[1:] == probes.shape[1:] and ((found[:2] * probes).sum(1) > _ALIKE).all():
            return found.astype(np.float16)
    progress.begin("Features of the pictures learnt from", len(keys))
    rows = []
    for start in range(0, len(keys), PICTURES_AT_A_TIME):
        batch = keys[start : start + PICTURES_AT_A_TIME]
        rows.append(unit(model.outputs([cache.read(key) for key in batch]).features).astype(np.float16))
        progress.advance(len(batch))
    return np.concatenate(rows)
