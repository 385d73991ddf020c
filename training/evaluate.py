"""STEP model → metrics.json: the saved model, as it ships, looks once at the validation and the test pictures."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from preprocessing.pixels import PixelCache
from preprocessing.usage import refuse_withdrawn
from training.gradcam import explain
from training.held_out import calibrate_model, read_held_out
from training.measure import leading, measure, worst_mistakes
from training.origin import Origin
from training.predict import Classifier
from workspace.config import WorkspaceConfig
from workspace.errors import ModelError
from workspace.paths import RunFolder, Workspace, digest, write_json
from workspace.progress import SILENT, Progress
from workspace.records import StepCounts
from workspace.run import open_run

METRICS_FORMAT = 2
"""The version of metrics.json; part of what says whether it is up to date."""

EXPLAINED = 18
"""Mistakes, the surest ones, of which metrics.json says what the network saw."""

Json = dict[str, Any]


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Measure and calibrate the latest run's model; does nothing where these very weights have been measured.

    metrics.json is written last and so says that the card has its numbers, and the model its calibration.

    Raises:
        WorkspaceError: there is no run yet, or its out-of-fold answers are damaged.
        ModelError: there is no model yet, it is damaged, or was trained on other classes.
        DatasetError: there are no test pictures.
    """
    frozen = open_run(workspace)
    folder, config = frozen.folder, frozen.settings(config, progress)
    inputs = _inputs(folder, config)
    there = read_metrics(folder)
    calibrated = there is not None and (there["calibration"] is None) != folder.calibration_file.is_file()
    if there and calibrated and there["inputs"] == inputs and read_card(folder).get("metrics") == card_metrics(there):
        return _counts(there, done=False)
    for file in (folder.calibration_file, folder.reference_file):
        file.unlink(missing_ok=True)
    model = Classifier.load(folder.model, config.train.device)
    samples = frozen.samples()
    refuse_withdrawn(workspace, folder, samples)
    held_out = read_held_out(folder, samples)
    fitted = calibrate_model(workspace, config, model, held_out, progress) if held_out else None
    metrics: Json = {"format": METRICS_FORMAT, "inputs": inputs, "run_id": folder.run_id}
    metrics |= measure(workspace, config, model, samples, progress, held_out, fitted)
    metrics["notes"] = [*Origin.from_card(model.card).notes(), *metrics["notes"]]
    explained = worst_mistakes(leading(metrics))[:EXPLAINED]
    metrics["gradcam"] = explain(model, PixelCache(workspace, config.clean), explained)
    if fitted:
        fitted.calibration.write(folder.model)
    write_json(folder.card_file, {**read_card(folder), "metrics": card_metrics(metrics)})
    write_json(folder.metrics_file, metrics)
    return _counts(metrics, done=True)


def read_metrics(folder: RunFolder) -> Json | None:
    """What evaluate measured; None when it did not, or wrote in another format."""
    try:
        metrics: Json = json.loads(folder.metrics_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return metrics if isinstance(metrics, dict) and metrics.get("format") == METRICS_FORMAT else None


def read_card(folder: RunFolder) -> Json:
    """The model's card.json.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    try:
        card: Json = json.loads(folder.card_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise ModelError(
            f"{folder.model} has no readable {folder.card_file.name}; train: collect-and-train train"
        ) from error
    return card


def card_metrics(metrics: Json) -> Json:
    """The few of the numbers that go into card.json: those of the test pictures, and those out of fold."""
    keys = ("n", "accuracy", "balanced_accuracy", "macro_f1", "log_loss")
    test, crossed = metrics["splits"]["test"], metrics["cross_validation"]
    numbers = {"split": "test", **{key: test[key] for key in keys}}
    if crossed:
        numbers["cross_validation"] = {key: crossed[key] for key in keys}
    return {**numbers, "leads": metrics["leads"], "baseline": metrics["baseline"], "notes": metrics["notes"]}


def _inputs(folder: RunFolder, config: WorkspaceConfig) -> str:
    """A digest of all that the numbers follow from."""
    try:
        files = [folder.dataset_file.read_bytes(), folder.weights_file.read_bytes()]
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename} does not exist; train first: collect-and-train train") from error
    held_out = folder.oof_file
    files += [held_out.read_bytes()] if held_out.is_file() else []
    digests = [hashlib.sha256(data).hexdigest() for data in files]
    return digest(METRICS_FORMAT, digests, config.seed, config.evaluate.model_dump(), config.clean.cache_side_px)


def _counts(metrics: Json, done: bool) -> StepCounts:
    test = metrics["splits"]["test"]
    right = sum(int(row[place]) for place, row in enumerate(test["confusion"]))
    total = sum(numbers["n"] for numbers in metrics["splits"].values())
    return StepCounts(
        "evaluate",
        done=total if done else 0,
        reused=0 if done else total,
        by_reason={"test pictures": test["n"], "right": right, "wrong": test["n"] - right},
        notes=tuple(metrics["notes"]),
    )
