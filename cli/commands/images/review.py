"""The command `review`: keep, drop or relabel pictures on a local page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.app import OTHER, Folder, app
from workspace.resolve import open_workspace
from workspace.terminal import say
from workspace.text.counts import counted

if TYPE_CHECKING:
    from workspace.catalog.catalog import Catalog
    from workspace.config.model import WorkspaceConfig
    from workspace.storage.paths import Workspace


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
        typer.echo(f"Open {url}")
        say("It opens only in a browser on this machine. Ctrl-C stops it.")

    with workspace.open_catalog() as catalog:
        notes = _renamed(workspace, config, catalog)
        for note in notes:
            say(note)
        before = {(override.sha256, override.label): override for override in catalog.all(Override)}
        serve_page(review_app(workspace, config, catalog, notes), announce, port=port, open_browser=open_browser)
        after = {(override.sha256, override.label): override for override in catalog.all(Override)}
    changed = sum(before.get(pair) != after.get(pair) for pair in before.keys() | after.keys())
    typer.echo(f"\n{counted(changed, 'decision')} changed, {len(after)} in all.")
    if changed:
        say("Next: ", (next_command(workspace), "bold"))


def _renamed(workspace: Workspace, config: WorkspaceConfig, catalog: Catalog) -> tuple[str, ...]:
    """Carry decisions over to the classes of today, if nobody else is writing, and say what waits."""
    from contextlib import suppress

    from workspace.catalog.renamed_classes import carry_over, plan_carry_over
    from workspace.errors import WorkspaceError
    from workspace.storage.lock import hold

    plan = plan_carry_over(catalog, config.collected)
    if plan.moves or plan.decisions:
        with suppress(WorkspaceError), hold(workspace, "review"):  # else the next step carries them over
            carry_over(catalog, config.collected)
    return (*plan.notes, *plan.waiting)
