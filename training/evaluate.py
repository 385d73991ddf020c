"""STEP model → metrics.json: the saved model, as it ships, looks once at the validation and the test pictures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from preprocessing.pixels import PixelCache
from preprocessing.split import read_dataset
from training.losses import log_loss
from training.metrics import INTERVAL_METHOD, Labels, Tally, confusion, effective_size, score, standard_error
from training.origin import Origin
from training.predict import CARD_NAME, WEIGHTS_NAME, Classifier
from workspace.config import WorkspaceConfig
from workspace.errors import DatasetError, ModelError
from workspace.paths import RunFolder, Workspace, digest, write_json
from workspace.progress import SILENT, Progress
from workspace.records import Sample, StepCounts

METRICS_FORMAT = 1
"""The version of metrics.json; part of what says whether it is up to date."""

FEW_PICTURES = 100
"""Fewer test pictures come with a warning: at 90 % right the standard error is then more than 3 points."""

_PICTURES_AT_A_TIME = 64  # held in memory, decoded

Json = dict[str, Any]


class Answering(Protocol):
    """What is measured: a training.predict.Classifier, or anything else that answers as it does."""

    classes: tuple[str, ...]

    def probabilities(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Pictures uint8 [h, w, 3] to float32 [n, classes]."""


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Measure the latest run's model; does nothing where these very weights have been measured.

    metrics.json is written last and so says that the card has its numbers too.

    Raises:
        WorkspaceError: there is no run yet.
        ModelError: there is no model yet, it is damaged, or was trained on other classes.
        DatasetError: there are no test pictures.
    """
    folder = workspace.latest_run()
    inputs = _inputs(folder, config)
    there = read_metrics(folder)
    if there and there["inputs"] == inputs and read_card(folder).get("metrics") == card_metrics(there):
        return _counts(there, done=False)
    model = Classifier.load(folder.model, config.train.device)
    metrics: Json = {"format": METRICS_FORMAT, "inputs": inputs, "run_id": folder.run_id}
    metrics |= measure(workspace, config, model, read_dataset(folder.dataset_file), progress)
    metrics["notes"] = [*Origin.from_card(model.card).notes(), *metrics["notes"]]
    write_json(folder.model / CARD_NAME, {**read_card(folder), "metrics": card_metrics(metrics)})
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
        card: Json = json.loads((folder.model / CARD_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise ModelError(f"{folder.model} has no readable {CARD_NAME}; train: collect-and-train train") from error
    return card


def measure(
    workspace: Workspace, config: WorkspaceConfig, model: Answering, samples: Sequence[Sample], progress: Progress
) -> Json:
    """Ask a model about the validation and test pictures, and measure its answers.

    Returns:
        classes, notes, baseline (always answering the class most common in training), interval (how intervals are
        made), and per split its numbers and every answer; see data/README.md.

    Raises:
        ModelError: it does not know the pictures' classes.
        DatasetError: there are no test pictures.
    """
    unknown = sorted({one.label for one in samples} - set(model.classes))
    if unknown:
        known = ", ".join(model.classes)
        raise ModelError(f"the model knows {known}, the dataset has also {', '.join(unknown)}; train again")
    parts = {split: [one for one in samples if one.split == split] for split in ("val", "test")}
    if not parts["test"]:
        raise DatasetError("there are no test pictures, so nothing can be measured; raise split.test and split again")
    progress.begin("Evaluating", len(parts["val"]) + len(parts["test"]))
    cache = PixelCache(workspace, config.clean)
    splits = {}
    for split, part in parts.items():
        if part:
            probabilities = _answers(model, cache, part, progress)
            splits[split] = _split_metrics(part, probabilities, model.classes, config)
    trained = Counter(one.label for one in samples if one.split == "train")
    commonest = max(model.classes, key=lambda name: trained[name])  # the first of equals
    right = splits["test"]["per_class"][commonest]["support"]
    return {
        "classes": list(model.classes),
        "notes": _warnings(splits["test"]),
        "baseline": {"label": commonest, "accuracy": right / splits["test"]["n"]},
        "interval": INTERVAL_METHOD,
        "splits": splits,
    }


def card_metrics(metrics: Json) -> Json:
    """The few of the numbers that go into card.json: those of the test pictures."""
    test = metrics["splits"]["test"]
    keys = ("n", "accuracy", "balanced_accuracy", "macro_f1", "log_loss")
    numbers = {key: test[key] for key in keys}
    return {"split": "test", **numbers, "baseline": metrics["baseline"], "notes": metrics["notes"]}


def _answers(
    model: Answering, cache: PixelCache, part: Sequence[Sample], progress: Progress
) -> npt.NDArray[np.float32]:
    rows = []
    for start in range(0, len(part), _PICTURES_AT_A_TIME):
        batch = part[start : start + _PICTURES_AT_A_TIME]
        rows.append(model.probabilities([cache.read(one.sha256) for one in batch]))
        progress.advance(len(batch))
    return np.concatenate(rows)


def _split_metrics(
    part: Sequence[Sample], probabilities: npt.NDArray[np.float32], classes: tuple[str, ...], config: WorkspaceConfig
) -> Json:
    labels: Labels = np.array([classes.index(one.label) for one in part], dtype=np.int64)
    predicted: Labels = probabilities.argmax(1).astype(np.int64)
    groups = [one.group or one.sha256 for one in part]
    scores = score(labels, predicted, groups, len(classes), config.evaluate.bootstrap, config.seed)
    return {
        "n": len(part),
        "groups": len(set(groups)),
        "effective_n": effective_size(np.array(groups, dtype=np.str_)),
        "accuracy": scores.accuracy.as_json(),
        "balanced_accuracy": scores.balanced_accuracy.as_json(),
        "macro_f1": scores.macro_f1.as_json(),
        "log_loss": log_loss(probabilities, labels),
        "per_class": _per_class(Tally.of(labels, predicted, len(classes)), classes),
        "confusion": confusion(labels, predicted, len(classes)).tolist(),
        "predictions": [
            {
                "sha256": one.sha256,
                "label": one.label,
                "predicted": classes[answer],
                "probability": float(row[answer]),
                "probabilities": [round(float(value), 6) for value in row],
            }
            for one, answer, row in zip(part, predicted, probabilities, strict=True)
        ],
    }


def _per_class(tally: Tally, classes: tuple[str, ...]) -> Json:
    columns = {"precision": tally.precision(), "recall": tally.recall(), "f1": tally.f1()}
    return {
        name: {
            **{key: None if np.isnan(values[place]) else float(values[place]) for key, values in columns.items()},
            "support": int(tally.support[place]),
        }
        for place, name in enumerate(classes)
    }


def _warnings(test: Json) -> list[str]:
    if test["n"] >= FEW_PICTURES:
        return []
    error = standard_error(test["accuracy"]["value"], test["effective_n"])
    return [
        f"The test set has only {test['n']} pictures: one answer more or less moves the accuracy by "
        f"{100 / test['n']:.1f} points, and chance alone moves it by about {100 * error:.1f} (standard error)."
    ]


def _inputs(folder: RunFolder, config: WorkspaceConfig) -> str:
    """A digest of all that the numbers follow from."""
    try:
        files = [folder.dataset_file.read_bytes(), (folder.model / WEIGHTS_NAME).read_bytes()]
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename} does not exist; train first: collect-and-train train") from error
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
