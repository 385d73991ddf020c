"""OpenVINO's intermediate representation, weights in 16 bits, for processors, graphics and NPUs of Intel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.export.devices.device_format import Run
from training.export.job import ExportJob
from training.inference.answering import AnsweringNetwork
from training.inference.export import example_views, to_onnx
from training.stats.calibration import Calibration

FILE = "model.xml"


def convert(job: ExportJob, folder: Path) -> Calibration | None:
    """Write model.xml and model.bin.

    The file of ONNX is read by the runtime itself: `openvino.convert_model` reports its use to a server.
    """
    import openvino

    network = AnsweringNetwork(job.model)
    source = folder / "source.onnx"
    source.write_bytes(to_onnx(network, example_views(job.model), "views", network.answers.names).SerializeToString())
    openvino.save_model(openvino.Core().read_model(source), folder / FILE, compress_to_fp16=True)
    source.unlink()
    return job.model.calibration


def opened(job: ExportJob, folder: Path) -> Run:
    """Open the files with OpenVINO's runtime on the processor."""
    import openvino

    compiled = openvino.Core().compile_model(folder / FILE, "CPU")
    names = [output.get_any_name() for output in compiled.outputs]

    def run(image: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[np.float32]]:
        found = compiled({"views": job.model.view(image)[None]})
        return {name: np.array(found[number]) for number, name in enumerate(names)}

    return run
