"""What the report tells: a run's files and the catalogue, arranged for the templates."""

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
from training.report.collection_stats import Collected, Dropped
from training.report.thumbnails import Thumbnails, Tile, license_name, web_address
from workspace.catalog.records import Sample
from workspace.reasons import order_of, words_for
from workspace.storage.metrics import CalibrationScores, Metrics, Prediction
from workspace.storage.model_card import ModelCard

KEPT_PER_CLASS, KEPT_IN_ALL = 24, 300
"""Kept pictures shown of a class, and of all classes together (but 4 of each)."""

DROPPED_SHOWN, MISTAKES_SHOWN = 60, 18

RIGHT_PER_CELL, WRONG_PER_CELL, WRONG_IN_ALL = 6, 12, 150
"""Pictures behind one number of the confusion matrix."""

MATRIX_CLASSES = 25
"""With more classes a matrix is no longer readable; the commonest confusions are listed instead."""

CONFUSIONS_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that the report and the model card are made of, but for the pixels.

    `regime` is None where the run has no regime.json; `settings` is the run's TOML.
    """

    name: str
    run_id: str
    card: ModelCard
    metrics: Metrics
    history: History
    samples: Sequence[Sample]
    collected: Collected
    settings: str
    regime: RegimeRecord | None

    @property
    def classes(self) -> list[str]:
        """In the order of the model's answers."""
        return list(self.metrics.classes)


def facts(story: Story) -> dict[str, Any]:
    """What both the report and the model card say in words and numbers."""
    origin = Origin.from_card(story.card).notes()
    splits = Counter((one.label, one.split) for one in story.samples)
    licences = Counter(license_name(one.license, one.license_url) for one in story.samples)
    return {
        "name": story.name,
        "run_id": story.run_id,
        "classes": story.classes,
        "card": story.card,
        "metrics": story.metrics,
        "test": story.metrics.test,
        "val": story.metrics.splits.get("val"),
        "crossed": story.metrics.cross_validation,
        "lead": story.metrics.leading,
        "crossed_leads": story.metrics.leads == "cross_validation",
        "test_cleaned": story.metrics.test_cleaned,
        "rejection": story.metrics.rejection,
        "calibration": story.metrics.calibration,
        "history": story.history,
        "kept_words": _kept_words(story.card),
        "shipped_part": BOTH if story.card.tuned_stages else HEAD,
        "warnings": origin,
        "notes": [note for note in story.metrics.notes if note not in origin],
        "splits": {label: {part: splits[label, part] for part in ("train", "val", "test")} for label in story.classes},
        "used": len(story.samples),
        "licences": sorted(licences.items(), key=lambda item: (-item[1], item[0])),
        "sources": sorted(Counter(one.source for one in story.samples).items()),
        "days": story.collected.days,
    }


def page(story: Story, thumbnails: Thumbnails, sheet: str = "") -> dict[str, Any]:
    """All variables of the report's template; `sheet` shows augmented pictures, as a data address."""
    by_key = {(one.sha256, one.label): one for one in story.samples}
    wrong = worst_mistakes(story.metrics.leading)
    maps = {(one.sha256, one.label): one.map for one in story.metrics.gradcam}
    cells = _cells(story, by_key, thumbnails)
    return facts(story) | {
        "collected": story.collected,
        "reason_words": words_for,
        "kept": _kept(story, thumbnails),
        "dropped": _dropped(story.collected.dropped, thumbnails),
        "dropped_shown": min(DROPPED_SHOWN, len(story.collected.dropped)),
        "cells": cells,
        "as_matrix": len(story.classes) <= MATRIX_CLASSES,
        "confused": _confused(story.classes, cells),
        "mistakes": [
            _answer(row, by_key, thumbnails) | {"seen": _seen(row, maps, story.card, thumbnails)}
            for row in wrong[:MISTAKES_SHOWN]
        ],
        "reliability": _reliability(story.metrics.calibration),
        "regime": story.regime,
        "sheet": sheet,
        "wrong": len(wrong),
        "charts": _charts(story.history),
        "credits": [_credit(one) for one in sorted(story.samples, key=lambda one: (one.label, one.sha256))],
        "settings": story.settings,
    }


