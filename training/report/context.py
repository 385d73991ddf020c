"""The variables of the templates: a run's files and the catalogue, arranged for the report and the model card."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluation.metrics_json import worst_mistakes
from training.fit.choice import BOTH, HEAD
from training.fit.history import History
from training.fit.regime import RegimeRecord
from training.network.weights_origin import Origin
from training.report.charts import Chart, Dot, line_chart, reliability_dots
from training.report.explained import baseline_shares, refused, regime_words, shipping_rule
from training.report.folder_names import without_folders
from training.report.thumbnails import Thumbnail, ThumbnailCache
from workspace.catalog.collection_stats import CollectionStats, Dropped
from workspace.catalog.records import Sample
from workspace.licenses import license_title, web_address
from workspace.reasons import order_of, words_for
from workspace.storage.metrics import CalibrationScores, LabelledPrediction, Metrics
from workspace.storage.model_card import ModelCard

KEPT_PER_CLASS, KEPT_IN_ALL = 24, 300
"""Kept images shown per class, and of all classes together (but at least 4 per class)."""

DROPPED_SHOWN, MISTAKES_SHOWN = 60, 18

RIGHT_PER_CELL, WRONG_PER_CELL, WRONG_IN_ALL = 6, 12, 150
"""Images shown per cell of the confusion matrix, and of all wrong cells together."""

MATRIX_CLASSES = 25
"""With more classes a matrix is no longer readable; the most frequent confusions are listed instead."""

CONFUSIONS_SHOWN = 40


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that the report and the model card show, but for the pixels.

    `regime` is None where the run has no regime.json; `stages` names its stages for people; `settings` is the run's
    TOML;
    `neighbour_recall` the share of the nearest neighbours that the last search for edited copies found.
    """

    name: str
    run_id: str
    card: ModelCard
    metrics: Metrics
    history: History
    samples: Sequence[Sample]
    collected: CollectionStats
    settings: str
    regime: RegimeRecord | None
    stages: Mapping[str, str]
    neighbour_recall: float = 1.0

    @property
    def classes(self) -> list[str]:
        """In the order of the model's answers."""
        return list(self.metrics.classes)


def card_context(data: ReportData) -> dict[str, Any]:
    """Build the variables that the report and the model card share."""
    origin = Origin.from_card(data.card).notes()
    splits = Counter((sample.label, sample.split) for sample in data.samples)
    licences = Counter(license_title(sample.license, sample.license_url) for sample in data.samples)
    return {
        "name": data.name,
        "run_id": data.run_id,
        "classes": data.classes,
        "card": data.card,
        "metrics": data.metrics,
        "test": data.metrics.test,
        "val": data.metrics.splits.get("val"),
        "crossed": data.metrics.cross_validation,
        "lead": data.metrics.leading,
        "crossed_leads": data.metrics.leads == "cross_validation",
        "test_cleaned": data.metrics.test_cleaned,
        "rejection": data.metrics.rejection,
        "negatives": data.metrics.negatives,
        "calibration": data.metrics.calibration,
        "history": data.history,
        "kept_words": _kept_words(data.card),
        "shipped_part": BOTH if data.card.tuned_stages else HEAD,
        "weights_source": without_folders(data.card.weights_source),
        "baseline": baseline_shares(data.metrics),
        "warnings": [without_folders(note) for note in origin],
        "notes": [note for note in data.metrics.notes if note not in origin],
        "splits": {label: {part: splits[label, part] for part in ("train", "val", "test")} for label in data.classes},
        "used": len(data.samples),
        "licences": sorted(licences.items(), key=lambda item: (-item[1], item[0])),
        "sources": sorted(Counter(sample.source for sample in data.samples).items()),
        "days": data.collected.days,
    }


