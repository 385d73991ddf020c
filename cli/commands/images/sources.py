"""The commands `sources` and `gallery`: the sources, and a local image site to try them on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.app import OTHER, app
from workspace.resolve import open_workspace


@app.command(rich_help_panel=OTHER)
def sources(
    check: Annotated[
        bool, typer.Option("--check", help="Send each source one request, and show which answer.")
    ] = False,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Workspace whose URLs and keys are used.")
    ] = None,
) -> None:
    """List every source: whether it needs a key, whether it names licences, and its limits."""
    from cli.source_table import list_sources, source_table

    found = list_sources(open_workspace(workspace)[1] if workspace else None, check=check)
    output.answer(found, lambda: source_table(found, with_state=check))


@app.command(rich_help_panel=OTHER)
def gallery(
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with one folder of pictures per class.")
    ] = None,
    recorded: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of recorded Openverse answers.")] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any free port.", min=0, max=65535)] = 0,
) -> None:
    """Serve pictures as a small image-search site on this machine, to try collection and training on them."""
    from cli.demo import serve_gallery

    serve_gallery(photos, recorded, port)
