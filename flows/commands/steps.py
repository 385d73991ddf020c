"""One command per step."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import typer

from flows.commands.app import STEPS, Folder, Record, Replay, Settings, app, tape_settings
from flows.opening import open_workspace, parse_overrides
from flows.progress import listening

_OVER_THE_NETWORK = {"search", "download"}
_OF_A_RUN = {"train", "evaluate", "report", "publish"}


def _step(name: str, doc: str) -> None:
    def command(workspace: Folder, settings: Settings = None) -> None:
        _run_step(name, workspace, parse_overrides(settings or []))

    def networked(workspace: Folder, record: Record = None, replay: Replay = None, settings: Settings = None) -> None:
        _run_step(name, workspace, parse_overrides(settings or []) | tape_settings(record, replay))

    app.command(name, help=doc, rich_help_panel=STEPS)(networked if name in _OVER_THE_NETWORK else command)


def _run_step(name: str, workspace: Path, overrides: dict[str, Any]) -> None:
    from flows.steps import step_function
    from workspace.lock import PATIENCE_S, hold
    from workspace.run import open_run

    place, config = open_workspace(workspace, (), overrides)
    log = logging.getLogger(f"collect_and_train.{name}")
    with listening(log) as progress, hold(place, name, wait_s=PATIENCE_S, on_wait=progress.say):
        if name in _OF_A_RUN:
            open_run(place).refuse_changes(config, overrides)
        counts = step_function(name)(place, config, progress)
    typer.echo(counts.line())


for _name, _doc in {
    "search": "Ask the sources for every keyword: what was found goes to the catalogue.",
    "download": "Fetch what was found; every outcome is recorded with its reason.",
    "clean": "Decode, check and compare the pictures: broken ones, useless ones and copies get a verdict.",
    "features": "Compute the backbone's features of every kept picture, once.",
    "curate": "Find off-topic pictures and label errors by their features; a person decides in `review`.",
    "split": "Freeze the dataset: training, validation and test, with copies and creators kept together.",
    "train": "Fit the head on cached features, then fine-tune the last stage; the better one is kept.",
    "evaluate": "Measure the saved model on the test pictures.",
    "report": "Write report.html and the model card.",
    "publish": "Make the latest model the live one, if it is better than the one that is.",
}.items():
    _step(_name, _doc)
