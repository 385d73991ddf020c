"""The commands `up`, `watch`, `retrain` and `status`: unattended operation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app import OPERATE, Folder, Settings, app
from workspace.resolve import parse_overrides
from workspace.storage.paths import Workspace
from workspace.terminal import CONSOLE, say


@app.command(rich_help_panel=OPERATE)
def up(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Default workspace of the deployments.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of Prefect's page; 0: any free port.", min=0, max=65535)] = 4200,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a password.")] = "127.0.0.1",
    watch_every: Annotated[float, typer.Option(help="Seconds between two checks for new pictures.", min=1)] = 900,
) -> None:
    """Start Prefect's server, work pool, deployments and worker on this machine, until Ctrl-C."""
    from flows.supervisor import CHECKOUT
    from flows.up import UpSettings, serve

    folder = workspace.resolve() if workspace else None  # flows run in the checkout, wherever we are now
    if folder and folder.is_relative_to(CHECKOUT):
        folder = folder.relative_to(CHECKOUT)
    serve(UpSettings(str(folder or ""), host, port, watch_every))


@app.command(rich_help_panel=OPERATE)
def watch(folder: Folder) -> None:
    """Take in the inbox, repeat earlier searches, and say whether there is enough new to retrain."""
    from flows.server.local import prepare_server

    prepare_server()
    from flows.watch import watch as flow

    for name, new in flow(workspace=str(folder)).items():
        say(f"{new} new clean pictures. To train on them: ", (Workspace(Path(name)).command("retrain"), "bold"))


@app.command(rich_help_panel=OPERATE)
def retrain(folder: Folder, settings: Settings = None) -> None:
    """Train on the new pictures with the live model's settings; publish the result only if it is better."""
    from flows.server.local import prepare_server
    from training.report.summary import summary_table
    from workspace.resolve import open_workspace

    overrides = parse_overrides(settings or [])
    open_workspace(folder, (), overrides, on_old=None)  # a mistake in the settings shows before Prefect starts
    prepare_server()
    from flows.retrain import retrain as flow

    counts = flow(workspace=str(folder), settings=overrides or None)
    CONSOLE.print(summary_table(Workspace(folder), counts))
    for note in counts["publish"].notes:
        typer.echo(note)


@app.command(rich_help_panel=OPERATE)
def status(folder: Folder) -> None:
    """Summarise a workspace: pictures per class, last run, live model, changes since."""
    from cli.status import status_text
    from workspace.resolve import open_workspace

    typer.echo(status_text(*open_workspace(folder)))
