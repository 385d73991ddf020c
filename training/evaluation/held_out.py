"""Calibration of a saved model on the out-of-fold answers that training left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.images.pixel_cache import PixelCache
from preprocessing.neighbours import unit
from training.evaluation.predictions import Answered, groups_of, outputs_of
from training.inference.classifier import Classifier
from training.stats.calibration import Calibration, fit_temperature
from training.stats.folds import OutOfFold
from training.stats.ood import NegativeScores, far_out, fit_limits, neighbour_distances, own_distances
from training.stats.scores import Floats, softmax
from workspace.catalog.records import Sample
from workspace.config.model import WorkspaceConfig
from workspace.errors import WorkspaceError
from workspace.progress import Progress
from workspace.storage.arrays import latest_features
from workspace.storage.model_card import ModelCard
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder

SHARES = (0.99, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares of in-class images to be answered, for which every model has limits beside the configured share."""

MOST_REFERENCES = 20_000
"""Images whose features are kept with a model: of 1280 numbers each, 51 MB."""

_SAME = 0.999  # cosine of one image's features that were computed twice, in a GPU's shorter numbers at worst


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The training images that distances are measured to: n samples and their unit features, float16 [n, dim].

    n is 0 where no distance can be measured.
    """

    samples: tuple[Sample, ...]
    features: npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A calibration, and the scores of the n held-out images.

    Attributes:
        calibration: temperature and limits.
        probability: of the best class, float32 [n].
        distance: to the training images, float32 [n], NaN for an image that is none of them; None: not measured.
        sets_limits: the images that the limits were fitted on, bool [n]; those far out of their class are not.
    """

    calibration: Calibration
    probability: Floats
    distance: Floats | None
    sets_limits: npt.NDArray[np.bool_]


def read_held_out(folder: RunFolder, samples: Sequence[Sample]) -> OutOfFold | None:
    """Read a run's out-of-fold answers; None when it has none: an older run, or a class of a single group.

    Raises:
        WorkspaceError: they are damaged, or of another dataset.
    """
    held_out = OutOfFold.read(folder.oof_file)
    if held_out is None:
        return None
    unknown = sorted(set(held_out.sha256) - {sample.sha256 for sample in samples})
    if unknown:
        raise WorkspaceError(
            f"{folder.oof_file} has {len(unknown)} pictures that are not in {folder.dataset_file.name}, such as "
            f"{unknown[0]}; delete {folder.model} and train again"
        )
    return held_out


def reference_of(
    workspace: Workspace,
    config: WorkspaceConfig,
    model: Classifier,
    held_out: OutOfFold,
    samples: Sequence[Sample],
    progress: Progress,
) -> Reference:
    """Collect the features of the images that a model learnt from; at most MOST_REFERENCES of them.

    The frozen backbone's features were not learnt from these images, so each image's distance to the others is that of
    a new image. A backbone that an old program fine-tuned in place draws together what it has learnt: its distances
    come from its folds (`held_out.distance`), and without them the reference is empty.

    Args:
        workspace: where the images are.
        config: the settings of the pixel cache.
        model: whose features.
        held_out: the out-of-fold answers.
        samples: the dataset.
        progress: told of features that must be computed.
    """
    if held_out.distance is None and not model.card.frozen_backbone:
        return Reference((), np.zeros((0, model.network.backbone.spec.feature_dim), np.float16))
    chosen = reference_samples(model.card, held_out, samples)
    return Reference(chosen, _features(workspace, config, model, chosen, progress))


def reference_samples(card: ModelCard, held_out: OutOfFold, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """List the images that a model learnt from, or MOST_REFERENCES of them, in the order of its reference."""
    answered = set(held_out.sha256)
    learnt = [sample for sample in samples if sample.split in card.fitted_on]
    learnt = learnt or [sample for sample in samples if sample.sha256 in answered]
    # Digests are random, so the first ones in their order are a random draw.
    return tuple(sorted(learnt, key=lambda sample: sample.sha256)[:MOST_REFERENCES])


def calibrate(held_out: OutOfFold, reference: Reference, accept: float, negatives: Answered | None = None) -> Fitted:
    """Fit the temperature and the limits of "none of these" on out-of-fold answers.

    Args:
        held_out: the answers of the model's recipe.
        reference: the images that distances are measured to; without any, and without distances in `held_out`, the
            probability alone decides.
        accept: the default share of in-class images to be answered, in (0, 1].
        negatives: what the model gives to images of no class that are to set the limits.
    """
    temperature = fit_temperature(held_out.logits, held_out.labels)
    probability = softmax(held_out.logits, temperature).max(1)
    distance, setting = held_out.distance, np.ones(len(probability), np.bool_)
    if distance is None and reference.samples:
        distance, setting = limit_setting(held_out.sha256, reference.features, reference.samples)
    bank = reference.features if reference.samples else None
    others = negative_scores(negatives, temperature, bank) if negatives else None
    own = probability[setting], None if distance is None else distance[setting]
    limits = tuple(fit_limits(*own, share, others) for share in dict.fromkeys([accept, *SHARES]))
    calibration = Calibration(temperature, limits, reference.features, len(held_out.sha256))
    return Fitted(calibration, probability, distance, setting)


def limit_setting(
    sha256: Sequence[str], features: npt.NDArray[np.float16], samples: Sequence[Sample]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Measure the distances of held-out images to the others, and choose those that limits are fitted on.

    Args:
        sha256: of the held-out images, n.
        features: of the training images, [m, dim].
        samples: the training images, m.

    Returns:
        Their distances, float32 [n], NaN for those that are no training images; and which set limits, bool [n]: all
        that have a distance, less those that lie far out of their class, where any others are left.
    """
    own, place = own_distances(features, groups_of(samples)), {one.sha256: row for row, one in enumerate(samples)}
    far = far_out(own, np.array([sample.label for sample in samples]))
    known = [row for row, sha in enumerate(sha256) if sha in place]
    places = [place[sha256[row]] for row in known]
    distance, setting = np.full(len(sha256), np.nan, np.float32), np.zeros(len(sha256), np.bool_)
    distance[known] = own[places]
    setting[known] = ~far[places] if not far[places].all() else True
    return distance, setting


def negative_scores(negatives: Answered, temperature: float, bank: npt.NDArray[np.float16] | None) -> NegativeScores:
    """Compute the two scores of images of no class; `bank` holds the training images' features, None: no distances."""
    outputs = negatives.outputs
    far = None if bank is None else neighbour_distances(bank, outputs.features)
    return NegativeScores(softmax(outputs.logits, temperature).max(1), far, groups_of(negatives.samples))


def _features(
    workspace: Workspace, config: WorkspaceConfig, model: Classifier, samples: Sequence[Sample], progress: Progress
) -> npt.NDArray[np.float16]:
    """Unit features of the model's own backbone: from the cache where it has the same, else computed."""
    cache = PixelCache(workspace, config.clean)
    keys = [sample.sha256 for sample in samples]
    if model.card.frozen_backbone:
        probes = unit(model.outputs([cache.read(key) for key in keys[:2]]).features)
        try:
            cached = unit(latest_features(workspace).get(keys))
        except (KeyError, WorkspaceError):
            cached = np.zeros((0, 0), np.float32)  # the cache was emptied, or is another backbone's
        if cached.shape[1:] == probes.shape[1:] and ((cached[:2] * probes).sum(1) > _SAME).all():
            return cached.astype(np.float16)
    progress.begin("Computing features of the training pictures", len(keys))
    return unit(outputs_of(model, cache, samples, progress).features).astype(np.float16)
