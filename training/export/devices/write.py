"""Write a model for a device: convert, measure by the format's own runtime, and keep it only if it did not fall."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from training.export.devices.card import OUTPUTS, DeviceCard, Measured, readme, rows
from training.export.devices.device_format import DeviceFormat
from training.export.devices.measure import measure
from training.export.job import ExportJob
from training.inference.answering import Answers
from training.stats.calibration import Calibration
from workspace.errors import ModelError
from workspace.files.atomic import write_atomic
from workspace.files.whole_folder import whole_folder
from workspace.storage.run_folder import CARD_NAME, README_NAME


def export_for_device(made: DeviceFormat, job: ExportJob, target: Path) -> str:
    """Write the folder of a format, whole or not at all; say in a line what was measured.

    Args:
        made: the format.
        job: the model with its run, the limit, and whether to write what exceeds it.
        target: the folder that gets the format's own.

    Raises:
        ExtraMissing: its package is not installed.
        ModelError: the file is worse by more than the limit, or it cannot be run here; nothing
            is written then.
        WorkspaceError: the folder cannot be written, or an image's file is gone.
    """
    made.require()
    folder = target / made.name
    own = rf"{re.escape(Path(made.file).stem)}\..+|{re.escape(CARD_NAME)}|{re.escape(README_NAME)}"
    with whole_folder(folder, own) as trial:
        calibration = made.convert(job, trial)
        measured = None
        if why := made.why_not_run():
            if not job.force:
                raise ModelError(
                    f"{folder} was not written, since it cannot be measured here: {why}. Run the same command there, "
                    "or write it unmeasured with --force"
                )
        else:
            measured = measure(job, made.opened(job, trial), calibration)
            if measured.fell and not job.force:
                raise ModelError(_refusal(folder, measured))
        card = _card(made, job, trial, calibration, measured, why)
        card.write(trial / CARD_NAME)
        write_atomic(trial / README_NAME, readme(card, made.title, job.workspace.root.resolve().name).encode())
    return _line(folder, card)


def _refusal(folder: Path, measured: Measured) -> str:
    return (
        f"{folder} was not written: on {measured.n} test pictures its {'; its '.join(measured.fell)}; the limit is "
        f"{measured.limit:.3f} (--max-fall). Export another format (onnx is the model itself), train another backbone, "
        "or write it all the same with --force"
    )


def _card(
    made: DeviceFormat,
    job: ExportJob,
    trial: Path,
    calibration: Calibration | None,
    measured: Measured | None,
    why: str,
) -> DeviceCard:
    size = job.model.card.input
    return DeviceCard(
        format=1,
        kind=made.name,
        file=made.file,
        run_id=job.model.card.run_id,
        classes=job.model.classes,
        takes=made.takes.format(crop=size.crop_px, resize=size.resize_px),
        gives={name: OUTPUTS[name] for name in Answers(job.model).names},
        temperature=calibration.temperature if calibration else 1.0,
        limits=calibration.limits if calibration else (),
        size_mb=sum(file.stat().st_size for file in trial.rglob("*") if file.is_file()) / 1e6,
        measured=measured,
        not_measured=why,
        versions={name: version(name) for name in ("torch", *made.distributions)},
    )


def _line(folder: Path, card: DeviceCard) -> str:
    if card.measured is None:
        return f"{folder}: {card.size_mb:.1f} MB, not measured: {card.not_measured}"
    figures = "; ".join(f"{words} {exported} (the model's own {own})" for words, own, exported in rows(card.measured))
    forced = (
        f"; written by --force although it fell by more than {card.measured.limit:.3f}" if card.measured.fell else ""
    )
    return f"{folder}: {card.size_mb:.1f} MB; on {card.measured.n} test pictures {figures}{forced}"
