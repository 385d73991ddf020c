"""STEP model → metrics.json: the saved model, as it ships, on pictures that it was not trained on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.pixels import PixelCache
from preprocessing.split import read_dataset
from training import metrics
from training.metrics import Measure
from training.predict import CARD_NAME, WEIGHTS_NAME, Classifier
from workspace.config import WorkspaceConfig
from workspace.errors import ModelError
from workspace.paths import RunFolder, Workspace, write_json
from workspace.progress import SILENT, Progress
from workspace.records import Sample, StepCounts

FEW_PICTURES = 100
"""Below so many test pictures the report says how little they prove."""

SPLITS = ("val", "test")

Probabilities = npt.NDArray[np.float32]


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Measure the latest run's model on validation and test; does nothing where this model was measured.

    Raises:
        WorkspaceError: there is no run yet.
        ModelError: there is no model, or it is damaged.
    """
    folder = workspace.latest_run()
    measured = _read_metrics(folder)
    fingerprint = _fingerprint(folder, config)
    if measured.get("fingerprint") == fingerprint:
        return _counts(measured, done=0)
    classifier = Classifier.load(folder.model, config.train.device)
    samples = read_dataset(folder.dataset_file)
    pixels = PixelCache(workspace, config.clean)
    progress.begin("evaluating", sum(sample.split in SPLITS for sample in samples))
    splits = {}
    for split in SPLITS:
        chosen = [sample for sample in samples if sample.split == split]
        splits[split] = _measure(classifier, chosen, pixels, config, progress)
    result = {
        "fingerprint": fingerprint,
        "classes": list(classifier.classes),
        "splits": splits,
        "baseline": _baseline(samples),
        "notes": _notes(classifier.card, splits["test"]),
    }
    _add_to_card(folder, splits["test"])
    write_json(folder.metrics_file, result)  # last: its fingerprint says that all of it is done
    for note in result["notes"]:
        progress.say(note)
    return _counts(result, done=1)


def _measure(
    classifier: Classifier, samples: Sequence[Sample], pixels: PixelCache, config: WorkspaceConfig, progress: Progress
) -> dict[str, Any]:
    size = config.features.batch_size
    rows = [np.zeros((0, len(classifier.classes)), np.float32)]
    for start in range(0, len(samples), size):
        batch = samples[start : start + size]
        rows.append(classifier.probabilities([pixels.read(sample.sha256) for sample in batch]))
        progress.advance(len(batch))
    return measure(classifier.classes, samples, np.concatenate(rows), draws=config.evaluate.bootstrap, seed=config.seed)


def measure(
    classes: Sequence[str], samples: Sequence[Sample], probabilities: Probabilities, *, draws: int, seed: int
) -> dict[str, Any]:
    """Every number of one split.

    Args:
        classes: in the order of the columns.
        samples: the pictures.
        probabilities: float32 [n, classes], a row per sample.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        What data/README.md describes under metrics.json. Accuracy has Wilson's interval where every picture is a
        group of its own, else the wider of Wilson's and the bootstrap's over groups; the other two the bootstrap's.
    """
    labels = np.array([classes.index(sample.label) for sample in samples], dtype=np.int64)
    predicted = probabilities.argmax(1)
    groups = np.array([sample.group or sample.sha256 for sample in samples])
    matrix = metrics.confusion(labels, predicted, len(classes))
    drawn = metrics.bootstrap(metrics.group_matrices(labels, predicted, groups, len(classes)), draws, seed)
    low, high = metrics.wilson(int(np.trace(matrix)), len(samples))
    plain = _interval(metrics.accuracy(matrix), metrics.accuracy(drawn))
    if len(set(groups)) < len(samples):
        low, high = min(low, plain.low), max(high, plain.high)
    picked = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), 1e-7, 1)
    return {
        "n": len(samples),
        "groups": len(set(groups)),
        "accuracy": Measure(plain.value, low, high).as_json(),
        "balanced_accuracy": _interval(metrics.balanced_accuracy(matrix), metrics.balanced_accuracy(drawn)).as_json(),
        "macro_f1": _interval(metrics.macro_f1(matrix), metrics.macro_f1(drawn)).as_json(),
        "log_loss": float(-np.log(picked).mean()),
        "per_class": dict(zip(classes, metrics.per_class(matrix), strict=True)),
        "confusion": matrix.tolist(),
        "predictions": [
            {
                "sha256": sample.sha256,
                "label": sample.label,
                "predicted": classes[int(answer)],
                "probability": float(row[answer]),
                "probabilities": [round(float(value), 6) for value in row],
            }
            for sample, answer, row in zip(samples, predicted, probabilities, strict=True)
        ],
    }


def _interval(value: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64]) -> Measure:
    low, high = np.percentile(drawn, metrics.INTERVAL)
    return Measure(float(value), float(low), float(high))


def _baseline(samples: Sequence[Sample]) -> dict[str, Any]:
    """What always answering the training set's commonest class would reach on the test pictures."""
    label = Counter(sample.label for sample in samples if sample.split == "train").most_common(1)[0][0]
    test = [sample.label for sample in samples if sample.split == "test"]
    return {"label": label, "accuracy": sum(one == label for one in test) / max(1, len(test))}


def _notes(card: dict[str, Any], test: dict[str, Any]) -> list[str]:
    notes = []
    if card["weights"] == "random":
        notes.append(
            "The network started from random weights: these numbers show that the path works, and nothing else."
        )
    if test["n"] < FEW_PICTURES:
        share = test["accuracy"]["value"]
        error = (max(share * (1 - share), 0.09) / max(1, test["n"])) ** 0.5
        notes.append(
            f"The test set has {test['n']} pictures: its accuracy is uncertain by about {100 * error:.0f} points "
            "either way (one standard error). More pictures per class make it surer."
        )
    return notes


def _add_to_card(folder: RunFolder, test: dict[str, Any]) -> None:
    file = folder.model / CARD_NAME
    card = json.loads(file.read_text(encoding="utf-8"))
    card["metrics"] = {key: test[key] for key in ("n", "accuracy", "balanced_accuracy", "macro_f1", "log_loss")}
    write_json(file, card)


def _fingerprint(folder: RunFolder, config: WorkspaceConfig) -> str:
    """Names the model's bytes and how they are measured."""
    weights = folder.model / WEIGHTS_NAME
    if not weights.is_file():
        raise ModelError(f"{folder.model} has no model yet; train one with: collect-and-train train")
    settings = f"{config.evaluate.model_dump_json()}{config.seed}"
    return hashlib.sha256(weights.read_bytes() + folder.dataset_file.read_bytes() + settings.encode()).hexdigest()[:16]


def _read_metrics(folder: RunFolder) -> dict[str, Any]:
    if not folder.metrics_file.is_file():
        return {}
    result: dict[str, Any] = json.loads(folder.metrics_file.read_text(encoding="utf-8"))
    return result


def _counts(result: dict[str, Any], done: int) -> StepCounts:
    test = result["splits"]["test"]
    right = sum(row["label"] == row["predicted"] for row in test["predictions"])
    by_reason = {"test pictures": test["n"], "right": right, "wrong": test["n"] - right}
    return StepCounts("evaluate", done, 1 - done, by_reason, tuple(result["notes"]))
