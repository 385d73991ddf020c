"""The command `review`: keep, drop or relabel pictures on a local page."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app import OTHER, Folder, app
from workspace.resolve import open_workspace
from workspace.terminal import CONSOLE


@app.command(rich_help_panel=OTHER)
def review(
    folder: Folder,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: any free port.", min=0, max=65535)] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Review every picture on a local page: keep, drop or relabel; each click is saved."""
    from pages.local_auth import serve_page
    from pages.review import next_command, review_app
    from workspace.catalog.records import Override
    from workspace.errors import WorkspaceError

    workspace, config = open_workspace(folder)
    if not workspace.has_catalog():
        raise WorkspaceError(f"{workspace.root} has no pictures yet; collect some with: {workspace.command('run')}")

    def announce(url: str) -> None:
        CONSOLE.print(
            f"Open [bold]{url}[/]\nIt opens only in a browser on this machine. Ctrl-C stops it.", highlight=False
        )

    with workspace.open_catalog() as catalog:
        before = {(override.sha256, override.label): override for override in catalog.all(Override)}
        serve_page(review_app(workspace, config, catalog), announce, port=port, open_browser=open_browser)
        after = {(override.sha256, override.label): override for override in catalog.all(Override)}
    changed = sum(before.get(pair) != after.get(pair) for pair in before.keys() | after.keys())
    CONSOLE.print(f"\n{changed} decisions changed, {len(after)} in all.", highlight=False)
    if changed:
        CONSOLE.print(f"Next: [bold]{next_command(workspace)}[/]", highlight=False)
