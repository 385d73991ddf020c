"""STEP model → metrics.json: evaluate and calibrate the saved model on the test set and on answers out of fold."""

from __future__ import annotations

import hashlib

from preprocessing.dataset.usage import refuse_withdrawn
from preprocessing.images.pixel_cache import PixelCache
from training.evaluation.held_out import calibrate, read_held_out, reference_of
from training.evaluation.metrics_json import measure, worst_mistakes
from training.evaluation.predictions import TEST, VALIDATION, answered, predict_splits
from training.inference.classifier import Classifier
from training.inference.gradcam import explain
from training.network.weights_origin import Origin
from training.stats.calibration import Calibration
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.digest import digest
from workspace.errors import ModelError
from workspace.progress import SILENT, Progress
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import CardMetrics, CrossValidationScores
from workspace.storage.paths import Workspace
from workspace.storage.run import open_run
from workspace.storage.run_folder import RunFolder

MEASURE_VERSION = 4
"""Part of the digest of what the numbers follow from: raise it whenever the same model would be measured otherwise."""

EXPLAINED = 18
"""Mistakes, the most confident ones, that get a heat map in metrics.json."""


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Measure and calibrate the latest run's model; does nothing where these very weights have been measured.

    metrics.json is written last and so says that the card has its numbers, and the model its calibration.

    Raises:
        WorkspaceError: there is no run yet, or its out-of-fold answers are damaged.
        ModelError: there is no model yet, it is damaged, or was trained on other classes.
        DatasetError: there are no test images.
    """
    frozen = open_run(workspace)
    folder, config = frozen.folder, frozen.settings(config, progress)
    inputs = _inputs(folder, config)
    earlier = _measured_before(folder, progress)
    _drop_damaged_calibration(folder, progress)
    calibrated = earlier is not None and (earlier.calibration is None) != folder.calibration_file.is_file()
    card = frozen.card()
    if earlier and calibrated and earlier.inputs == inputs and card.metrics == card_metrics(earlier):
        workspace.keep(folder)
        return _counts(earlier, done=False)
    samples, negatives = frozen.samples(), frozen.negatives()
    refuse_withdrawn(workspace, folder, [*samples, *negatives])
    model, cache = Classifier.load(folder.model, config.train.device), PixelCache(workspace, config.clean)
    held_out, fitted, others, set_by = read_held_out(folder, samples), None, None, 0
    predictions = predict_splits(model, cache, samples, (TEST,) if held_out else (TEST, VALIDATION), progress)
    if held_out:
        reference = reference_of(workspace, config, model, held_out, samples, progress)
        setting = answered(model, cache, [one for one in negatives if one.split != TEST], progress)
        fitted = calibrate(held_out, reference, config.evaluate.accept, setting)
        set_by = len(setting.samples) if setting else 0
        others = answered(model, cache, [one for one in negatives if one.split == TEST], progress)
    measured = measure(config, model.classes, samples, predictions, held_out, fitted, others, set_by)
    explained = worst_mistakes(measured.leading)[:EXPLAINED]
    added = {
        "inputs": inputs,
        "run_id": folder.run_id,
        "notes": (*Origin.from_card(card).notes(), *measured.notes),
        "gradcam": explain(model, cache, explained),
    }
    metrics = measured.model_copy(update=added)
    if fitted:  # until now a live model has answered with the limits that it had
        fitted.calibration.write(folder.model)
    else:
        _drop_calibration(folder)
    card.model_copy(update={"metrics": card_metrics(metrics)}).write(folder.card_file)
    metrics.write(folder.metrics_file)
    workspace.keep(folder)
    return _counts(metrics, done=True)


def card_metrics(metrics: Metrics) -> CardMetrics:
    """The few of the numbers that go into card.json: those of the test images, and those out of fold."""
    names = ("n", "accuracy", "balanced_accuracy", "macro_f1", "log_loss")
    numbers = {name: getattr(metrics.test, name) for name in names}
    if crossed := metrics.cross_validation:
        numbers["cross_validation"] = CrossValidationScores(**{name: getattr(crossed, name) for name in names})
    return CardMetrics(split="test", **numbers, leads=metrics.leads, baseline=metrics.baseline, notes=metrics.notes)


def _measured_before(folder: RunFolder, progress: Progress) -> Metrics | None:
    """The metrics.json that is there; what cannot be used is measured again, since this step writes it."""
    try:
        return Metrics.read_if_present(folder.metrics_file)
    except ModelError as error:
        progress.warn(str(error))
        return None


def _drop_damaged_calibration(folder: RunFolder, progress: Progress) -> None:
    """Remove a calibration that cannot be read: the model could not be loaded with it, and gets another."""
    try:
        Calibration.read(folder.model)
    except ModelError as error:
        progress.warn(str(error))
        _drop_calibration(folder)


def _drop_calibration(folder: RunFolder) -> None:
    for file in (folder.calibration_file, folder.reference_file):
        file.unlink(missing_ok=True)


def _inputs(folder: RunFolder, config: WorkspaceConfig) -> str:
    """A digest of all that the numbers follow from."""
    try:
        files = [folder.dataset_file.read_bytes(), folder.weights_file.read_bytes()]
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename} does not exist; train first: collect-and-train train") from error
    files += [file.read_bytes() for file in (folder.oof_file, folder.negatives_file) if file.is_file()]
    digests = [hashlib.sha256(data).hexdigest() for data in files]
    versions, settings = (Metrics.FORMAT, MEASURE_VERSION), config.evaluate.model_dump()
    return digest(*versions, digests, config.seed, settings, config.clean.cache_side_px)


def _counts(metrics: Metrics, done: bool) -> StepCounts:
    test = metrics.test
    right = sum(row[number] for number, row in enumerate(test.confusion))
    total = sum(scores.n for scores in metrics.splits.values())
    return StepCounts(
        "evaluate",
        done=total if done else 0,
        reused=0 if done else total,
        by_reason={"test pictures": test.n, "right": right, "wrong": test.n - right},
        notes=metrics.notes,
    )
