"""STEP metrics → report.html and model/README.md: what was collected, how good the model is, and where it fails."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import jinja2
from PIL import Image

from preprocessing.pixels import PixelCache
from preprocessing.split import read_dataset
from training.charts import line_chart
from training.tally import Tally, tally
from training.train import HISTORY_NAME
from workspace.catalog import Catalog
from workspace.config import WorkspaceConfig
from workspace.errors import ImageRefused, ModelError, WorkspaceError
from workspace.paths import RunFolder, Workspace, write_atomic
from workspace.progress import SILENT, Progress
from workspace.records import Sample, StepCounts

REPORT_VERSION = 1
"""Raised when the page's making changes, so that old reports are written anew."""

THUMB_PX = 132
"""Longer side of a picture in the report: 24 kept pictures of 10 classes are then about 1.5 MB."""

KEPT_SHOWN, DROPPED_SHOWN, MISTAKES_SHOWN, CELL_SHOWN = 24, 60, 24, 12
"""Pictures shown per class, in all dropped, in all wrong, and per cell of the confusion matrix."""


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Write the latest run's report and model card; does nothing where what they say has not changed.

    Raises:
        WorkspaceError: there is no run yet.
        ModelError: the run has no model or was not evaluated.
    """
    folder = workspace.latest_run()
    card, numbers, history = (
        _read(file, step)
        for file, step in (
            (folder.model / "card.json", "train"),
            (folder.metrics_file, "evaluate"),
            (folder.root / HISTORY_NAME, "train"),
        )
    )
    samples = read_dataset(folder.dataset_file)
    with Catalog(workspace.catalog_file) as catalog:
        counted = tally(catalog, numbers["classes"])
    fingerprint = hashlib.sha256(
        repr((REPORT_VERSION, card, numbers, history, counted)).encode() + folder.dataset_file.read_bytes()
    ).hexdigest()[:16]
    notes = (f"report: {folder.report_file}",)
    by_reason = {"pictures credited": len(samples)}
    if folder.report_file.is_file() and _marker(fingerprint) in folder.report_file.read_text(encoding="utf-8")[:2000]:
        return StepCounts("report", 0, 1, by_reason, notes)
    progress.begin("report", None)
    page = Page(workspace, config, folder, card, numbers, history, samples, counted)
    write_atomic(folder.model / "README.md", _render("model_card.md.j2", page.context()).encode())
    page_html = _render("report.html.j2", page.context() | {"marker": _marker(fingerprint)})
    write_atomic(folder.report_file, page_html.encode())
    return StepCounts("report", 1, 0, by_reason, notes)


class Page:
    """Everything that the templates show, gathered from a run's files and the catalogue."""

    def __init__(
        self,
        workspace: Workspace,
        config: WorkspaceConfig,
        folder: RunFolder,
        card: Mapping[str, Any],
        numbers: Mapping[str, Any],
        history: Mapping[str, Any],
        samples: Sequence[Sample],
        counted: Tally,
    ) -> None:
        self._pixels = PixelCache(workspace, config.clean)
        self._name = workspace.root.resolve().name
        self._folder, self._card, self._numbers, self._history = folder, card, numbers, history
        self._samples = samples
        self._by_sha = {(sample.sha256, sample.label): sample for sample in samples}
        self._tally = counted
        self._thumb = cache(self._make_thumb)

    def context(self) -> dict[str, Any]:
        """The templates' variables."""
        classes = self._numbers["classes"]
        return {
            "name": self._name,
            "run_id": self._folder.run_id,
            "classes": classes,
            "card": self._card,
            "test": self._numbers["splits"]["test"],
            "val": self._numbers["splits"]["val"],
            "baseline": self._numbers["baseline"],
            "notes": self._numbers["notes"],
            "warning": self._warning(),
            "tally": self._tally,
            "split": {part: self._split(part) for part in ("train", "val", "test")},
            "kept": {label: self._kept(label) for label in classes},
            "kept_total": {label: sum(one.label == label for one in self._samples) for label in classes},
            "dropped": [self._dropped(one) for one in self._dropped_shown()],
            "cells": self._cells(),
            "mistakes": self._mistakes()[:MISTAKES_SHOWN],
            "mistakes_total": len(self._mistakes()),
            "history": self._history,
            "charts": self._charts(),
            "licenses": self._licenses(),
            "credits": [self._credit(sample) for sample in self._samples],
            "settings": self._folder.config_file.read_text(encoding="utf-8"),
        }

    def _warning(self) -> str:
        """What the report's first line must say before any number."""
        card, parts = self._card, []
        if card["weights"] == "random":
            parts.append("The network started from random weights, so the accuracy means nothing.")
        if card["fallback_reason"]:
            parts.append(
                f"{card['backbone']} was used in place of {card['requested_backbone']}: its weights were missing."
            )
        return " ".join(parts)

    def _split(self, part: str) -> dict[str, int]:
        counts = {label: 0 for label in self._numbers["classes"]}
        for sample in self._samples:
            if sample.split == part:
                counts[sample.label] += 1
        return counts

    def _kept(self, label: str) -> list[dict[str, str]]:
        own = sorted((one for one in self._samples if one.label == label), key=lambda one: one.sha256)
        return [self._tile(one.sha256, label, one.title, one.page_url) for one in own[:KEPT_SHOWN]]

    def _dropped_shown(self) -> list[Any]:
        """Some of every reason: the reasons take turns, so that a rare one is not crowded out."""
        queues: dict[str, list[Any]] = defaultdict(list)
        for one in self._tally.dropped_pictures:
            queues[one.reason].append(one)
        shown: list[Any] = []
        while len(shown) < DROPPED_SHOWN and any(queues.values()):
            for reason in self._tally.dropped:
                if queues[reason] and len(shown) < DROPPED_SHOWN:
                    shown.append(queues[reason].pop(0))
        return sorted(shown, key=lambda one: (one.reason, one.label, one.sha256))

    def _dropped(self, one: Any) -> dict[str, str]:
        tile = self._tile(one.sha256 if one.decodable else "", one.label, one.hit.title, one.hit.page_url)
        other = one.stands_for if one.stands_for != one.sha256 else ""
        return tile | {"reason": one.reason, "url": one.hit.image_url, "other": self._thumb(other)}

    def _cells(self) -> list[list[dict[str, Any]]]:
        """The confusion matrix: count, share of the row, and pictures of each cell."""
        classes = self._numbers["classes"]
        pictures: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for row in self._numbers["splits"]["test"]["predictions"]:
            pictures[row["label"], row["predicted"]].append(row)
        matrix = self._numbers["splits"]["test"]["confusion"]
        return [
            [
                {
                    "count": count,
                    "share": count / max(1, sum(matrix[i])),
                    "pictures": [self._answer(row) for row in pictures[classes[i], classes[j]][:CELL_SHOWN]],
                }
                for j, count in enumerate(matrix[i])
            ]
            for i in range(len(classes))
        ]

    def _mistakes(self) -> list[dict[str, Any]]:
        """Wrong answers on the test pictures, the surest first."""
        rows = [row for row in self._numbers["splits"]["test"]["predictions"] if row["label"] != row["predicted"]]
        return [self._answer(row) for row in sorted(rows, key=lambda row: (-row["probability"], row["sha256"]))]

    def _answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        sample = self._by_sha[row["sha256"], row["label"]]
        return self._tile(sample.sha256, sample.label, sample.title, sample.page_url) | {
            "predicted": row["predicted"],
            "probability": row["probability"],
        }

    def _charts(self) -> dict[str, str]:
        rows = self._history["finetune"]
        if not rows:
            return {}
        loss = {"training loss": [row["loss"] for row in rows], "validation loss": [row["val_loss"] for row in rows]}
        return {
            "loss": line_chart(loss, label="training and validation loss by epoch"),
            "accuracy": line_chart(
                {"balanced validation accuracy": [row["val_accuracy"] for row in rows]},
                label="balanced validation accuracy by epoch",
            ),
        }

    def _licenses(self) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for sample in self._samples:
            counts[sample.license or "not known"] += 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def _credit(self, sample: Sample) -> dict[str, str]:
        return {
            "title": sample.title or sample.sha256[:12],
            "creator": sample.creator or "not known",
            "license": sample.license or "not known",
            "license_url": web_address(sample.license_url),
            "page_url": web_address(sample.page_url) or web_address(sample.image_url),
            "source": sample.source,
            "label": sample.label,
            "split": sample.split,
        }

    def _tile(self, sha256: str, label: str, title: str, page_url: str) -> dict[str, str]:
        return {"thumb": self._thumb(sha256), "label": label, "title": title, "page_url": web_address(page_url)}

    def _make_thumb(self, sha256: str) -> str:
        """A picture as a data address; empty for one that cannot be shown."""
        if not sha256:
            return ""
        try:
            picture = Image.fromarray(self._pixels.read(sha256))
        except (ImageRefused, WorkspaceError):
            return ""
        picture.thumbnail((THUMB_PX, THUMB_PX))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=75)
        return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def web_address(url: str) -> str:
    """The url if it is an http or https one, else nothing: addresses come from strangers and become links."""
    try:
        return url if urlsplit(url).scheme in {"http", "https"} else ""
    except ValueError:
        return ""


def _render(template: str, context: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("training", "."),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)


def _marker(fingerprint: str) -> str:
    return f'<meta name="fingerprint" content="{fingerprint}">'


def _read(file: Any, step: str) -> dict[str, Any]:
    if not file.is_file():
        raise ModelError(f"{file} is missing; make it with: collect-and-train {step}")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
