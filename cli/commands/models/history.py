"""The commands `models`, `rollback` and `prune`: the history of decisions, the way back, and how far back it goes."""

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


@app.command(rich_help_panel=OTHER)
def prune(
    folder: Folder,
    keep: Annotated[int, typer.Option(help="Models that were live before and stay for `rollback`.", min=0)] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
) -> None:
    """Delete the models of earlier runs, but of the live one, the latest run, and those that were live last.

    Datasets, numbers, reports and credits of the runs stay.
    """
    from cli.documents.models import Pruned
    from training.prune import prunable
    from training.prune import prune as delete
    from workspace.config.model import load_config
    from workspace.storage.lock import hold
    from workspace.storage.paths import Workspace
    from workspace.text.counts import counted

    workspace = Workspace(folder)
    load_config(workspace.config_file)  # a folder that is no workspace is not made one
    with hold(workspace, "prune"):
        models = prunable(workspace, keep)
        if not dry_run:
            delete(workspace, models)
    size, names = sum(model.bytes for model in models), [model.run_id for model in models]
    document = Pruned(workspace=str(workspace.root), changed=bool(models) and not dry_run, runs=names, bytes=size)
    what = f"{counted(len(models), 'model')} of earlier runs, {size / 1e6:,.1f} MB"
    done = "Would be deleted" if dry_run else "Deleted"
    output.answer(document, "\n".join([f"{done}: {what}", *names]) if models else "There is no model to delete.")
