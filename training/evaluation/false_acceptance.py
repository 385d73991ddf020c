"""Measure how often images of no class get a class."""

from __future__ import annotations

from collections import Counter

from training.evaluation.predictions import Answered, groups_of
from training.stats.calibration import Calibration
from training.stats.metrics import effective_size, wilson
from training.stats.ood import OodLimits, neighbour_distances
from training.stats.scores import Floats
from workspace.storage.metrics import FalseAcceptance, Negative, Share


def false_acceptance(
    found: Answered, calibration: Calibration, classes: tuple[str, ...], set_by: int
) -> FalseAcceptance:
    """Measure the rate of images that get a class, by the default limits.

    Args:
        found: the images, none of which has set a limit, and the model's outputs.
        calibration: the model's.
        classes: in the order of the outputs.
        set_by: number of other negatives, which helped to set the limits.
    """
    probabilities, distance = calibration.probabilities(found.outputs.logits), distances(found, calibration)
    accepted = calibration.limits[0].accepts(probabilities.max(1), distance)
    best = [classes[column] for column in probabilities.argmax(1)]
    groups, rate = groups_of(found.samples), float(accepted.mean())
    return FalseAcceptance(
        n=len(found.samples),
        groups=len(set(groups.tolist())),
        rate=Share(rate, wilson(rate, effective_size(groups))),
        set_by=set_by,
        taken_for=dict(Counter(name for name, passed in zip(best, accepted, strict=True) if passed).most_common()),
        predictions=tuple(
            Negative(
                sha256=sample.sha256,
                predicted=name,
                probability=float(row.max()),
                distance=None if distance is None else float(distance[number]),
                accepted=bool(accepted[number]),
            )
            for number, (sample, name, row) in enumerate(zip(found.samples, best, probabilities, strict=True))
        ),
    )


def accepted_share(found: Answered, calibration: Calibration, limits: OodLimits) -> float:
    """Compute the share of images that other limits than the default ones let pass."""
    sure = calibration.probabilities(found.outputs.logits).max(1)
    return float(limits.accepts(sure, distances(found, calibration)).mean())


def distances(found: Answered, calibration: Calibration) -> Floats | None:
    """Compute the distances that the limits ask for; None where they ask for none."""
    if calibration.limits[0].max_distance is None:
        return None
    return neighbour_distances(calibration.reference, found.outputs.features)
