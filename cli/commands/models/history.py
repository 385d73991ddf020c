"""The commands `models` and `rollback`: the history of decisions, and the way back."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.app import OTHER, Folder, app


@app.command(rich_help_panel=OTHER)
def models(folder: Folder) -> None:
    """List every decision about a model; the live model is marked."""
    from cli.documents.models import Models
    from cli.results import decision_document
    from training.report.history import history_table
    from workspace.storage.champion import read_champion, read_decisions
    from workspace.storage.paths import Workspace

    workspace = Workspace(folder)
    live = read_champion(workspace)
    document = Models(
        workspace=str(folder),
        live_model=live.champion if live else None,
        decisions=[decision_document(decision) for decision in read_decisions(workspace)],
    )
    output.answer(document, lambda: history_table(workspace))


@app.command(rich_help_panel=OTHER)
def rollback(
    folder: Folder,
    to: Annotated[
        str,
        typer.Option(
            help="Run whose model is to be live, also one that was not published; empty: the previous live one."
        ),
    ] = "",
) -> None:
    """Make an earlier model live again; later ones stay out until you roll back to them or new pictures come."""
    from cli.results import decision_document
    from workspace.storage.champion import roll_back
    from workspace.storage.lock import hold
    from workspace.storage.paths import Workspace

    workspace = Workspace(folder)
    with hold(workspace, "rollback"):
        decision = roll_back(workspace, to)
    output.answer(decision_document(decision), f"{decision.champion} is live; {decision.why}")
