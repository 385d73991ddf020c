"""Set temperature and limits again for a network whose outputs are not quite the model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from training.evaluation.held_out import limit_setting, negative_scores, read_held_out, reference_samples
from training.evaluation.predictions import TEST, answered, groups_of, outputs_of
from training.export.devices.device_format import Run
from training.export.job import ExportJob
from training.inference.classifier import Outputs
from training.stats.calibration import Calibration, match_temperature
from training.stats.ood import OodLimits, distances_to_others, fit_limits
from training.stats.scores import softmax
from workspace.catalog.records import Sample
from workspace.progress import SILENT

MOST = 2_000
"""Training images on which temperature and limits are set again; the share that a limit lets pass is then known to
half a point."""


class RuntimeModel:
    """An exported file as something that can be measured (training.evaluation.predictions.Model)."""

    def __init__(self, classes: tuple[str, ...], run: Run) -> None:
        self.classes, self._run = classes, run

    def outputs(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Outputs:
        """Run the file on one image after the other."""
        found = [self._run(image) for image in pictures]
        return Outputs(
            np.concatenate([one["features"] for one in found]), np.concatenate([one["logits"] for one in found])
        )


def learnt(job: ExportJob) -> list[Sample]:
    """List the images that the model was trained on; in the order of their digests, so that the first are any."""
    splits = job.model.card.fitted_on or ("train", "val")
    return sorted((one for one in job.samples if one.split in splits), key=lambda sample: sample.sha256)


def refitted(job: ExportJob, run: Run) -> Calibration | None:
    """Set the temperature and the limits of "none of these" again by what an exported network gives.

    The temperature is the one whose probabilities come nearest to the model's own on training images; their labels
    play no part, since the model has learnt them. The limits follow from the distances that the network gives to the
    images that the model's limits were set on, by the same rule.

    Args:
        job: the model with its run.
        run: of the exported network.

    Returns:
        None where the model has no calibration.
    """
    own = job.model.calibration
    if own is None:
        return None
    model, samples = RuntimeModel(job.model.classes, run), learnt(job)[:MOST]
    found = outputs_of(model, job.cache, samples, SILENT)
    before = outputs_of(job.model, job.cache, samples, SILENT)
    temperature = match_temperature(found.logits, own.probabilities(before.logits))
    limits = _limits(job, model, temperature, samples, found)
    return replace(own, temperature=temperature, limits=limits or own.limits)


def _limits(
    job: ExportJob, model: RuntimeModel, temperature: float, samples: Sequence[Sample], found: Outputs
) -> tuple[OodLimits, ...]:
    """Fit the limits again; none where they do not follow from distances between the training images."""
    held_out, own = read_held_out(job.run, job.samples), job.model.calibration
    if held_out is None or own is None or held_out.distance is not None or own.limits[0].max_distance is None:
        return ()
    bank = reference_samples(job.model.card, held_out, job.samples)
    if len(bank) != len(own.reference):
        return ()
    setting = limit_setting(held_out.sha256, own.reference, bank)[1]
    row_of = {held_out.sha256[row]: row for row in np.flatnonzero(setting)}
    asked = [row for row, sample in enumerate(samples) if sample.sha256 in row_of]
    probability = softmax(held_out.logits, own.temperature).max(1)[[row_of[samples[row].sha256] for row in asked]]
    distance = distances_to_others(
        found.features[asked], groups_of([samples[row] for row in asked]), own.reference, groups_of(bank)
    )
    negatives = answered(model, job.cache, [sample for sample in job.negatives if sample.split != TEST], SILENT)
    others = negative_scores(negatives, temperature, own.reference) if negatives else None
    return tuple(fit_limits(probability, distance, limits.accept, others) for limits in own.limits)
