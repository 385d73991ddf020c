"""Measure an exported file by its own runtime, beside the model that it was made of."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.evaluation.predictions import TEST, groups_of, label_indices
from training.export.devices.card import DeviceScores, Measured
from training.export.devices.device_format import Run
from training.export.job import ExportJob
from training.stats.calibration import Calibration, quality
from training.stats.metrics import effective_size, score, standard_error
from training.stats.ood import neighbour_distances
from training.stats.scores import Floats, softmax
from workspace.catalog.records import Sample
from workspace.errors import DatasetError, ModelError

LEAST_LIMIT = 0.005
"""A fall of half a point is always allowed: 8 bits cost that much on networks that are made for them."""

_WARM_UP = 3  # images


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """Calibrated probabilities, float32 [n, classes], distances, float32 [n] or None, and the median time of one."""

    probabilities: Floats
    distance: Floats | None
    ms_per_image: float


def measure(job: ExportJob, run: Run, calibration: Calibration | None) -> Measured:
    """Run the file and the model over the frozen test images.

    Args:
        job: the model with its run; `job.max_fall` is the limit, or None for one standard error of the accuracy.
        run: of the file.
        calibration: whose limits the file's answers are held against.

    Raises:
        DatasetError: there are no test images.
        ModelError: an answer is no number.
        WorkspaceError: an image's file is gone.
    """
    samples = [sample for sample in job.samples if sample.split == TEST]
    if not samples:
        raise DatasetError(
            "there are no test pictures, so what an export costs cannot be measured; raise split.test and split again"
        )
    negatives = [sample for sample in job.negatives if sample.split == TEST]
    answers, scores = [], []
    for each, answers_by in ((partial(_own_outputs, job), job.model.calibration), (run, calibration)):
        answers.append(_answers(job, samples, each))
        of_negatives = _answers(job, negatives, each) if negatives and answers_by else None
        scores.append(_scores(job, samples, answers[-1], of_negatives, answers_by))
    own, found = answers
    error = standard_error(scores[0].accuracy.value, effective_size(groups_of(samples)))
    limit = max(LEAST_LIMIT, error) if job.max_fall is None else job.max_fall
    return Measured(
        n=len(samples),
        own=scores[0],
        exported=scores[1],
        agreement=float((own.probabilities.argmax(1) == found.probabilities.argmax(1)).mean()),
        limit=limit,
        fell=_fell(scores[0], scores[1], limit),
        machine=f"{_processor()}, {torch.get_num_threads()} threads",
    )


def _own_outputs(job: ExportJob, image: npt.NDArray[np.uint8]) -> dict[str, Floats]:
    model, outputs = job.model, job.model.outputs([image])
    found = {"probabilities": softmax(outputs.logits, model.temperature)}
    if model.calibration and model.calibration.limits[0].max_distance is not None:
        found["distance"] = neighbour_distances(model.calibration.reference, outputs.features)
    return found


def _answers(job: ExportJob, samples: Sequence[Sample], run: Run) -> _Answers:
    for sample in samples[:_WARM_UP]:
        run(job.cache.read(sample.sha256))
    found, times = [], []
    for sample in samples:
        image = job.cache.read(sample.sha256)
        start = time.perf_counter()
        found.append(run(image))
        times.append(1000 * (time.perf_counter() - start))
    if not all(np.isfinite(values).all() for one in found for values in one.values()):
        raise ModelError("the exported file was not written: it gives answers that are no numbers; use --to onnx")
    distance = np.concatenate([one["distance"] for one in found]) if "distance" in found[0] else None
    return _Answers(np.concatenate([one["probabilities"] for one in found]), distance, statistics.median(times))


def _scores(
    job: ExportJob,
    samples: Sequence[Sample],
    found: _Answers,
    of_negatives: _Answers | None,
    calibration: Calibration | None,
) -> DeviceScores:
    labels, best = label_indices(samples, job.model.classes), found.probabilities.argmax(1).astype(np.int64)
    right, calibrated = best == labels, quality(found.probabilities, labels)
    answered = answered_accuracy = false_acceptance = None
    if calibration and of_negatives:
        passed = calibration.limits[0].accepts(of_negatives.probabilities.max(1), of_negatives.distance)
        false_acceptance = float(passed.mean())
    if calibration:
        accepted = calibration.limits[0].accepts(found.probabilities.max(1), found.distance)
        answered = float(accepted.mean())
        answered_accuracy = float(right[accepted].mean()) if accepted.any() else None
    groups, settings = groups_of(samples).tolist(), job.settings
    headline = score(labels, best, groups, len(job.model.classes), settings.evaluate.bootstrap, settings.seed)
    return DeviceScores(
        accuracy=headline.accuracy,
        log_loss=calibrated.log_loss,
        ece=calibrated.ece,
        answered=answered,
        answered_accuracy=answered_accuracy,
        false_acceptance=false_acceptance,
        ms_per_image=found.ms_per_image,
    )


def _fell(own: DeviceScores, exported: DeviceScores, limit: float) -> tuple[str, ...]:
    """Say what is worse by more than the limit; a nan is."""
    pairs = [
        ("accuracy", own.accuracy.value, exported.accuracy.value, own.accuracy.value - exported.accuracy.value),
        ("expected calibration error", own.ece, exported.ece, exported.ece - own.ece),
    ]
    if own.answered is not None and exported.answered is not None:
        # Either way: what refuses less than the model does answers pictures of something else too.
        gap = abs(own.answered - exported.answered)
        pairs.append(("share that gets a class", own.answered, exported.answered, gap))
    if own.false_acceptance is not None and exported.false_acceptance is not None:
        gap = exported.false_acceptance - own.false_acceptance
        pairs.append(("share of negatives that gets one", own.false_acceptance, exported.false_acceptance, gap))
    return tuple(
        f"{words} {after:.3f}, the model's own {before:.3f}"
        for words, before, after, fall in pairs
        if not fall <= limit
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
