"""The commands of single steps, made from the table of steps."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from cli import output
from cli.app import SINGLE_STEPS, Folder, Record, Replay, Settings, app, tape_settings
from cli.ending.stopping import resumable
from cli.given_settings import tell_given
from flows.step_table import STEPS, Phase, Step
from workspace.resolve import open_workspace, parse_overrides
from workspace.terminal import progress_reporter


def _add_command(step: Step) -> None:
    def command(folder: Folder, settings: Settings = None) -> None:
        _run_step(step, folder, parse_overrides(settings or []))

    def networked(folder: Folder, record: Record = None, replay: Replay = None, settings: Settings = None) -> None:
        _run_step(step, folder, parse_overrides(settings or []) | tape_settings(record, replay))

    app.command(step.name, help=step.help, rich_help_panel=SINGLE_STEPS)(networked if step.uses_network else command)


@resumable()
def _run_step(step: Step, folder: Path, overrides: dict[str, Any]) -> None:
    from workspace.storage.lock import LOCK_WAIT_S, hold
    from workspace.storage.run import open_run

    workspace, config = open_workspace(folder, (), overrides)
    tell_given(workspace, overrides)
    log = logging.getLogger(f"collect_and_train.{step.name}")
    with progress_reporter(log) as progress, hold(workspace, step.name, wait_s=LOCK_WAIT_S, on_wait=progress.say):
        if step.phase is Phase.RUN:
            open_run(workspace).refuse_changes(config, overrides)
        counts = step.run(workspace, config, progress)
    from cli.results import step_document

    output.answer(step_document(step, workspace, counts), counts.line())


for _step in STEPS:
    if _step.phase is not Phase.ARRIVAL:
        _add_command(_step)
