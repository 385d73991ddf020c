"""The command `serve`: try a model on a local page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app import OTHER, app
from workspace.terminal import say


@app.command(rich_help_panel=OTHER)
def serve(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Workspace whose live model, else latest one, is used.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Model folder to use instead.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Run of the workspace whose model is used.")] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any free port.", min=0, max=65535)] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Try the model on a local page: drop a picture, see the answer. No picture is kept."""
    from cli.predict_io import clean_of, model_folder
    from pages.local_auth import serve_page
    from pages.try_model import try_app
    from training.inference.classifier import Classifier
    from training.network.weights_origin import Origin

    folder = model_folder(workspace, model, run)
    classifier = Classifier.load(folder)
    notes = Origin.from_card(classifier.card).notes()
    name = workspace.resolve().name if workspace else folder.resolve().name

    def announce(url: str) -> None:
        say("Open ", (url, "bold"), "\nIt opens only in a browser on this machine. Ctrl-C stops it.")

    serve_page(
        try_app(classifier, name, notes, clean=clean_of(workspace)), announce, port=port, open_browser=open_browser
    )
