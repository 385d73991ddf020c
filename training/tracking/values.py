"""What is logged of a run: its frozen settings, the course of its fine-tuning, its scores with intervals, its tags."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from training.fit.history import History
from workspace.config.model import WorkspaceConfig
from workspace.storage.metrics import HeadlineScores, Metrics, Scores, Share
from workspace.storage.run import Run
from workspace.storage.run_folder import RunFolder

RUN_TAG, DIGEST_TAG = "collect_and_train.run_id", "collect_and_train.dataset_sha256"

# Named is what is logged, not what is left out: keys of sources, addresses with a password in them, and the contact of
# `network` can be in no section that is not here.
_SECTIONS = ("clean", "features", "curate", "split", "augment", "train", "evaluate")
_OF_SEARCH = ("per_class", "sources", "licenses", "exclude_licenses")
_NOT_IN_A_NAME = re.compile(r"[^\w.\- :/]")  # MLflow's rule for the names of metrics


@dataclass(frozen=True, slots=True)
class EpochValues:
    """Metrics by name at the end of an epoch, counted from 1."""

    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What is logged of a run.

    Attributes:
        name: for people: workspace and run.
        params: settings by dotted name, as JSON.
        epochs: the course of fine-tuning; empty without.
        metrics: scores by name; the ends of an interval have `_low` and `_high` behind the name.
        tags: run id, digest of the dataset, network, choice.
        artifacts: files: the report, the metrics.
    """

    name: str
    params: Mapping[str, str]
    epochs: tuple[EpochValues, ...]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: tuple[Path, ...]


def tracked_run(run: Run) -> TrackedRun:
    """Read what is logged of an evaluated run.

    Raises:
        ModelError: a file of the run is missing or damaged.
    """
    folder, card = run.folder, run.card()
    metrics, history = Metrics.read(folder.metrics_file), History.read(folder.history_file)
    tags = {
        RUN_TAG: folder.run_id,
        DIGEST_TAG: hashlib.sha256(folder.dataset_file.read_bytes()).hexdigest(),
        "collect_and_train.version": version("collect-and-train"),
        "backbone": card.backbone,
        "weights": card.weights,
        "chosen": card.chosen,
        "regime": card.regime or "",
        "classes": ", ".join(card.classes),
    }
    epochs = tuple(
        EpochValues(row.epoch, {f"fine-tuning/{name}": value for name, value in _numbers(row.model_dump()).items()})
        for row in history.finetune
    )
    name = f"{run.workspace.root.resolve().name} {folder.run_id}"
    return TrackedRun(name, _params(run.config), epochs, _metrics(metrics), tags, _artifacts(folder))


def _params(config: WorkspaceConfig) -> dict[str, str]:
    values: dict[str, object] = {"seed": config.seed, "classes": list(config.classes)}
    for section in _SECTIONS:
        values |= {f"{section}.{key}": value for key, value in getattr(config, section).model_dump(mode="json").items()}
    values |= {f"search.{key}": getattr(config.search, key) for key in _OF_SEARCH}
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in values.items()
    }


def _metrics(metrics: Metrics) -> dict[str, float]:
    found = _scores("test", metrics.test)
    if metrics.cross_validation:
        found |= _scores("cross_validation", metrics.cross_validation)
    if metrics.test_cleaned:
        found |= _scores("test_cleaned", metrics.test_cleaned)
    if metrics.calibration:
        found["calibration/temperature"] = metrics.calibration.temperature
        found["calibration/test_ece"] = metrics.calibration.test_after.ece
    found["baseline/accuracy"] = metrics.baseline.accuracy
    return found


def _scores(name: str, scores: Scores | HeadlineScores) -> dict[str, float]:
    found: dict[str, float] = {f"{name}/pictures": scores.n}
    for measure in ("accuracy", "balanced_accuracy", "macro_f1"):
        share: Share = getattr(scores, measure)
        low, high = share.interval
        found |= {f"{name}/{measure}": share.value, f"{name}/{measure}_low": low, f"{name}/{measure}_high": high}
    if isinstance(scores, Scores):
        found[f"{name}/log_loss"] = scores.log_loss
        recalls = {label: one.recall for label, one in scores.per_class.items()}
        found |= {_NOT_IN_A_NAME.sub("_", f"{name}/recall {k}"): v for k, v in recalls.items() if v is not None}
    return found


def _numbers(row: Mapping[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name != "epoch" and isinstance(value, int | float)}


def _artifacts(folder: RunFolder) -> tuple[Path, ...]:
    return tuple(file for file in (folder.report_file, folder.metrics_file, folder.readme_file) if file.is_file())
