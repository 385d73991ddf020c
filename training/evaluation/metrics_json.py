"""Measure a model: every number of metrics.json, from predictions on the test set and answers out of fold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from training.evaluation.false_acceptance import accepted_share, false_acceptance
from training.evaluation.held_out import Fitted
from training.evaluation.predictions import TEST, Answered, Predictions, groups_of, label_indices
from training.stats.calibration import Calibration, quality
from training.stats.folds import OutOfFold
from training.stats.metrics import INTERVAL_METHOD, Labels, Tally, confusion, effective_size, score, standard_error
from training.stats.ood import OodLimits, neighbour_distances
from training.stats.scores import Floats, softmax
from workspace.catalog.records import Sample
from workspace.config.model import WorkspaceConfig
from workspace.storage.metrics import (
    Baseline,
    CalibrationScores,
    ClassScores,
    FoldScore,
    HeadlineScores,
    LabelledPrediction,
    Metrics,
    OwnScores,
    Rejection,
    RejectionLimits,
    RejectionRow,
    Scores,
)
from workspace.text.counts import counted

FEW_IMAGES = 100
"""Fewer test images come with a warning: at 90 % right the standard error is then more than 3 points."""

FEW_FOR_A_TEST = 600
"""With fewer images in all cross-validation leads: 15 % of them, 90 % right, have a standard error over 3 points."""


def measure(
    config: WorkspaceConfig,
    classes: tuple[str, ...],
    samples: Sequence[Sample],
    predictions: Mapping[str, Predictions],
    held_out: OutOfFold | None = None,
    fitted: Fitted | None = None,
    negatives: Answered | None = None,
    set_by: int = 0,
) -> Metrics:
    """Measure predictions and answers out of fold.

    Args:
        config: how many bootstrap draws, and their seed.
        classes: in the order of the model's outputs.
        samples: the dataset.
        predictions: of the model, by split; `test` is one of them.
        held_out: the recipe's out-of-fold answers to samples.
        fitted: the model's calibration.
        negatives: images of no class that set no limit, and the model's outputs.
        set_by: number of the negatives that helped to set the limits.

    Returns:
        What metrics.json holds, but for `inputs`, `run_id` and `gradcam`, which evaluate adds.
    """
    temperature = fitted.calibration.temperature if fitted else 1.0
    answers = {split: softmax(predicted.logits, temperature) for split, predicted in predictions.items()}
    scores = {split: _scores(predictions[split].samples, answers[split], classes, config) for split in predictions}
    test, crossed, calibration, rejection = predictions[TEST], None, None, None
    if held_out:
        by_sha256 = {sample.sha256: sample for sample in samples}
        answered = [by_sha256[sha256] for sha256 in held_out.sha256]
        calibrated = held_out.probabilities(groups_of(answered))
        crossed = _scores(answered, calibrated, classes, config, _by_fold(held_out))
    if held_out and fitted:
        calibration = _calibration(held_out, calibrated, fitted.calibration, test)
        rejection = _rejection(fitted, test, answers[TEST], negatives)
    measured = Metrics(
        format=2,
        classes=classes,
        leads="cross_validation" if held_out and _leads(held_out, len(samples)) else "test",
        notes=(*_warnings(scores[TEST]), *(() if held_out else (_NO_FOLDS,))),
        baseline=_baseline(classes, samples, test.samples),
        interval=INTERVAL_METHOD,
        splits=scores,
        test_cleaned=_cleaned(test.samples, answers[TEST], classes, config),
        cross_validation=crossed,
        calibration=calibration,
        rejection=rejection,
    )
    if not fitted or not negatives:
        return measured
    found = false_acceptance(negatives, fitted.calibration, classes, set_by)
    return measured.model_copy(update={"negatives": found})


def _leads(held_out: OutOfFold, images: int) -> bool:
    """Whether answers out of fold lead: a single fold of them says little more than the test."""
    return images < FEW_FOR_A_TEST and len(np.unique(held_out.fold)) > 1


def worst_mistakes(scores: Scores) -> list[LabelledPrediction]:
    """Select the wrong answers, the most confident first."""
    wrong = [answer for answer in scores.predictions if answer.label != answer.predicted]
    return sorted(wrong, key=lambda answer: (-answer.probability, answer.sha256))


_NO_FOLDS = (
    "This run has no out-of-fold answers, so its probabilities are not calibrated and it never answers none of these; "
    "they need two groups of pictures per class, and a run made by this version."
)


def _scores(
    samples: Sequence[Sample],
    probabilities: Floats,
    classes: tuple[str, ...],
    config: WorkspaceConfig,
    folds: tuple[FoldScore, ...] = (),
) -> Scores:
    """Score one set of answers, probabilities float32 [n, classes]."""
    labels = label_indices(samples, classes)
    predicted: Labels = probabilities.argmax(1).astype(np.int64)
    groups = [sample.group_key for sample in samples]
    headline = score(labels, predicted, groups, len(classes), config.evaluate.bootstrap, config.seed)
    effective = effective_size(np.array(groups, dtype=np.str_))
    measured = Scores(
        n=len(samples),
        groups=len(set(groups)),
        effective_n=effective,
        accuracy=headline.accuracy,
        balanced_accuracy=headline.balanced_accuracy,
        macro_f1=headline.macro_f1,
        standard_error=standard_error(headline.accuracy.value, effective),
        log_loss=quality(probabilities, labels).log_loss,
        per_class=_per_class(Tally.of(labels, predicted, len(classes)), classes),
        confusion=confusion(labels, predicted, len(classes)).tolist(),
        predictions=tuple(
            LabelledPrediction(
                sha256=sample.sha256,
                label=sample.label,
                predicted=classes[answer],
                probability=float(row[answer]),
                probabilities=tuple(round(float(value), 6) for value in row),
            )
            for sample, answer, row in zip(samples, predicted, probabilities, strict=True)
        ),
    )
    return measured.model_copy(update={"folds": folds}) if folds else measured


def _per_class(tally: Tally, classes: tuple[str, ...]) -> dict[str, ClassScores]:
    def known(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    columns = (tally.precision(), tally.recall(), tally.f1(), tally.support)
    return {
        name: ClassScores(precision=known(precision), recall=known(recall), f1=known(f1), support=int(support))
        for name, precision, recall, f1, support in zip(classes, *columns, strict=True)
    }


def _baseline(classes: tuple[str, ...], samples: Sequence[Sample], test: Sequence[Sample]) -> Baseline:
    trained = Counter(sample.label for sample in samples if sample.split == "train")
    commonest = max(classes, key=lambda name: trained[name])  # the first of equals
    return Baseline(label=commonest, accuracy=sum(sample.label == commonest for sample in test) / len(test))


def _cleaned(
    test: Sequence[Sample], answers: Floats, classes: tuple[str, ...], config: WorkspaceConfig
) -> HeadlineScores | None:
    """Score the test set without the images that curate flagged, whose labels may be wrong."""
    rows = [row for row, sample in enumerate(test) if not sample.flagged]
    if len(rows) == len(test) or not rows:
        return None
    cleaned = _scores([test[row] for row in rows], answers[rows], classes, config)
    return HeadlineScores(
        n=cleaned.n,
        accuracy=cleaned.accuracy,
        balanced_accuracy=cleaned.balanced_accuracy,
        macro_f1=cleaned.macro_f1,
    )


def _by_fold(held_out: OutOfFold) -> tuple[FoldScore, ...]:
    right = held_out.logits.argmax(1) == held_out.labels
    rows = [held_out.fold == number for number in np.unique(held_out.fold)]
    return tuple(FoldScore(n=int(row.sum()), accuracy=float(right[row].mean())) for row in rows)


def _calibration(
    held_out: OutOfFold, calibrated: Floats, calibration: Calibration, test: Predictions
) -> CalibrationScores:
    """Score calibration before and after: out of fold, where no answer set its own temperature, and on the test."""
    return CalibrationScores(
        temperature=calibration.temperature,
        n=calibration.images,
        before=quality(softmax(held_out.logits), held_out.labels),
        after=quality(calibrated, held_out.labels),
        test_before=quality(softmax(test.logits), test.labels),
        test_after=quality(softmax(test.logits, calibration.temperature), test.labels),
    )


def _rejection(fitted: Fitted, test: Predictions, answers: Floats, negatives: Answered | None) -> Rejection:
    """For each set of limits, count the test images that are answered, how many of those rightly, and negatives."""
    calibration = fitted.calibration
    default = calibration.limits[0]
    distance = None
    if default.max_distance is not None:
        distance = neighbour_distances(calibration.reference, test.features)
    right, setting = answers.argmax(1) == test.labels, fitted.sets_limits
    own_probability = fitted.probability[setting]
    own_distance = None if fitted.distance is None else fitted.distance[setting]

    def row(limits: OodLimits) -> RejectionRow:
        answered = limits.accepts(answers.max(1), distance)
        passed = {"negatives_share": accepted_share(negatives, calibration, limits)} if negatives else {}
        return RejectionRow(
            accept=limits.accept,
            min_probability=limits.min_probability,
            max_distance=limits.max_distance,
            held_out_share=float(limits.accepts(own_probability, own_distance).mean()),
            test_answered=int(answered.sum()),
            test_share=float(answered.mean()),
            test_accuracy=float(right[answered].mean()) if answered.any() else None,
            **passed,
        )

    return Rejection(
        default=RejectionLimits(
            accept=default.accept, min_probability=default.min_probability, max_distance=default.max_distance
        ),
        n=len(test.labels),
        held_out_n=len(own_probability),
        table=tuple(row(limits) for limits in sorted(calibration.limits, key=lambda limits: -limits.accept)),
        own_scores=OwnScores(
            probability=tuple(own_probability.tolist()),
            distance=None if own_distance is None else tuple(own_distance.tolist()),
        ),
        held_out_distance=None if fitted.distance is None else tuple(map(_number, fitted.distance.tolist())),
        test_distance=None if distance is None else tuple(distance.tolist()),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _warnings(test: Scores) -> list[str]:
    if test.n >= FEW_IMAGES:
        return []
    error = 100 * test.standard_error
    return [
        f"The test set has only {counted(test.n, 'picture')}: one answer more or less moves the accuracy by "
        f"{100 / test.n:.1f} points, and chance alone moves it by about {error:.1f} (standard error)."
    ]