def _kept(story: Story, thumbnails: Thumbnails) -> list[dict[str, Any]]:
    limit = max(4, min(KEPT_PER_CLASS, KEPT_IN_ALL // max(1, len(story.classes))))
    sheets = []
    for label in story.classes:
        own = sorted((one for one in story.samples if one.label == label), key=lambda one: one.sha256)
        tiles = [_tile(one, thumbnails) for one in own[:limit]]
        sheets.append({"label": label, "tiles": tiles, "total": len(own)})
    return sheets


def _dropped(dropped: Sequence[Dropped], thumbnails: Thumbnails) -> list[dict[str, Any]]:
    """By reason; when there are too many, reasons take turns so that a rare one is not crowded out."""
    queues: dict[str, list[Dropped]] = defaultdict(list)
    for one in dropped:
        queues[one.reason].append(one)
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
            "pairs": [_pair(one, thumbnails) for one in queues[reason][: share[reason]]],
        }
        for reason in order
        if queues[reason]
    ]


def _pair(one: Dropped, thumbnails: Thumbnails) -> dict[str, Any]:
    title = one.hit.title or "untitled"
    link = web_address(one.hit.page_url, one.hit.image_url)
    src = "" if one.detail else thumbnails.address(one.sha256)
    # Without a picture the tile tells what was wrong and where it came from.
    lines = (one.label,) if src else (one.label, one.detail, one.hit.image_url)
    kept = thumbnails.address(one.copy_of) if one.copy_of else ""
    return {
        "tile": Tile(src, f"dropped from {one.label}: {title}", link, lines),
        "kept": Tile(kept, f"the copy that stays in place of: {title}", "") if kept else None,
    }


def _cells(
    story: Story, by_key: Mapping[tuple[str, str], Sample], thumbnails: Thumbnails
) -> list[list[dict[str, Any]]]:
    """The confusion matrix: count, share of its row, and the least sure right or the surest wrong pictures."""
    rows: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    lead = story.metrics.leading
    for row in lead.predictions:
        rows[row.label, row.predicted].append(row)
    left = WRONG_IN_ALL
    cells = []
    for true, counts in zip(story.classes, lead.confusion, strict=True):
        line = []
        for answer, count in zip(story.classes, counts, strict=True):
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
    """The commonest confusions, for so many classes that a matrix cannot be read."""
    pairs = [
        {"i": i, "j": j, "label": classes[i], "predicted": classes[j], "count": cell["count"]}
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if i != j and cell["count"]
    ]
    return sorted(pairs, key=lambda pair: (-pair["count"], pair["i"], pair["j"]))[:CONFUSIONS_SHOWN]


def _answer(row: Prediction, by_key: Mapping[tuple[str, str], Sample], thumbnails: Thumbnails) -> dict[str, Any]:
    sample = by_key[row.sha256, row.label]
    return {
        "tile": _tile(sample, thumbnails),
        "label": row.label,
        "predicted": row.predicted,
        "probability": row.probability,
        "title": sample.title,
    }


def _seen(
    row: Prediction,
    maps: Mapping[tuple[str, str], tuple[tuple[float, ...], ...]],
    card: ModelCard,
    thumbnails: Thumbnails,
) -> str:
    """What spoke for the answer, as a data address; empty where that is not known."""
    shares = maps.get((row.sha256, row.predicted))
    if shares is None:
        return ""
    return thumbnails.spotlight(row.sha256, shares, card.input.resize_px, card.input.crop_px)


def _reliability(calibration: CalibrationScores | None) -> dict[str, tuple[Dot, ...]]:
    if calibration is None:
        return {}
    return {"before": reliability_dots(calibration.before.bins), "after": reliability_dots(calibration.after.bins)}


def _tile(sample: Sample, thumbnails: Thumbnails) -> Tile:
    alt = f"{sample.label}: {sample.title or 'untitled'}"
    return Tile(thumbnails.address(sample.sha256), alt, web_address(sample.page_url, sample.image_url))


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
        "license": license_name(sample.license, sample.license_url),
        "license_url": web_address(sample.license_url),
        "source": sample.source,
        "label": sample.label,
        "split": sample.split,
    }
