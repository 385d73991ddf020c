"""The command `export`: a model or its dataset for other programs."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.app import OTHER, Folder, app
from workspace.storage.paths import RunFolder, Workspace


class Target(StrEnum):
    """Format that `export` writes: those of the model, then those of the dataset."""

    ONNX = "onnx"
    TORCH = "torch"
    TIMM = "timm"
    HUB = "hub"
    IMAGEFOLDER = "imagefolder"
    PARQUET = "parquet"
    WEBDATASET = "webdataset"


@app.command(rich_help_panel=OTHER)
def export(
    folder: Folder,
    to: Annotated[list[Target], typer.Option("--to", help="Format; repeatable.")],
    run: Annotated[str | None, typer.Option("--run", help="Run to export; default: that of the live model.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Target folder; default: the run's export/.")] = None,
) -> None:
    """Write the model (ONNX, torch.export, timm, hub) or its dataset (imagefolder, Parquet, WebDataset).

    Each model is compared with the trained one on real pictures. It is not written if outputs differ by over 0.0001;
    timm and hub hold one plain network, and say what it costs where that is not the whole model.
    """
    from preprocessing.dataset.export.formats import DATASET_FORMATS
    from workspace.storage.champion import answering_run

    workspace = Workspace(folder)
    run_folder = answering_run(workspace, run)
    target = out or run_folder.export
    names = list(dict.fromkeys(to))
    _export_dataset(workspace, run_folder, target, [name for name in names if name in DATASET_FORMATS])
    _export_model(workspace, run_folder, target, [name for name in names if name not in DATASET_FORMATS])


def _export_dataset(workspace: Workspace, run: RunFolder, target: Path, names: Collection[str]) -> None:
    from preprocessing.dataset.export.columns import split_counts
    from preprocessing.dataset.export.formats import DATASET_FORMATS
    from workspace.storage.dataset import read_dataset

    for name in names:
        samples = read_dataset(run.dataset_file)
        place = target / DATASET_FORMATS[name].folder
        DATASET_FORMATS[name].write(workspace, samples, place, workspace.root.resolve().name)
        words = ", ".join(f"{split} {count}" for split, count in split_counts(samples).items())
        typer.echo(f"{place}: {words} pictures; each keeps its own licence, see the columns license and attribution")


def _export_model(workspace: Workspace, run: RunFolder, target: Path, names: Collection[str]) -> None:
    if not names:
        return
    from training.export.formats import MODEL_FORMATS
    from training.export.job import ExportJob

    job = ExportJob(workspace, run)
    for name in names:
        typer.echo(MODEL_FORMATS[name](job, target))
