"""STEP metrics → report.html, model/README.md (the model card) and credits."""

from __future__ import annotations

import re

from PIL import Image

from preprocessing.curate import neighbour_recall
from preprocessing.images.pixel_cache import PixelCache
from training.fit.history import History
from training.fit.regime import RegimeRecord
from training.network.views import sheet
from training.report.context import ReportData, card_context, report_context
from training.report.credits import write_credits
from training.report.explained import stage_titles
from training.report.folder_names import settings_without_folders
from training.report.templates import render, template_texts
from training.report.thumbnails import ThumbnailCache, jpeg_data_url
from training.tracking.track import track
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.hits.questions import Questions
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.digest import digest
from workspace.files.atomic import write_atomic
from workspace.progress import SILENT, Progress
from workspace.storage.metrics import Metrics
from workspace.storage.paths import Workspace
from workspace.storage.run import Run, open_run
from workspace.storage.run_folder import RunFolder

REPORT_VERSION = 5
"""Raised when the code that makes the page changes, so that reports are written anew; templates are in the digest."""

SHEET_ROWS = 5
"""Training images whose augmented views are shown."""

_HEAD_BYTES = 1000  # the page's digest is at its start


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Write the latest run's report and model card; does nothing where nothing that they show has changed.

    Raises:
        WorkspaceError: there is no run yet, or it cannot be written.
        ModelError: the run has no model, or was not evaluated.
        DatasetError: its dataset cannot be read.
    """
    frozen = open_run(workspace)
    folder, config = frozen.folder, frozen.settings(config, progress)
    data = _read(frozen, Questions.of(config))
    write_credits(folder, data.samples)
    readme = render("model_card.md.j2", card_context(data)).encode()
    mark = _mark(data)
    unchanged = _is_written(folder, mark, readme)
    if not unchanged:
        progress.begin("Writing the report", None)
        thumbnails = ThumbnailCache(PixelCache(workspace, config.clean))
        html = render(
            "report.html.j2", {**report_context(data, thumbnails, _sheet(data, thumbnails.cache)), "mark": mark}
        )
        write_atomic(folder.readme_file, readme)
        write_atomic(folder.report_file, html.encode())
    track(frozen, config, progress)
    workspace.keep(folder)
    return StepCounts(
        "report",
        done=int(not unchanged),
        reused=int(unchanged),
        by_reason={"pictures credited": len(data.samples)},
        notes=(f"report: {folder.report_file}", f"model card: {folder.readme_file}"),
    )


def _read(frozen: Run, questions: Questions) -> ReportData:
    workspace, folder = frozen.workspace, frozen.folder
    card, metrics = frozen.card(), Metrics.read(folder.metrics_file)
    regime = RegimeRecord.read_if_present(folder.regime_file)
    with workspace.open_catalog() as catalog:
        collected = read_collection_stats(catalog, metrics.classes, questions)
    return ReportData(
        name=workspace.root.resolve().name,
        run_id=folder.run_id,
        card=card,
        metrics=metrics,
        history=History.read(folder.history_file),
        samples=frozen.samples(),
        collected=collected,
        settings=_settings(folder),
        regime=regime,
        stages=stage_titles(folder.weights_file, list(regime.diagnosis.probes) if regime and regime.diagnosis else []),
        neighbour_recall=neighbour_recall(workspace),
    )


def _sheet(data: ReportData, cache: PixelCache) -> str:
    """Draw augmented views of the first training image of a few classes, as a data URL; empty where unknown."""
    first = {sample.label: sample.sha256 for sample in reversed(data.samples) if sample.split == "train"}
    shown = [first[label] for label in sorted(first)[:SHEET_ROWS]]
    drawn = sheet([(sha256, cache.read(sha256)) for sha256 in shown], data.card)
    return "" if drawn is None else jpeg_data_url(Image.fromarray(drawn))


def _settings(folder: RunFolder) -> str:
    """Read the run's settings without comments, contact address and folders of this machine: reports are passed on."""
    if not folder.config_file.is_file():
        return ""
    lines = folder.config_file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("#", "contact ="))]
    return settings_without_folders(re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip())


def _mark(data: ReportData) -> str:
    """Return a digest of all that the report is made from; every collection in it has an order, and so one repr."""
    texts = template_texts("report.html.j2", "line_chart.svg.j2")
    return digest(REPORT_VERSION, texts, repr(data), length=20)


def _is_written(folder: RunFolder, mark: str, readme: bytes) -> bool:
    card = folder.readme_file
    if not (folder.report_file.is_file() and card.is_file()):
        return False
    with folder.report_file.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return f'content="{mark}"'.encode() in head and card.read_bytes() == readme
