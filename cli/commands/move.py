"""The command `move`: a workspace's files to object storage and back."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app import OTHER, Folder, app

LOCAL = "local"


@app.command(rich_help_panel=OTHER)
def move(
    folder: Folder,
    to: Annotated[
        str, typer.Option("--to", metavar="PLACE", help="s3://BUCKET/PREFIX, or local: the workspace's folder.")
    ],
) -> None:
    """Move pictures, runs and models to object storage, or back; interrupted, the same command goes on.

    Every file is copied and compared by its digest before workspace.toml names the new place and the old one is
    cleared. Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.

    Example: collect-and-train move -w data/pandas --to s3://my-bucket/pandas
    """
    import logging

    from workspace.config.storage import changed_storage
    from workspace.moving.move import move as move_workspace
    from workspace.resolve import open_workspace
    from workspace.storage.lock import hold
    from workspace.terminal import progress_reporter

    workspace, _ = open_workspace(folder)
    target = changed_storage(workspace.storage, files="" if to == LOCAL else to)
    with progress_reporter(logging.getLogger("collect_and_train.move")) as progress, hold(workspace, "move"):
        moved = move_workspace(workspace, target, progress)
    where = target.files or str(workspace.root)
    typer.echo(f"{', '.join(moved)} now in {where}" if moved else f"Everything is in {where} already.")
