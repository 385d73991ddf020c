"""Copies between a workspace and an outside test set."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from cli.app import OTHER, Folder, Settings, app
from workspace.resolve import open_workspace, parse_overrides
from workspace.terminal import listening

_FOUND = 3
"""The exit code for leaks: a script must tell them from a command that failed, which ends with 1 or 2."""


@app.command(rich_help_panel=OTHER)
def leaks(
    workspace: Folder,
    against: Annotated[Path, typer.Option(help="The folder of the outside test set's pictures.")],
    table: Annotated[Path | None, typer.Option("--csv", help="Write the pairs to this file too.")] = None,
    settings: Settings = None,
) -> None:
    """Name the kept pictures that an outside test set holds too; exit code 3 when there are any."""
    from preprocessing.leaks import find_leaks, leaks_csv, read_outside
    from workspace.storage.paths import write_atomic

    place, config = open_workspace(workspace, (), parse_overrides(settings or []))
    with listening(logging.getLogger("collect_and_train.leaks")) as progress:
        outside = read_outside(against, config.clean, progress)
        features = None
        if place.features_pointer.is_file():
            from training.network.backbone import load_backbone
            from training.network.device import choose_device
            from training.network.features import Extractor

            backbone, _ = load_backbone(config.train, config.seed)
            extractor = Extractor(place, config, backbone, choose_device(config.train.device))
            if extractor.features.folder.name == place.features_pointer.read_text(encoding="utf-8").strip():
                features = extractor.features_of(outside.pixels, progress)
        found = find_leaks(place, config, outside, features, progress)
    for one in found:
        typer.echo(f"{one.kind}\t{one.label}\t{one.sha256}\t{one.outside}")
    for name, reason in outside.refused.items():
        typer.echo(f"not read\t{reason}\t\t{name}", err=True)
    if table is not None:
        write_atomic(table, leaks_csv(found).encode())
    kinds = ", ".join(f"{kind} {count}" for kind, count in Counter(one.kind for one in found).items()) or "none"
    how = "by hashes and features" if features is not None else "by hashes alone (there are no fitting features yet)"
    typer.echo(f"leaks: {len(found)} among {len(outside.pixels)} outside pictures, {how}; {kinds}")
    if found:
        raise typer.Exit(_FOUND)
