"""The command `collect`: search, download and clean, without training."""

from __future__ import annotations

import logging

from cli import output
from cli.app import (
    WHOLE_PATH,
    Keywords,
    Negatives,
    NewFolder,
    PerClass,
    Photos,
    Record,
    Replay,
    Settings,
    app,
    require_input,
    tape_settings,
)
from cli.ending.stopping import resumable
from cli.given_settings import tell_given
from workspace.resolve import parse_overrides, with_options
from workspace.terminal import CONSOLE, progress_reporter


@app.command(rich_help_panel=WHOLE_PATH)
@resumable()
def collect(
    keywords: Keywords = None,
    folder: NewFolder = None,
    photos: Photos = None,
    negatives: Negatives = None,
    per_class: PerClass = None,
    record: Record = None,
    replay: Replay = None,
    settings: Settings = None,
) -> None:
    """Search, download and clean until every class has its clean pictures or its sources have no more.

    Example: collect-and-train collect "red panda" raccoon --per-class 100 --workspace data/pandas
    """
    from cli.results import collected_document
    from flows.collecting import collect_until_clean
    from flows.inputs import open_inputs
    from flows.step_table import find_step
    from workspace.catalog.records import StepCounts
    from workspace.storage.lock import LOCK_WAIT_S, hold

    require_input(keywords, folder, photos)
    overrides = with_options(parse_overrides(settings or []) | tape_settings(record, replay), negatives=negatives)
    inputs = open_inputs(folder or "", keywords or (), photos or "", overrides, per_class=per_class)
    workspace, config = inputs.workspace, inputs.config
    tell_given(workspace, inputs.overrides, created=inputs.created)

    def run_step(name: str, number: int) -> StepCounts:
        with progress_reporter(logging.getLogger(f"collect_and_train.{name}")) as progress:
            return find_step(name).run(workspace, config, progress, number)

    with hold(workspace, "collect", wait_s=LOCK_WAIT_S, on_wait=CONSOLE.print):
        counts = collect_until_clean(workspace, config, run_step)
    lines = [*(step_counts.line() for step_counts in counts.values()), *counts["search"].notes]
    output.answer(collected_document(workspace, counts), "\n".join(lines))
