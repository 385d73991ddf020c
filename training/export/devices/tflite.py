"""LiteRT (TensorFlow Lite), for Android, iOS and microcomputers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.export.devices.device_format import Run
from training.export.job import ExportJob
from training.inference.answering import AnsweringNetwork, Answers
from training.inference.export import example_views, quiet_exporters
from training.stats.calibration import Calibration

FILE = "model.tflite"


class UnsortedAnswers(Answers):
    """Answers without sorting, which LiteRT's interpreter does not know."""

    def kth_largest(self, values: torch.Tensor, k: int) -> torch.Tensor:
        """Take the largest value of each row away, k - 1 times."""
        places = torch.arange(values.shape[1])
        for _ in range(k - 1):
            values = torch.where(places == values.argmax(1, keepdim=True), -2.0, values)  # less than any cosine
        return values.max(1).values


def convert(job: ExportJob, folder: Path) -> Calibration | None:
    """Write model.tflite."""
    import litert_torch

    network = AnsweringNetwork(job.model, UnsortedAnswers(job.model)).eval()
    with quiet_exporters():
        litert_torch.convert(network, (example_views(job.model, 1),)).export(str(folder / FILE))
    return job.model.calibration


def opened(job: ExportJob, folder: Path) -> Run:
    """Open the file with LiteRT's interpreter on the processor."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / FILE))
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    names = Answers(job.model).names
    outputs = sorted(interpreter.get_output_details(), key=lambda output: output["name"])

    def run(image: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[np.float32]]:
        interpreter.set_tensor(source["index"], job.model.view(image)[None])
        interpreter.invoke()
        found = [interpreter.get_tensor(output["index"]) for output in outputs]
        return dict(zip(names, found, strict=True))

    return run
