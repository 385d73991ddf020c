"""The command `leaks`: find pictures of a workspace in an outside test set."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.app import OTHER, Folder, Settings, app
from cli.given_settings import tell_given
from workspace.names import one_line
from workspace.resolve import open_workspace, parse_overrides
from workspace.terminal import progress_reporter

_FOUND = 3
"""The exit code for leaks: a script must tell them from a command that failed, which ends with 1 or 2."""


@app.command(rich_help_panel=OTHER)
def leaks(
    folder: Folder,
    against: Annotated[Path, typer.Option(help="Folder with the pictures of the outside test set.")],
    table: Annotated[Path | None, typer.Option("--csv", help="Also write the pairs to this file.")] = None,
    settings: Settings = None,
) -> None:
    """List the kept pictures that an outside test set also contains; exit code 3 when there are any."""
    from cli.documents.images import LeakEntry, Leaks
    from preprocessing.leaks import find_leaks, leaks_csv, read_outside
    from workspace.files.atomic import write_atomic
    from workspace.storage.arrays import latest_features_name

    overrides = parse_overrides(settings or [])
    workspace, config = open_workspace(folder, (), overrides)
    tell_given(workspace, overrides)
    with progress_reporter(logging.getLogger("collect_and_train.leaks")) as progress:
        outside = read_outside(against, config.clean, progress)
        features = None
        if (latest := latest_features_name(workspace)) is not None:
            from training.network.backbone import load_backbone
            from training.network.device import choose_device
            from training.network.features import Extractor

            backbone, _ = load_backbone(config.train, config.seed)
            extractor = Extractor(workspace, config, backbone, choose_device(config.train.device))
            if extractor.features.folder.name == latest:
                features = extractor.features_of(outside.pixels, progress)
        found = find_leaks(workspace, config, outside, features, progress)
    for leak in found:
        output.tell(f"{leak.kind}\t{leak.label}\t{leak.sha256}\t{one_line(leak.outside)}")
    for name, reason in outside.refused.items():
        typer.echo(f"not read\t{reason}\t\t{one_line(name)}", err=True)
    if table is not None:
        write_atomic(table, leaks_csv(found).encode())
    document = Leaks(
        workspace=str(workspace.root),
        outside_pictures=len(outside.pixels),
        leaks=[LeakEntry(**leak._asdict()) for leak in found],
        not_read=dict(outside.refused),
        by_features=features is not None,
    )
    output.answer(document)
    kinds = ", ".join(f"{kind} {count}" for kind, count in Counter(leak.kind for leak in found).items()) or "none"
    how = (
        "by hashes and features"
        if features is not None
        else "by hashes alone (the workspace has no features of the present backbone)"
    )
    output.tell(f"leaks: {len(found)} among {len(outside.pixels)} outside pictures, {how}; {kinds}")
    if found:
        raise typer.Exit(_FOUND)
