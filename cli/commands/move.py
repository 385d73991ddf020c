"""The command `move`: a workspace's files to object storage, its catalogue to PostgreSQL, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.app import OTHER, Folder, app
from cli.ending.stopping import resumable


@app.command(rich_help_panel=OTHER)
@resumable()
def move(
    folder: Folder,
    to: Annotated[
        str, typer.Option("--to", metavar="PLACE", help="s3://BUCKET/PREFIX, or local: the workspace's folder.")
    ] = "",
    catalog: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Environment variable with the address of a database on PostgreSQL, or sqlite: catalog.sqlite.",
        ),
    ] = "",
) -> None:
    """Move pictures, runs and models to object storage, the catalogue to PostgreSQL, or back.

    Everything is copied and compared by digests before workspace.toml names the new place and the old one is cleared;
    interrupted, the same command goes on. Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the
    environment, and the address of the database from the variable named.

    Example: collect-and-train move -w data/pandas --to s3://my-bucket/pandas --catalog PANDAS_DB
    """
    import logging

    from cli.documents.workspaces import Moved
    from workspace.config.storage import changed_storage
    from workspace.moving.move import LOCAL
    from workspace.moving.move import move as move_workspace
    from workspace.resolve import open_workspace
    from workspace.storage.location.catalog import SQLITE
    from workspace.storage.lock import hold
    from workspace.terminal import progress_reporter

    if not to and not catalog:
        raise typer.BadParameter("name where to: --to for the files, --catalog for the catalogue, or both")
    workspace, _ = open_workspace(folder)
    wanted = {"files": "" if to == LOCAL else to} if to else {}
    wanted |= {"catalog": "" if catalog == SQLITE else catalog} if catalog else {}
    target = changed_storage(workspace.storage, **wanted)
    with progress_reporter(logging.getLogger("collect_and_train.move")) as progress, hold(workspace, "move"):
        moved = move_workspace(workspace, target, progress)
    where = " and ".join(value or str(workspace.root) for value in dict.fromkeys(wanted.values()))
    output.answer(
        Moved(workspace=str(workspace.root), place=where, moved=list(moved)),
        f"{', '.join(moved)} now in {where}" if moved else f"Everything is in {where} already.",
    )
