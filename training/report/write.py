"""STEP metrics → report.html and model/README.md: what was collected, how good the model is, where it fails."""

from __future__ import annotations

import re

from PIL import Image

from preprocessing.images.pixel_cache import PixelCache
from training.fit.history import History
from training.fit.regime import RegimeRecord
from training.network.views import sheet
from training.report.collection_stats import read_collected
from training.report.context import Story, facts, page
from training.report.credits import write_credits
from training.report.templates import render, template_texts
from training.report.thumbnails import Thumbnails, data_address
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress
from workspace.storage.metrics import Metrics
from workspace.storage.paths import RunFolder, Workspace, digest, write_atomic
from workspace.storage.run import Run, open_run

REPORT_VERSION = 4
"""Raised when the making of the page changes other than in its templates, so that reports are written anew."""

SHEET_ROWS = 5
"""Training pictures whose augmented views are shown."""

_HEAD_BYTES = 1000  # the page's digest stands at its very beginning


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Write the latest run's report and model card; does nothing where all that they tell is as it was.

    Raises:
        WorkspaceError: there is no run yet, or it cannot be written.
        ModelError: the run has no model, or was not evaluated.
        DatasetError: its dataset cannot be read.
    """
    frozen = open_run(workspace)
    folder, config = frozen.folder, frozen.settings(config, progress)
    story = _read(frozen)
    write_credits(folder, story.samples)
    readme = render("model_card.md.j2", facts(story)).encode()
    mark = _mark(story)
    there = _is_there(folder, mark, readme)
    if not there:
        progress.begin("Writing the report", None)
        thumbnails = Thumbnails(PixelCache(workspace, config.clean))
        html = render("report.html.j2", {**page(story, thumbnails, _sheet(story, thumbnails.cache)), "mark": mark})
        write_atomic(folder.readme_file, readme)
        write_atomic(folder.report_file, html.encode())
    return StepCounts(
        "report",
        done=int(not there),
        reused=int(there),
        by_reason={"pictures credited": len(story.samples)},
        notes=(f"report: {folder.report_file}", f"model card: {folder.readme_file}"),
    )


def _read(frozen: Run) -> Story:
    workspace, folder = frozen.workspace, frozen.folder
    card, metrics = frozen.card(), Metrics.read(folder.metrics_file)
    with workspace.open_catalog() as catalog:
        collected = read_collected(catalog, metrics.classes)
    return Story(
        name=workspace.root.resolve().name,
        run_id=folder.run_id,
        card=card,
        metrics=metrics,
        history=History.read(folder.history_file),
        samples=frozen.samples(),
        collected=collected,
        settings=_settings(folder),
        regime=RegimeRecord.read_if_present(folder.regime_file),
    )


def _sheet(story: Story, cache: PixelCache) -> str:
    """Views of the first training picture of a few classes, as a data address; empty where they are not known."""
    first = {one.label: one.sha256 for one in reversed(story.samples) if one.split == "train"}
    shown = [first[label] for label in sorted(first)[:SHEET_ROWS]]
    drawn = sheet([(sha256, cache.read(sha256)) for sha256 in shown], story.card)
    return "" if drawn is None else data_address(Image.fromarray(drawn))


def _settings(folder: RunFolder) -> str:
    """The run's settings without comments, and without the contact address: reports are passed on."""
    if not folder.config_file.is_file():
        return ""
    lines = folder.config_file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("#", "contact ="))]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _mark(story: Story) -> str:
    """A digest of all that the report is made from; everything in a story has an order, and so one repr."""
    texts = template_texts("report.html.j2", "line_chart.svg.j2")
    return digest(REPORT_VERSION, texts, repr(story), length=20)


def _is_there(folder: RunFolder, mark: str, readme: bytes) -> bool:
    card = folder.readme_file
    if not (folder.report_file.is_file() and card.is_file()):
        return False
    with folder.report_file.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return f'content="{mark}"'.encode() in head and card.read_bytes() == readme