def report_context(data: ReportData, thumbnails: ThumbnailCache, sheet: str = "") -> dict[str, Any]:
    """Build all variables of the report's template; `sheet` shows augmented views, as a data URL."""
    by_key = {(sample.sha256, sample.label): sample for sample in data.samples}
    wrong, none = worst_mistakes(data.metrics.leading), refused(data.metrics)
    maps = {(sample.sha256, sample.label): sample.map for sample in data.metrics.gradcam}
    cells = _cells(data, by_key, thumbnails)
    return card_context(data) | {
        "collected": data.collected,
        "neighbour_recall": data.neighbour_recall,
        "reason_words": words_for,
        "kept": _kept(data, thumbnails),
        "dropped": _dropped(data.collected.dropped, thumbnails),
        "dropped_shown": min(DROPPED_SHOWN, len(data.collected.dropped)),
        "cells": cells,
        "as_matrix": len(data.classes) <= MATRIX_CLASSES,
        "confused": _confused(data.classes, cells),
        "mistakes": [
            _answer(row, by_key, thumbnails)
            | {"seen": _seen(row, maps, data.card, thumbnails), "none": (row.sha256, row.label) in none}
            for row in wrong[:MISTAKES_SHOWN]
        ],
        "reliability": _reliability(data.metrics.calibration),
        "wrong_none": sum((row.sha256, row.label) in none for row in wrong),
        "regime": data.regime,
        "regime_words": regime_words(data.regime),
        "stages": data.stages,
        "rule": shipping_rule(data.card, data.history),
        "sheet": sheet,
        "wrong": len(wrong),
        "charts": _charts(data.history),
        "credits": [
            _credit(sample) for sample in sorted(data.samples, key=lambda sample: (sample.label, sample.sha256))
        ],
        "settings": data.settings,
    }


