"""The command `export`: a model or its dataset for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.app import OTHER, Folder, app


class Target(StrEnum):
    """Format that `export` writes."""

    ONNX = "onnx"
    TORCH = "torch"
    IMAGEFOLDER = "imagefolder"


@app.command(rich_help_panel=OTHER)
def export(
    folder: Folder,
    to: Annotated[list[Target], typer.Option("--to", help="Format; repeatable.")],
    run: Annotated[str | None, typer.Option("--run", help="Run to export; default: that of the live model.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Target folder; default: the run's export/.")] = None,
) -> None:
    """Write the model as ONNX (preprocessing included) or for torch.export, or the dataset as an imagefolder.

    Each export is compared with the trained model on real pictures; it is not written if outputs differ by over 0.0001.
    """
    from workspace.storage.champion import answering_run
    from workspace.storage.dataset import read_dataset
    from workspace.storage.paths import IMAGEFOLDER_NAME, Workspace

    workspace = Workspace(folder)
    run_folder = answering_run(workspace, run)
    target = out or run_folder.export
    if Target.IMAGEFOLDER in to:
        from preprocessing.dataset.imagefolder import export_imagefolder

        counts = export_imagefolder(
            workspace, read_dataset(run_folder.dataset_file), target / IMAGEFOLDER_NAME, workspace.root.name
        )
        words = ", ".join(f"{split} {count}" for split, count in counts.items())
        typer.echo(f"{target / 'dataset'}: {words} pictures; each keeps its own licence, see metadata.csv")
    if Target.ONNX in to or Target.TORCH in to:
        from training.inference.classifier import Classifier
        from training.inference.export import export_onnx, export_torch, images_to_check
        from workspace.config.model import load_config

        model = Classifier.load(run_folder.model, "cpu")
        clean = load_config(run_folder.config_file).clean
        pictures = images_to_check(workspace, read_dataset(run_folder.dataset_file), clean)
        for kind, write in ((Target.ONNX, export_onnx), (Target.TORCH, export_torch)):
            if kind in to:
                done = write(model, pictures, target)
                gap = f"{done.largest_difference:.1e}"
                typer.echo(f"{done.file}: checked on {done.images} pictures, largest difference {gap}")
