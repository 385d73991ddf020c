"""One command per step."""

from __future__ import annotations

import logging

import typer

from flows.commands.app import STEPS, Folder, Settings, app
from flows.opening import open_workspace, parse_overrides
from flows.progress import listening


def _step(name: str, doc: str) -> None:
    def command(workspace: Folder, settings: Settings = None) -> None:
        from flows.steps import step_function

        place, config = open_workspace(workspace, (), parse_overrides(settings or []))
        with listening(logging.getLogger(f"collect_and_train.{name}")) as progress:
            counts = step_function(name)(place, config, progress)
        typer.echo(counts.line())

    app.command(name, help=doc, rich_help_panel=STEPS)(command)


for _name, _doc in {
    "search": "Ask the sources for every keyword: what was found goes to the catalogue.",
    "download": "Fetch what was found; every outcome is recorded with its reason.",
    "clean": "Decode, check and compare the pictures: broken ones, useless ones and copies get a verdict.",
    "features": "Compute the backbone's features of every kept picture, once.",
    "curate": "Find off-topic pictures and label errors (a pass-through for now).",
    "split": "Freeze the dataset: training, validation and test, with copies and creators kept together.",
    "train": "Fit the head on cached features, then fine-tune the last stage; the better one is kept.",
    "evaluate": "Measure the saved model on the test pictures.",
    "report": "Write report.html and the model card.",
    "publish": "Make the latest model the live one, if it is better than the one that is.",
}.items():
    _step(_name, _doc)