def _kept(data: ReportData, thumbnails: ThumbnailCache) -> list[dict[str, Any]]:
    limit = max(4, min(KEPT_PER_CLASS, KEPT_IN_ALL // max(1, len(data.classes))))
    sheets = []
    for label in data.classes:
        own = sorted((sample for sample in data.samples if sample.label == label), key=lambda sample: sample.sha256)
        tiles = [_thumbnail(sample, thumbnails) for sample in own[:limit]]
        sheets.append({"label": label, "tiles": tiles, "total": len(own)})
    return sheets


def _dropped(dropped: Sequence[Dropped], thumbnails: ThumbnailCache) -> list[dict[str, Any]]:
    """Group dropped images by reason; where there are too many, each reason gets an equal share of the places."""
    queues: dict[str, list[Dropped]] = defaultdict(list)
    for image in dropped:
        queues[image.reason].append(image)
    order = sorted(queues, key=order_of)
    share = dict.fromkeys(order, 0)
    left = DROPPED_SHOWN
    while left and any(share[reason] < len(queue) for reason, queue in queues.items()):
        for reason in order:
            if left and share[reason] < len(queues[reason]):
                share[reason] += 1
                left -= 1
    return [
        {
            "reason": reason,
            "total": len(queues[reason]),
            "pairs": [_pair(image, thumbnails) for image in queues[reason][: share[reason]]],
        }
        for reason in order
        if queues[reason]
    ]


def _pair(image: Dropped, thumbnails: ThumbnailCache) -> dict[str, Any]:
    title = image.hit.title or "untitled"
    link = web_address(image.hit.page_url, image.hit.image_url)
    src = "" if image.detail else thumbnails.data_url(image.sha256)
    # Without an image the tile says what was wrong with the file and where it came from.
    lines = (image.label,) if src else (image.label, image.detail, image.hit.image_url)
    kept = thumbnails.data_url(image.copy_of) if image.copy_of else ""
    return {
        "tile": Thumbnail(src, f"dropped from {image.label}: {title}", link, lines),
        "kept": Thumbnail(kept, f"the copy that was kept instead of: {title}", "") if kept else None,
    }


def _cells(
    data: ReportData, by_key: Mapping[tuple[str, str], Sample], thumbnails: ThumbnailCache
) -> list[list[dict[str, Any]]]:
    """Build the confusion matrix: count, share of its row, and images barely right or confidently wrong."""
    rows: dict[tuple[str, str], list[LabelledPrediction]] = defaultdict(list)
    lead = data.metrics.leading
    for row in lead.predictions:
        rows[row.label, row.predicted].append(row)
    left = WRONG_IN_ALL
    cells = []
    for true, counts in zip(data.classes, lead.confusion, strict=True):
        line = []
        for answer, count in zip(data.classes, counts, strict=True):
            right = true == answer
            limit = RIGHT_PER_CELL if right else min(WRONG_PER_CELL, left)
            sign = 1 if right else -1
            chosen = sorted(rows[true, answer], key=lambda row: (sign * row.probability, row.sha256))[:limit]
            left -= 0 if right else len(chosen)
            tiles = [_answer(row, by_key, thumbnails) for row in chosen]
            line.append({"count": count, "share": count / max(1, sum(counts)), "right": right, "tiles": tiles})
        cells.append(line)
    return cells


def _confused(classes: Sequence[str], cells: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """List the most frequent confusions, for more classes than a matrix can show."""
    pairs = [
        {"i": i, "j": j, "label": classes[i], "predicted": classes[j], "count": cell["count"]}
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if i != j and cell["count"]
    ]
    return sorted(pairs, key=lambda pair: (-pair["count"], pair["i"], pair["j"]))[:CONFUSIONS_SHOWN]


def _answer(
    row: LabelledPrediction, by_key: Mapping[tuple[str, str], Sample], thumbnails: ThumbnailCache
) -> dict[str, Any]:
    sample = by_key[row.sha256, row.label]
    return {
        "tile": _thumbnail(sample, thumbnails),
        "label": row.label,
        "predicted": row.predicted,
        "probability": row.probability,
        "title": sample.title,
    }


def _seen(
    row: LabelledPrediction,
    maps: Mapping[tuple[str, str], tuple[tuple[float, ...], ...]],
    card: ModelCard,
    thumbnails: ThumbnailCache,
) -> str:
    """Draw the heat map of the evidence for an answer, as a data URL; empty where there is none."""
    shares = maps.get((row.sha256, row.predicted))
    if shares is None:
        return ""
    return thumbnails.spotlight(row.sha256, shares, card.input.resize_px, card.input.crop_px)


def _reliability(calibration: CalibrationScores | None) -> dict[str, tuple[Dot, ...]]:
    if calibration is None:
        return {}
    return {"before": reliability_dots(calibration.before.bins), "after": reliability_dots(calibration.after.bins)}


def _thumbnail(sample: Sample, thumbnails: ThumbnailCache) -> Thumbnail:
    alt = f"{sample.label}: {sample.title or 'untitled'}"
    return Thumbnail(thumbnails.data_url(sample.sha256), alt, web_address(sample.page_url, sample.image_url))


def _kept_words(card: ModelCard) -> str:
    if card.tuned_stages:
        return "the average of the linear head and a fine-tuned copy of the last stages"
    return "the linear head on the frozen backbone" if card.chosen == "head" else "the fine-tuned network"


def _charts(history: History) -> list[Chart]:
    rows, head = history.finetune, history.head
    if not rows:
        return []
    epochs = [row.epoch for row in rows]
    losses = {"training": [row.loss for row in rows]}
    val_losses = [row.val_loss for row in rows if row.val_loss is not None]
    val_accuracies = [row.val_accuracy for row in rows if row.val_accuracy is not None]
    if len(val_losses) < len(rows):  # asked at the last epoch alone, as the table of parts says
        return [chart for chart in (line_chart("Log-loss while fine-tuning", epochs, losses),) if chart]
    losses["validation"], accuracies = val_losses, {"validation": val_accuracies}
    name = "linear head, validation"
    charts = (
        line_chart("Log-loss", epochs, losses, None if head.val_loss is None else (name, head.val_loss)),
        line_chart(
            "Balanced accuracy", epochs, accuracies, None if head.val_accuracy is None else (name, head.val_accuracy)
        ),
    )
    return [chart for chart in charts if chart]


def _credit(sample: Sample) -> dict[str, str]:
    return {
        "title": sample.title or "untitled",
        "page": web_address(sample.page_url, sample.image_url),
        "creator": sample.creator or "not stated",
        "license": license_title(sample.license, sample.license_url),
        "license_url": web_address(sample.license_url),
        "source": sample.source,
        "label": sample.label,
        "split": sample.split,
    }
