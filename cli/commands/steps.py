"""One command per step."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import typer

from cli.app import SINGLE_STEPS, Folder, Record, Replay, Settings, app, tape_settings
from flows.step_table import STEPS, Phase, Step
from workspace.resolve import open_workspace, parse_overrides
from workspace.terminal import listening


def _add_command(step: Step) -> None:
    def command(workspace: Folder, settings: Settings = None) -> None:
        _run_step(step, workspace, parse_overrides(settings or []))

    def networked(workspace: Folder, record: Record = None, replay: Replay = None, settings: Settings = None) -> None:
        _run_step(step, workspace, parse_overrides(settings or []) | tape_settings(record, replay))

    app.command(step.name, help=step.help, rich_help_panel=SINGLE_STEPS)(networked if step.uses_network else command)


def _run_step(step: Step, workspace: Path, overrides: dict[str, Any]) -> None:
    from workspace.storage.lock import PATIENCE_S, hold
    from workspace.storage.run import open_run

    place, config = open_workspace(workspace, (), overrides)
    log = logging.getLogger(f"collect_and_train.{step.name}")
    with listening(log) as progress, hold(place, step.name, wait_s=PATIENCE_S, on_wait=progress.say):
        if step.phase is Phase.RUN:
            open_run(place).refuse_changes(config, overrides)
        counts = step.run(place, config, progress)
    typer.echo(counts.line())


for _step in STEPS:
    if _step.phase is not Phase.ARRIVAL:
        _add_command(_step)
