"""Withdraw pictures: by their creator, their address or their licence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.app import OTHER, Folder, app

if TYPE_CHECKING:
    from preprocessing.dataset.usage import RunUse
    from workspace.catalog.records import Withdrawal
    from workspace.storage.withdrawal import Found

Several = list[str] | None

_SHOWN = 5  # names of files in one line


@app.command(rich_help_panel=OTHER)
def forget(
    workspace: Folder,
    creator: Annotated[Several, typer.Option(help="All pictures by this creator; repeatable.")] = None,
    url: Annotated[Several, typer.Option(help="A picture by its address or its page's; repeatable.")] = None,
    license: Annotated[  # noqa: A002 (the option's name)
        Several, typer.Option(help="All under this licence, as by-nc, or a part of it, as nc; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Withdraw pictures for good: their files go and they are never fetched again; says which models used them.

    Example: collect-and-train forget -w data/pandas --creator "Jane Doe"
    """
    from preprocessing.dataset.usage import runs_using
    from workspace.catalog.exclusions import Withdrawn
    from workspace.config.model import load_config
    from workspace.storage.lock import hold
    from workspace.storage.paths import Workspace
    from workspace.storage.withdrawal import find, withdraw

    place = Workspace(workspace)
    load_config(place.config_file)  # a folder that is no workspace is not made one
    rules = _rules(creator or [], url or [], license or [])
    if not rules:
        raise typer.BadParameter("name --creator, --url or --license")
    with hold(place, "forget"), place.open_catalog() as catalog:
        found = find(catalog, Withdrawn.of(rules))
        _announce(found, runs_using(place, found.files))
        if dry_run:
            typer.echo("Nothing was changed (--dry-run).")
            return
        if not yes:
            _ask()
        withdraw(place, catalog, rules, found)
    typer.echo(
        f"Withdrawn. Later finds under {', '.join(f'{one.kind} {one.value!r}' for one in rules)} stay out too.\n"
        f"Next, without them: collect-and-train run -w {workspace}"
    )


def _rules(creators: Sequence[str], urls: Sequence[str], licenses: Sequence[str]) -> list[Withdrawal]:
    from collectors.url_identity import canonical_url
    from workspace.catalog.records import Withdrawal
    from workspace.clock import utc_now
    from workspace.config.collect import LICENSE_PARTS, LICENSES
    from workspace.licenses import license_from

    if empty := [word for word in (*creators, *urls, *licenses) if not word.strip()]:
        raise typer.BadParameter(f"{empty[0]!r} names nothing")
    now = utc_now()
    rules = [Withdrawal("creator", name.strip(), now) for name in creators]
    for given in urls:
        rules += [Withdrawal("url", one, now) for one in dict.fromkeys((given.strip(), canonical_url(given.strip())))]
    for word in licenses:
        name = word.strip().lower()
        name = name if name in (*LICENSES, *LICENSE_PARTS) else license_from(word)
        if not name:
            known = ", ".join((*LICENSE_PARTS, *LICENSES))
            raise typer.BadParameter(f"--license {word!r} is not known; the known names are {known}")
        rules.append(Withdrawal("license", name, now))
    return rules


def _announce(found: Found, uses: Sequence[RunUse]) -> None:
    before = len(found.files) - len(found.new)
    typer.echo(
        f"{len(found.urls)} addresses, {len(found.new)} stored pictures"
        + (f" ({before} more were withdrawn before)" if before else "")
    )
    own = [url for url in found.urls if not url.startswith(("http://", "https://"))]
    if own:
        more = f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
        typer.echo(f"  of your own files, which stay where you put them: {', '.join(own[:_SHOWN])}{more}")
    if not uses:
        typer.echo("No run has used them.")
    for use in uses:
        what = {
            "live": "its model is live: it has learnt from them or was measured on them until a new one is published",
            "published": "its model was published before",
            "trained": "its model was never published",
            "dataset": "it has no model yet",
        }[use.standing]
        typer.echo(f"  run {use.run_id} has {use.pictures} of them; {what}")
    if uses:
        typer.echo(
            "The frozen lists of these runs still name them, and their reports may show small copies; "
            "delete a run's folder where these must go too."
        )


def _ask() -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to be asked; add --yes, or look first with --dry-run")
    typer.confirm("Withdraw them? This cannot be undone.", abort=True)
