"""Collecting alone: search, download and clean until every class has its pictures."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from cli.app import WHOLE_PATH, Folder, Record, Replay, Settings, app, tape_settings
from workspace.resolve import open_workspace, parse_overrides, with_options
from workspace.terminal import CONSOLE, listening


@app.command(rich_help_panel=WHOLE_PATH)
def collect(
    workspace: Folder,
    per_class: Annotated[int | None, typer.Option(min=1, help="Clean pictures wanted per class.")] = None,
    record: Record = None,
    replay: Replay = None,
    settings: Settings = None,
) -> None:
    """Search, download and clean until every class has its clean pictures, or its sources have no more."""
    from flows.collecting import collect_until_clean
    from flows.step_table import find_step
    from workspace.catalog.records import StepCounts
    from workspace.storage.lock import PATIENCE_S, hold

    overrides = with_options(parse_overrides(settings or []) | tape_settings(record, replay), per_class=per_class)
    place, config = open_workspace(workspace, (), overrides)

    def run_step(name: str, number: int) -> StepCounts:
        with listening(logging.getLogger(f"collect_and_train.{name}")) as progress:
            return find_step(name).run(place, config, progress, number)

    with hold(place, "collect", wait_s=PATIENCE_S, on_wait=CONSOLE.print):
        counts = collect_until_clean(place, config, run_step)
    for one in counts.values():
        typer.echo(one.line())
    for note in counts["search"].notes:
        typer.echo(note)
