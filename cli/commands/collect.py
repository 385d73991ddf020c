"""The command `collect`: search, download and clean, without training."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from cli.app import WHOLE_PATH, Folder, Record, Replay, Settings, app, tape_settings
from workspace.resolve import open_workspace, parse_overrides, with_options
from workspace.terminal import CONSOLE, progress_reporter


@app.command(rich_help_panel=WHOLE_PATH)
def collect(
    folder: Folder,
    per_class: Annotated[int | None, typer.Option(min=1, help="Clean pictures wanted per class.")] = None,
    record: Record = None,
    replay: Replay = None,
    settings: Settings = None,
) -> None:
    """Search, download and clean until every class has its clean pictures or its sources have no more."""
    from flows.collecting import collect_until_clean
    from flows.step_table import find_step
    from workspace.catalog.records import StepCounts
    from workspace.storage.lock import LOCK_WAIT_S, hold

    overrides = with_options(parse_overrides(settings or []) | tape_settings(record, replay), per_class=per_class)
    workspace, config = open_workspace(folder, (), overrides)

    def run_step(name: str, number: int) -> StepCounts:
        with progress_reporter(logging.getLogger(f"collect_and_train.{name}")) as progress:
            return find_step(name).run(workspace, config, progress, number)

    with hold(workspace, "collect", wait_s=LOCK_WAIT_S, on_wait=CONSOLE.print):
        counts = collect_until_clean(workspace, config, run_step)
    for step_counts in counts.values():
        typer.echo(step_counts.line())
    for note in counts["search"].notes:
        typer.echo(note)
