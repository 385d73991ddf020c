"""ONNX with 8-bit weights and activations, preprocessing included, quantised on the run's own training images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from training.export.devices.device_format import Run
from training.export.devices.refit import learnt, refitted
from training.export.job import ExportJob
from training.inference.answering import Answers, FeatureNetwork
from training.inference.export import chained, example_views, quiet_exporters, to_onnx, with_preprocessing
from training.stats.calibration import Calibration

if TYPE_CHECKING:
    import onnx

FILE = "model.onnx"

CALIBRATED_ON = 200
"""Training images whose activations set the ranges."""

_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
_QUANTISED = (*sorted(_WEIGHTED), "Add", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool")

Pixels = npt.NDArray[np.uint8]


def convert(job: ExportJob, folder: Path) -> Calibration | None:
    """Write model.onnx; input and outputs are those of `export --to onnx`.

    The network is quantised up to its features. Head, softmax and distances stay in floating point: they are a
    thousandth of the work, and their errors would go straight into the answers.

    Returns:
        Temperature and limits, set again for the quantised network.
    """
    model = job.model
    network = to_onnx(FeatureNetwork(model), example_views(model), "views", ["seen"])
    answers = Answers(model, with_features=True)
    seen = torch.zeros((2, model.network.head.in_features))
    body = chained(_quantised(network, _views(job)), to_onnx(answers, seen, "seen", answers.names), "network/")
    calibration = refitted(job, _session(body.SerializeToString(), "views", model.view))
    del body.graph.output[-1]  # the features, which nobody needs any more
    if calibration:
        _set_temperature(body, calibration.temperature)
    (folder / FILE).write_bytes(with_preprocessing(body, model, calibration).SerializeToString())
    return calibration


def opened(job: ExportJob, folder: Path) -> Run:
    """Open the file with onnxruntime."""
    return _session((folder / FILE).read_bytes(), "pictures", np.asarray)


def _session(data: bytes, name: str, prepared: Callable[[Pixels], Pixels]) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def run(image: Pixels) -> Mapping[str, npt.NDArray[np.float32]]:
        found = session.run(outputs, {name: np.ascontiguousarray(prepared(image))[None]})
        return dict(zip(outputs, found, strict=True))

    return run


def _views(job: ExportJob) -> Iterator[Pixels]:
    """Yield views of training images, the classes in turns."""
    samples = learnt(job)
    by_label = [[one for one in samples if one.label == label] for label in job.model.classes]
    turns = [sample for row in zip_longest(*by_label) for sample in row if sample is not None]
    for sample in turns[:CALIBRATED_ON]:
        yield job.model.view(job.cache.read(sample.sha256))


def _quantised(network: onnx.ModelProto, views: Iterator[Pixels]) -> onnx.ModelProto:
    """Quantise a graph of views, statically and per channel, in the QDQ format.

    Weights take 7 of the 8 bits: on x86 processors without VNNI sums of full bytes overflow, which would make the
    answers of a file depend on the machine that it runs on.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="quantise-") as folder, quiet_exporters():
        given, plain, small = (Path(folder, f"{name}.onnx") for name in ("given", "plain", "int8"))
        given.write_bytes(network.SerializeToString())
        quant_pre_process(given, plain, skip_symbolic_shape=True)
        quantize_static(
            plain,
            small,
            _Reader(views),
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=_after_the_last_weights(onnx.load(plain)),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        made: onnx.ModelProto = onnx.load(small)
    made.ir_version = network.ir_version
    return made


class _Reader:
    """What onnxruntime's quantisation reads calibration data from (CalibrationDataReader)."""

    def __init__(self, views: Iterator[Pixels]) -> None:
        self._views = views

    def get_next(self) -> dict[str, Pixels] | None:
        """Return the inputs of the next image; None after the last."""
        view = next(self._views, None)
        return None if view is None else {"views": view[None]}


def _after_the_last_weights(model: onnx.ModelProto) -> list[str]:
    """Name the nodes that no layer with weights comes after: poolings and deviations stay in floating point."""
    needed: set[str] = set()
    excluded = []
    for node in reversed(model.graph.node):  # in topological order
        if node.op_type in _WEIGHTED or needed.intersection(node.output):
            needed.update(node.input)
        else:
            excluded.append(node.name)
    return excluded


def _set_temperature(body: onnx.ModelProto, temperature: float) -> None:
    from onnx import numpy_helper

    (tensor,) = (one for one in body.graph.initializer if one.name.endswith("temperature"))
    shape = numpy_helper.to_array(tensor).shape
    tensor.CopyFrom(numpy_helper.from_array(np.full(shape, temperature, np.float32), tensor.name))
