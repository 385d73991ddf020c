"""The command `serve`: try a model on a local page, or answer programs."""

from __future__ import annotations

import os
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
    api: Annotated[bool, typer.Option("--api", help="Answer programs over HTTP instead: see its page /docs.")] = False,
    host: Annotated[
        str, typer.Option(help="Address for --api; any but loopback needs a token in COLLECT_AND_TRAIN_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any free port.", min=0, max=65535)] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Try the model on a local page: drop a picture, see the answer. No picture is kept.

    With --api: a service for programs, which loads a newly published model without dropping a request.
    """
    if not api and host != "127.0.0.1":
        raise typer.BadParameter("the page answers on 127.0.0.1 alone; --host is for --api")
    if api and open_browser:
        raise typer.BadParameter("--open is for the page; the service describes itself at /docs")
    if api:
        _serve_api(workspace, model, run, host, port)
    else:
        _serve_page(workspace, model, run, port, open_browser)


def _serve_page(workspace: Path | None, model: Path | None, run: str | None, port: int, open_browser: bool) -> None:
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
        typer.echo(f"Open {url}")
        say("It opens only in a browser on this machine. Ctrl-C stops it.")

    serve_page(
        try_app(classifier, name, notes, clean=clean_of(workspace)), announce, port=port, open_browser=open_browser
    )


def _serve_api(workspace: Path | None, model: Path | None, run: str | None, host: str, port: int) -> None:
    from cli.predict_io import model_folder, service_config_of
    from pages.api.serve import TOKEN, ServiceSettings, serve_api
    from workspace.storage.paths import Workspace

    token = os.environ.get(TOKEN, "").strip()
    config, kept_in = service_config_of(workspace), Workspace(workspace) if workspace else None
    settings = ServiceSettings(lambda: model_folder(workspace, model, run), config, kept_in, token=token)

    def announce(url: str) -> None:
        typer.echo(f"Answers at {url}/classify; how to ask: {url}/docs")
        asked = "Requests need the token." if token else "It answers programs of this machine alone, without a token."
        kept = " Unsure pictures are kept for `review` (serve.keep)." if workspace and config.serve.keep else ""
        say(f"{asked}{kept} Ctrl-C stops it.")

    serve_api(settings, host, port, announce)
