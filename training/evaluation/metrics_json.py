"""What is measured of a model: its answers to test pictures, and its recipe's answers out of fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from preprocessing.images.pixel_cache import PixelCache
from training.evaluation.held_out import PICTURES_AT_A_TIME, Fitted, HeldOut
from training.inference.classifier import Outputs
from training.stats.calibration import Calibration, quality, scaled
from training.stats.metrics import INTERVAL_METHOD, Labels, Tally, confusion, effective_size, score, standard_error
from training.stats.ood import neighbour_distances
from workspace.catalog.records import Sample
from workspace.config.model import WorkspaceConfig
from workspace.errors import DatasetError, ModelError
from workspace.progress import Progress
from workspace.storage.metrics import (
    Baseline,
    CalibrationScores,
    ClassScores,
    FoldScore,
    HeadlineScores,
    Metrics,
    OwnScores,
    Prediction,
    Rejection,
    RejectionLimits,
    RejectionRow,
    Scores,
)
from workspace.storage.paths import Workspace

FEW_PICTURES = 100
"""Fewer test pictures come with a warning: at 90 % right the standard error is then more than 3 points."""

FEW_FOR_A_TEST = 600
"""With fewer pictures in all cross-validation leads: 15 % of them, 90 % right, have a standard error over 3 points."""

TEST = "test"

Floats = npt.NDArray[np.float32]


class Answering(Protocol):
    """What is measured: a training.inference.classifier.Classifier, or anything else that answers as it does."""

    classes: tuple[str, ...]

    def outputs(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Outputs:
        """Pictures uint8 [h, w, 3] to features and logits."""


def measure(
    workspace: Workspace,
    config: WorkspaceConfig,
    model: Answering,
    samples: Sequence[Sample],
    progress: Progress,
    held_out: HeldOut | None = None,
    fitted: Fitted | None = None,
) -> Metrics:
    """Ask a model about the test pictures, and measure its answers and those out of fold.

    Args:
        workspace: where the pictures are.
        config: how many bootstrap draws, and their seed.
        model: what is asked.
        samples: the dataset.
        progress: told of every picture.
        held_out: the recipe's out-of-fold answers; None: then the validation pictures are asked about too.
        fitted: the model's calibration.

    Returns:
        What metrics.json holds, but for `inputs`, `run_id` and `gradcam`, which evaluate adds.

    Raises:
        ModelError: it does not know the pictures' classes.
        DatasetError: there are no test pictures.
    """
    _check(model, samples)
    parts = {TEST: [one for one in samples if one.split == TEST]}
    if held_out is None:
        parts["val"] = [one for one in samples if one.split == "val"]
    progress.begin("Evaluating", sum(map(len, parts.values())))
    cache = PixelCache(workspace, config.clean)
    outputs = {name: _outputs(model, cache, part, progress) for name, part in parts.items() if part}
    temperature = fitted.calibration.temperature if fitted else 1.0
    answers = {name: scaled(found.logits, temperature) for name, found in outputs.items()}
    scores = {name: _scores(parts[name], found, model.classes, config) for name, found in answers.items()}
    crossed, calibration, rejection = None, None, None
    if held_out:
        crossed = _scores(held_out.samples, held_out.probabilities(), model.classes, config, _by_fold(held_out))
    if held_out and fitted:
        labels = _labels(parts[TEST], model.classes)
        calibration = _calibration(held_out, fitted.calibration, outputs[TEST].logits, labels)
        rejection = _rejection(held_out, fitted, outputs[TEST], answers[TEST], labels)
    return Metrics(
        format=2,
        classes=model.classes,
        leads="cross_validation" if held_out and len(samples) < FEW_FOR_A_TEST else "test",
        notes=(*_warnings(scores[TEST]), *(() if held_out else (_NO_FOLDS,))),
        baseline=_baseline(model.classes, samples, parts[TEST]),
        interval=INTERVAL_METHOD,
        splits=scores,
        test_cleaned=_cleaned(parts[TEST], answers[TEST], model.classes, config),
        cross_validation=crossed,
        calibration=calibration,
        rejection=rejection,
    )


def worst_mistakes(scores: Scores) -> list[Prediction]:
    """The wrong answers, the surest first."""
    wrong = [one for one in scores.predictions if one.label != one.predicted]
    return sorted(wrong, key=lambda one: (-one.probability, one.sha256))


_NO_FOLDS = (
    "This run has no out-of-fold answers, so its probabilities are not calibrated and it never answers none of these; "
    "they need two groups of pictures per class, and a run made by this version."
)


def _check(model: Answering, samples: Sequence[Sample]) -> None:
    unknown = sorted({one.label for one in samples} - set(model.classes))
    if unknown:
        known = ", ".join(model.classes)
        raise ModelError(f"the model knows {known}, the dataset has also {', '.join(unknown)}; train again")
    if not any(one.split == TEST for one in samples):
        raise DatasetError("there are no test pictures, so nothing can be measured; raise split.test and split again")


def _outputs(model: Answering, cache: PixelCache, part: Sequence[Sample], progress: Progress) -> Outputs:
    found = []
    for start in range(0, len(part), PICTURES_AT_A_TIME):
        batch = part[start : start + PICTURES_AT_A_TIME]
        found.append(model.outputs([cache.read(one.sha256) for one in batch]))
        progress.advance(len(batch))
    return Outputs(np.concatenate([one.features for one in found]), np.concatenate([one.logits for one in found]))


def _labels(part: Sequence[Sample], classes: tuple[str, ...]) -> Labels:
    return np.array([classes.index(one.label) for one in part], dtype=np.int64)


def _scores(
    part: Sequence[Sample],
    probabilities: Floats,
    classes: tuple[str, ...],
    config: WorkspaceConfig,
    folds: tuple[FoldScore, ...] = (),
) -> Scores:
    """Score one set of answers, probabilities float32 [n, classes]."""
    labels = _labels(part, classes)
    predicted: Labels = probabilities.argmax(1).astype(np.int64)
    groups = [one.group or one.sha256 for one in part]
    headline = score(labels, predicted, groups, len(classes), config.evaluate.bootstrap, config.seed)
    effective = effective_size(np.array(groups, dtype=np.str_))
    found = Scores(
        n=len(part),
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
            Prediction(
                sha256=one.sha256,
                label=one.label,
                predicted=classes[answer],
                probability=float(row[answer]),
                probabilities=tuple(round(float(value), 6) for value in row),
            )
            for one, answer, row in zip(part, predicted, probabilities, strict=True)
        ),
    )
    return found.model_copy(update={"folds": folds}) if folds else found


def _per_class(tally: Tally, classes: tuple[str, ...]) -> dict[str, ClassScores]:
    def known(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    columns = (tally.precision(), tally.recall(), tally.f1(), tally.support)
    return {
        name: ClassScores(precision=known(precision), recall=known(recall), f1=known(f1), support=int(support))
        for name, precision, recall, f1, support in zip(classes, *columns, strict=True)
    }


def _baseline(classes: tuple[str, ...], samples: Sequence[Sample], test: Sequence[Sample]) -> Baseline:
    trained = Counter(one.label for one in samples if one.split == "train")
    commonest = max(classes, key=lambda name: trained[name])  # the first of equals
    return Baseline(label=commonest, accuracy=sum(one.label == commonest for one in test) / len(test))


def _cleaned(
    test: Sequence[Sample], answers: Floats, classes: tuple[str, ...], config: WorkspaceConfig
) -> HeadlineScores | None:
    """The test without the pictures that curate flagged: what the model is worth where the labels are right."""
    rows = [place for place, one in enumerate(test) if not one.flagged]
    if len(rows) == len(test) or not rows:
        return None
    found = _scores([test[row] for row in rows], answers[rows], classes, config)
    return HeadlineScores(
        n=found.n, accuracy=found.accuracy, balanced_accuracy=found.balanced_accuracy, macro_f1=found.macro_f1
    )


def _by_fold(held_out: HeldOut) -> tuple[FoldScore, ...]:
    right = held_out.logits.argmax(1) == held_out.labels
    rows = [held_out.fold == number for number in np.unique(held_out.fold)]
    return tuple(FoldScore(n=int(row.sum()), accuracy=float(right[row].mean())) for row in rows)


def _calibration(held_out: HeldOut, calibration: Calibration, logits: Floats, labels: Labels) -> CalibrationScores:
    """Before and after: out of fold, where each answer's temperature comes from the other folds, and on the test."""
    return CalibrationScores(
        temperature=calibration.temperature,
        n=calibration.pictures,
        before=quality(scaled(held_out.logits, 1.0), held_out.labels),
        after=quality(held_out.probabilities(), held_out.labels),
        test_before=quality(scaled(logits, 1.0), labels),
        test_after=quality(scaled(logits, calibration.temperature), labels),
    )


