"""The commands `run`, `demo` and `init`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from cli.app import (
    WHOLE_PATH,
    Folder,
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
from cli.documents.workspaces import Initialised
from cli.ending.stopping import resumable
from cli.given_settings import tell_given
from workspace.config.model import load_config
from workspace.errors import WorkspaceError
from workspace.names import as_text, is_text
from workspace.resolve import parse_overrides, refuse_existing, with_options, write_example
from workspace.storage.paths import Workspace
from workspace.terminal import rendered, say

_LOG = logging.getLogger("collect_and_train")


@app.command(rich_help_panel=WHOLE_PATH)
@resumable()
def run(
    keywords: Keywords = None,
    folder: NewFolder = None,
    photos: Photos = None,
    negatives: Negatives = None,
    per_class: PerClass = None,
    backbone: Annotated[
        str | None, typer.Option(help="Pretrained network; train.backbone in workspace.toml lists them.")
    ] = None,
    record: Record = None,
    replay: Replay = None,
    settings: Settings = None,
) -> None:
    """Build a classifier from keywords or your own pictures: run every step, doing only what is not done yet.

    Example: collect-and-train run "red panda" raccoon --per-class 100 --workspace data/pandas

    Example: collect-and-train run --photos ~/pictures/birds --workspace data/birds
    """
    from flows.inputs import open_inputs

    require_input(keywords, folder, photos)
    overrides = parse_overrides(settings or []) | tape_settings(record, replay)
    overrides = with_options(overrides, per_class=per_class, backbone=backbone, negatives=negatives)
    # A mistake in the settings shows before Prefect starts. The flow opens the folder again, and tells of old names.
    inputs = open_inputs(folder or "", keywords or (), photos or "", overrides, on_old=None)
    workspace = inputs.workspace
    tell_given(workspace, inputs.overrides, created=inputs.created)
    run_flow(workspace, inputs.overrides)
    say("Next: ", (f"{workspace.command('predict')} PICTURE_OR_FOLDER", "bold"))


@app.command(rich_help_panel=WHOLE_PATH)
@resumable()
def demo(
    folder: Folder = Path("data/demo"),
    port: Annotated[int, typer.Option(help="Port of the demo's image site; 0: any free port.", min=0, max=65535)] = 0,
) -> None:
    """Run every step on pictures that the project draws and serves itself: no account, no key, no internet."""
    from cli.demo import demo_site

    with demo_site(folder, port):
        run_flow(Workspace(folder), {})
    command = 'collect-and-train run "red panda" raccoon --per-class 100 --workspace data/pandas'
    say("Next, with your own keywords:\n  ", (command, "bold"))


@app.command(rich_help_panel=WHOLE_PATH)
def init(
    keywords: Keywords = None,
    folder: Folder = Path("data/my-classifier"),
    photos: Photos = None,
    negatives: Negatives = None,
) -> None:
    """Write a commented workspace.toml with every setting, to edit and then run; without keywords an example."""
    own = with_options(None, negatives=negatives)
    first = "Next"
    if photos is None and not keywords:
        file, first = write_example(folder, own), "Edit its [classes], then"
    else:
        from flows.inputs import open_inputs

        refuse_existing(Workspace(folder))
        inputs = open_inputs(folder, keywords or (), photos or "", settings=own)
        file = inputs.workspace.config_file
        for note in inputs.notes:
            _LOG.warning("%s", note)
    output.answer(Initialised(file=str(file)), f"Wrote {file}.")
    say(f"{first}: ", (Workspace(folder).command("run"), "bold"))


def run_flow(workspace: Workspace, overrides: dict[str, Any]) -> None:
    """Run the flow in this process, under Prefect, and print its result."""
    from flows.server.local import prepare_server

    if not is_text(str(workspace.root)):
        raise WorkspaceError(
            f"{as_text(str(workspace.root))} has bytes that are not UTF-8, which Prefect cannot take as a parameter: "
            "rename the folder, or change into it and name it by: --workspace ."
        )
    from flows.inputs import refuse_too_few

    refuse_too_few(workspace, load_config(workspace.config_file, overrides, on_old=None))
    prepare_server()
    from cli.results import run_document
    from flows.collect_and_train import collect_and_train
    from training.report.summary import summary_table
    from workspace.storage.champion import read_champion

    counts = collect_and_train(workspace=str(workspace.root), settings=overrides or None)
    latest, live = workspace.latest_run(), read_champion(workspace)
    other = "" if live is None or live.champion == latest.run_id else f" (`predict` uses the live one, {live.champion})"
    notes = "\n".join((*counts["search"].notes, *counts["publish"].notes))
    output.answer(
        run_document(workspace, counts),
        lambda: (
            f"{rendered(summary_table(workspace, counts))}\n{notes}\n\n"
            f"Report: {latest.report_file}\nModel:  {latest.model}{other}"
        ),
    )
