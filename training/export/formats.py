"""The registry of formats in which a model is exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from training.export import timm_folder
from training.export.devices.formats import DEVICE_FORMATS
from training.export.devices.write import export_for_device
from training.export.hub import export_hub
from training.export.job import ExportJob
from training.inference.export import Exported, export_onnx, export_torch
from workspace.text.counts import counted


def _onnx(job: ExportJob, target: Path) -> str:
    return _checked(export_onnx(job.model, job.images, target))


def _torch(job: ExportJob, target: Path) -> str:
    return _checked(export_torch(job.model, job.images, target))


def _timm(job: ExportJob, target: Path) -> str:
    made = timm_folder.export_timm(job, target / timm_folder.FOLDER)
    return f"{made.folder}: {made.summary()}" + ("" if made.is_whole else ". --to onnx writes the whole model")


def _checked(done: Exported) -> str:
    return (
        f"{done.file}: checked on {counted(done.images, 'picture')}, largest difference {done.largest_difference:.1e}"
    )


MODEL_FORMATS: Mapping[str, Callable[[ExportJob, Path], str]] = {
    "onnx": _onnx,
    "torch": _torch,
    "timm": _timm,
    "hub": export_hub,
    **{name: partial(export_for_device, made) for name, made in DEVICE_FORMATS.items()},
}
"""By the name that `export --to` takes: writes into the target folder, and says in a line what was written."""
