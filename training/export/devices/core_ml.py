"""Core ML, for the devices of Apple: it is made on every system, and runs on macOS alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.export.devices.device_format import Run
from training.export.job import ExportJob
from training.inference.answering import AnsweringNetwork
from training.inference.export import quiet_exporters
from training.stats.calibration import Calibration

FILE = "model.mlpackage"


class _OfImage(nn.Module):
    """The network on what Core ML makes of an image: float32 [1, 3, crop, crop], values from 0 to 255."""

    def __init__(self, network: AnsweringNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answers: tuple[torch.Tensor, ...] = self.network(image.permute(0, 2, 3, 1))
        return answers


def why_not_run() -> str:
    """Say why Core ML does not predict on this machine."""
    return "" if sys.platform == "darwin" else "Core ML predicts on macOS only"


def convert(job: ExportJob, folder: Path) -> Calibration | None:
    """Write model.mlpackage, weights and arithmetic in 16 bits; its input is an image, its outputs have names."""
    import coremltools

    network = AnsweringNetwork(job.model)
    side = job.model.card.input.crop_px
    with quiet_exporters(), torch.inference_mode():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            _OfImage(network).eval(), torch.zeros((1, 3, side, side))
        )
        made = coremltools.convert(
            traced,
            inputs=[coremltools.ImageType(name="picture", shape=(1, 3, side, side))],
            outputs=[coremltools.TensorType(name=name) for name in network.answers.names],
            convert_to="mlprogram",
            minimum_deployment_target=coremltools.target.iOS16,
        )
    made.save(str(folder / FILE))
    return job.model.calibration


def opened(job: ExportJob, folder: Path) -> Run:
    """Open the package with Core ML; on macOS only."""
    import coremltools
    from PIL import Image

    model = coremltools.models.MLModel(str(folder / FILE))

    def run(image: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[np.float32]]:
        found: Mapping[str, npt.NDArray[np.float32]] = model.predict(
            {"picture": Image.fromarray(job.model.view(image))}
        )
        return found

    return run
