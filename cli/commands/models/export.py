"""The command `export`: a model or its dataset for other programs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.app import OTHER, Folder, app
from cli.documents.models import Export, Exports
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder


class Target(StrEnum):
    """Format that `export` writes: those of the model, then those of the dataset."""

    ONNX = "onnx"
    TORCH = "torch"
    TIMM = "timm"
    HUB = "hub"
    ONNX_INT8 = "onnx-int8"
    OPENVINO = "openvino"
    LITERT = "litert"
    COREML = "coreml"
    IMAGEFOLDER = "imagefolder"
    PARQUET = "parquet"
    WEBDATASET = "webdataset"


@app.command(rich_help_panel=OTHER)
def export(
    folder: Folder,
    to: Annotated[list[Target], typer.Option("--to", help="Format; repeatable.")],
    run: Annotated[str | None, typer.Option("--run", help="Run to export; default: that of the live model.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Target folder; default: the run's export/.")] = None,
    max_fall: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Largest fall of accuracy, calibration or refusal in a file for devices (onnx-int8, openvino, litert, "
            "coreml).",
            show_default="one standard error of the test accuracy, at least 0.005",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write a file for devices although it falls further, or is not measured.")
    ] = False,
) -> None:
    """Write the model (ONNX, torch.export, timm, hub, files for devices) or its dataset.

    Each model is compared with the trained one on real pictures. It is not written if outputs differ by over 0.0001;
    timm and hub hold one plain network, and say what it costs where that is not the whole model. Files for devices are
    measured again on the test pictures, and written if they are no worse than --max-fall allows.
    """
    from preprocessing.dataset.export.formats import DATASET_FORMATS
    from workspace.storage.champion import answering_run

    workspace = Workspace(folder)
    run_folder = answering_run(workspace, run)
    target = out or run_folder.export
    names = list(dict.fromkeys(to))
    made = list(_export_dataset(workspace, run_folder, target, [name for name in names if name in DATASET_FORMATS]))
    if of_model := [name for name in names if name not in DATASET_FORMATS]:
        from training.export.formats import MODEL_FORMATS
        from training.export.job import ExportJob

        job = ExportJob(workspace, run_folder, max_fall, force)
        made += [_told(name, MODEL_FORMATS[name](job, target)) for name in of_model]
    output.answer(Exports(workspace=str(folder), run_id=run_folder.run_id, folder=str(target), exports=made))


def _export_dataset(workspace: Workspace, run: RunFolder, target: Path, names: Collection[str]) -> Iterator[Export]:
    from preprocessing.dataset.export.columns import split_counts
    from preprocessing.dataset.export.formats import DATASET_FORMATS
    from workspace.storage.dataset import read_dataset

    for name in names:
        samples = read_dataset(run.dataset_file)
        place = target / DATASET_FORMATS[name].folder
        DATASET_FORMATS[name].write(workspace, samples, place, workspace.root.resolve().name)
        words = ", ".join(f"{split} {count}" for split, count in split_counts(samples).items())
        yield _told(
            name, f"{place}: {words} pictures; each keeps its own licence, see the columns license and attribution"
        )


def _told(name: str, summary: str) -> Export:
    """Say at once what was written: the next format may take minutes, or fail."""
    output.tell(summary)
    return Export(format=str(name), summary=summary)
