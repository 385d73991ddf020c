"""The models of a workspace: which is live, what was decided, and the way back."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app import OTHER, Folder, app


@app.command(rich_help_panel=OTHER)
def models(workspace: Folder) -> None:
    """List every decision about a model, the live one marked."""
    from training.report.history import history_table
    from workspace.storage.paths import Workspace

    typer.echo(history_table(Workspace(workspace)))


@app.command(rich_help_panel=OTHER)
def rollback(
    workspace: Folder,
    to: Annotated[str, typer.Option(help="A run that was live once; empty: the one before the present one.")] = "",
) -> None:
    """Make an earlier published model live again; the one that was live stays out until you roll back to it."""
    from workspace.storage.champion import roll_back
    from workspace.storage.lock import hold
    from workspace.storage.paths import Workspace

    place = Workspace(workspace)
    with hold(place, "rollback"):
        decision = roll_back(place, to)
    typer.echo(f"{decision.champion} is live; {decision.why}")
