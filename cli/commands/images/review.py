"""Look at the pictures, and decide."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app import OTHER, Folder, app
from workspace.resolve import open_workspace
from workspace.terminal import CONSOLE


@app.command(rich_help_panel=OTHER)
def review(
    workspace: Folder,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: a free one.", min=0, max=65535)] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
) -> None:
    """Look at every picture on a page of this machine: keep, drop or relabel; each click is saved."""
    from pages.local_auth import serve_page
    from pages.review import next_command, review_app
    from workspace.catalog.records import Override
    from workspace.errors import WorkspaceError

    place, config = open_workspace(workspace)
    if not place.has_catalog():
        raise WorkspaceError(
            f"{place.root} has no pictures yet; collect some with: collect-and-train run -w {place.root}"
        )

    def announce(address: str) -> None:
        CONSOLE.print(
            f"Open [bold]{address}[/]\nIt works in this machine's browser alone. Ctrl-C ends it.", highlight=False
        )

    with place.open_catalog() as catalog:
        before = {(one.sha256, one.label): one for one in catalog.all(Override)}
        serve_page(review_app(place, config, catalog), announce, port=port, open_browser=open_browser)
        after = {(one.sha256, one.label): one for one in catalog.all(Override)}
    changed = sum(before.get(pair) != after.get(pair) for pair in before.keys() | after.keys())
    CONSOLE.print(f"\n{changed} decisions changed, {len(after)} in all.", highlight=False)
    if changed:
        CONSOLE.print(f"Next: [bold]{next_command(place)}[/]", highlight=False)
