"""The commands `up`, `watch`, `retrain` and `status`: unattended operation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.app import OPERATE, Folder, Settings, app
from cli.ending.stopping import resumable
from cli.given_settings import tell_given
from workspace.resolve import parse_overrides
from workspace.storage.paths import Workspace
from workspace.terminal import rendered, say
from workspace.text.counts import counted

DefaultWorkspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", help="Default workspace of the deployments.")
]
WatchEvery = Annotated[float, typer.Option(help="Seconds between two checks for new pictures.", min=1)]


@app.command(rich_help_panel=OPERATE)
def up(
    workspace: DefaultWorkspace = None,
    port: Annotated[int, typer.Option(help="Port of Prefect's page; 0: any free port.", min=0, max=65535)] = 4200,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a password.")] = "127.0.0.1",
    watch_every: WatchEvery = 900,
) -> None:
    """Start Prefect's server, work pool, deployments and worker on this machine, until Ctrl-C."""
    from flows.server.deployments import Defaults, workspace_of_flows
    from flows.server.up import UpSettings, serve

    serve(UpSettings(Defaults(workspace_of_flows(workspace), watch_every), host, port))


@app.command(rich_help_panel=OPERATE)
def deploy(workspace: DefaultWorkspace = None, watch_every: WatchEvery = 900) -> None:
    """Register the work pool and the deployments with the server of PREFECT_API_URL, for workers of your own."""
    from cli.documents.workspaces import Deployed
    from flows.server.deployments import POOL, Defaults, prefect_command, register, workspace_of_flows
    from flows.server.local import server_that_answers

    url = server_that_answers()
    register({**os.environ, "PREFECT_API_URL": url}, Defaults(workspace_of_flows(workspace), watch_every))
    say(f"Deployed to {url}. A worker, where the pictures are to lie:")
    command = f"{prefect_command()} worker start --pool {POOL} --type process"
    output.answer(Deployed(server=url, worker_command=command), command)


@app.command(rich_help_panel=OPERATE)
@resumable()
def watch(folder: Folder) -> None:
    """Take in the inbox, repeat earlier searches, and say whether there is enough new to retrain.

    A workspace in which another process is at work is left for the next time.
    """
    from flows.server.local import prepare_server

    prepare_server()
    from cli.documents.workspaces import Watched
    from flows.watch import watch as flow

    found = flow(workspace=str(folder))
    lines = [
        f"{counted(new, 'new clean picture')}. To train on them: {Workspace(Path(name)).command('retrain')}"
        for name, new in found.items()
    ]
    output.answer(Watched(new=found), "\n".join(lines))


@app.command(rich_help_panel=OPERATE)
@resumable()
def retrain(folder: Folder, settings: Settings = None) -> None:
    """Train on the new pictures with the live model's settings; publish the result only if it is better.

    Waits at most 10 minutes for another process that is at work in the workspace, and then fails and names it.
    """
    from flows.server.local import prepare_server
    from training.report.summary import summary_table
    from workspace.resolve import open_workspace

    overrides = parse_overrides(settings or [])
    workspace, _ = open_workspace(folder, (), overrides, on_old=None)  # a mistake shows before Prefect starts
    tell_given(workspace, overrides)
    prepare_server()
    from cli.results import run_document
    from flows.retrain import retrain as flow

    counts = flow(workspace=str(folder), settings=overrides or None)
    notes = "\n".join(counts["publish"].notes)
    output.answer(
        run_document(Workspace(folder), counts),
        lambda: f"{rendered(summary_table(Workspace(folder), counts))}\n{notes}",
    )


@app.command(rich_help_panel=OPERATE)
def status(folder: Folder) -> None:
    """Summarise a workspace: pictures per class, last run, live model, changes since."""
    from cli.status import read_status, status_text
    from workspace.resolve import open_workspace

    state = read_status(*open_workspace(folder))
    output.answer(state, lambda: status_text(state))