def _rejection(held_out: HeldOut, fitted: Fitted, outputs: Outputs, answers: Floats, labels: Labels) -> Rejection:
    """For each set of limits: how many test pictures are answered, and how many of those rightly."""
    calibration = fitted.calibration
    default = calibration.limits[0]
    distance = None
    if default.max_distance is not None:
        distance = neighbour_distances(calibration.reference, outputs.features)
    right = answers.argmax(1) == labels
    table = []
    for limits in sorted(calibration.limits, key=lambda one: -one.accept):
        answered = limits.accepts(answers.max(1), distance)
        own = limits.accepts(fitted.probability, fitted.distance)
        table.append(
            RejectionRow(
                **limits.as_json(),
                held_out_share=float(own.mean()),
                test_answered=int(answered.sum()),
                test_share=float(answered.mean()),
                test_accuracy=float(right[answered].mean()) if answered.any() else None,
            )
        )
    own_scores = OwnScores(
        probability=fitted.probability.tolist(),
        distance=None if fitted.distance is None else fitted.distance.tolist(),
    )
    return Rejection(
        default=RejectionLimits(**default.as_json()),
        n=len(labels),
        held_out_n=len(held_out.samples),
        table=tuple(table),
        own_scores=own_scores,
    )


def _warnings(test: Scores) -> list[str]:
    if test.n >= FEW_PICTURES:
        return []
    error = 100 * test.standard_error
    return [
        f"The test set has only {test.n} pictures: one answer more or less moves the accuracy by "
        f"{100 / test.n:.1f} points, and chance alone moves it by about {error:.1f} (standard error)."
    ]
