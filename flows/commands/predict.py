"""Use a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.app import OTHER, app


@app.command(rich_help_panel=OTHER)
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Pictures or folders.")],
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Use this workspace's live model.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Use this model folder instead.")] = None,
) -> None:
    """Say what is in pictures: one line each, with the file, the class and its probability."""
    from training.predict import Classifier, predict_files
    from workspace.champion import live_run
    from workspace.errors import ConfigError
    from workspace.paths import Workspace

    if (workspace is None) == (model is None):
        raise ConfigError("name one model: --workspace DIR for its live one, or --model DIR")
    folder = model or live_run(Workspace(workspace or Path())).model
    failed = 0
    for answer in predict_files(Classifier.load(folder), paths):
        failed += bool(answer.error)
        outcome = f"error\t{answer.error}" if answer.error else f"{answer.label}\t{answer.probability:.3f}"
        typer.echo(f"{answer.path}\t{outcome}")
    if failed:
        raise typer.Exit(1)
