"""Export a model to ONNX, with the preprocessing inside, or to torch.export; both are checked against the model."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from preprocessing.images.isolated_decode import decode_full_isolated
from training.inference.answering import AnsweringNetwork
from training.inference.classifier import Classifier
from training.stats.calibration import Calibration
from training.stats.ood import neighbour_distances
from training.stats.scores import softmax
from workspace.catalog.records import Sample
from workspace.config.clean import CleanConfig
from workspace.errors import ModelError, needs_extra
from workspace.files.atomic import write_atomic
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import CARD_NAME, ONNX_NAME, TORCH_NAME

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-4
"""Largest accepted difference of a probability or a distance between the exported model and the trained one."""

CHECKED = 24
"""Number of images that an export is checked on."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported file, and the largest difference of its outputs from the model's on the checked images."""

    file: Path
    largest_difference: float
    images: int


def export_onnx(model: Classifier, images: Sequence[Pixels], folder: Path) -> Exported:
    """Write model.onnx, preprocessing included.

    Its input `pictures` takes upright RGB of any size, uint8 [n, h, w, 3]; its outputs are those of AnsweringNetwork.
    Its metadata hold the classes in order and the limits for the answer `none`.

    Args:
        model: on the CPU.
        images: photographs in full size, on which the export is checked.
        folder: receives the file.

    Raises:
        ExtraMissing: the extra `export` is not installed.
        ModelError: an output differs by more than TOLERANCE from the model's; nothing is written then.
        WorkspaceError: the folder cannot be written.
    """
    # Imported here because they take seconds to load, and only ONNX needs them; all of them before work begins.
    with needs_extra("export", "an ONNX export"):
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401

    network = AnsweringNetwork(model)
    joined = with_preprocessing(
        to_onnx(network, example_views(model), "views", network.answers.names), model, model.calibration
    )
    data = joined.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    outputs = network.answers.names[1:]
    found = [session.run(outputs, {"pictures": np.ascontiguousarray(image)[None]}) for image in images]
    exported = check_answers(model, images, found, folder / ONNX_NAME)
    write_atomic(exported.file, data)
    return exported


def to_onnx(module: nn.Module, example: torch.Tensor, name: str, outputs: Sequence[str]) -> onnx.ModelProto:
    """Export a module of one input to ONNX.

    Args:
        module: in eval mode, on the CPU.
        example: an input; its first dimension may have any size in the export.
        name: of the input.
        outputs: names of the outputs.
    """
    with needs_extra("export", "an ONNX export"):
        import onnxscript  # noqa: F401 (torch.onnx loads it)

        from training.inference.onnx_resize import IR_VERSION, OPSET

    with quiet_exporters():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[name],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
            verbose=False,
        )
    assert program is not None
    made: onnx.ModelProto = program.model_proto
    made.ir_version = IR_VERSION
    return made


def with_preprocessing(body: onnx.ModelProto, model: Classifier, calibration: Calibration | None) -> onnx.ModelProto:
    """Put the preprocessing before a graph of views, and the classes and limits into its metadata.

    Args:
        body: its input `views` is uint8 [n, crop, crop, 3].
        model: whose preprocessing.
        calibration: whose limits.
    """
    with needs_extra("export", "an ONNX export"):
        import onnx

        from training.inference.onnx_resize import preprocessing_graph

    card = model.card
    joined = chained(
        preprocessing_graph(card.cache_side_px, card.input.resize_px, card.input.crop_px), body, "preprocess/"
    )
    onnx.helper.set_model_props(joined, _properties(model, calibration))
    onnx.checker.check_model(joined, full_check=True)
    return joined


def chained(first: onnx.ModelProto, second: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """Feed the only output of a graph to the only input of another.

    Args:
        first: keeps the name of its input; all its other names get the prefix.
        second: keeps its names.
        prefix: which no name of `second` has.
    """
    import onnx

    name, named = first.graph.input[0].name, onnx.compose.add_prefix(first, prefix)
    joined: onnx.ModelProto = onnx.compose.merge_models(
        named, second, io_map=[(named.graph.output[0].name, second.graph.input[0].name)]
    )
    joined.graph.input[0].name = name
    for node in joined.graph.node:
        node.input[:] = [name if of_node == f"{prefix}{name}" else of_node for of_node in node.input]
    return joined


def export_torch(model: Classifier, images: Sequence[Pixels], folder: Path) -> Exported:
    """Write model.pt2 for torch.export.load; its input and outputs are those of AnsweringNetwork.

    Images must be cropped to views first, as training.network.views.clean_view does. Arguments and errors as in
    export_onnx.
    """
    network = AnsweringNetwork(model)
    with quiet_exporters():
        program = torch.export.export(
            network, (example_views(model),), dynamic_shapes={"views": {0: torch.export.Dim("n", min=1)}}
        )
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={CARD_NAME: json.dumps(_properties(model, model.calibration))})
        buffer.seek(0)
        module = torch.export.load(buffer).module()
        with torch.inference_mode():
            found = [
                [values.numpy() for values in module(torch.from_numpy(model.view(image)[None]))][1:] for image in images
            ]
    exported = check_answers(model, images, found, folder / TORCH_NAME)
    write_atomic(exported.file, buffer.getvalue())
    return exported


def images_to_check(workspace: Workspace, samples: Sequence[Sample], clean: CleanConfig) -> list[Pixels]:
    """Decode images of every class of the dataset in full size, uint8 [h, w, 3]; test images first.

    Args:
        workspace: holds the files.
        samples: the dataset; those whose files were lost or withdrawn are passed over.
        clean: limits of decoding.

    Raises:
        WorkspaceError: all of their files are missing.
        ImageRefused: a file can no longer be decoded.
    """
    images = ImageStore(workspace)
    order = sorted(samples, key=lambda sample: (sample.split != "test", sample.sha256))
    by_label = [
        [sample for sample in order if sample.label == label] for label in sorted({sample.label for sample in samples})
    ]
    alternating = [sample for row in zip_longest(*by_label) for sample in row if sample is not None]
    there = list(islice((sample.sha256 for sample in alternating if images.exists(sample.sha256)), CHECKED))
    return [decode_full_isolated(images.get(name), clean).pixels for name in there or [alternating[0].sha256]]


def example_views(model: Classifier, n: int = 2) -> torch.Tensor:
    """Make n views of a model's size, black: uint8 [n, crop, crop, 3]."""
    side = model.card.input.crop_px
    return torch.zeros((n, side, side, 3), dtype=torch.uint8)


def _properties(model: Classifier, calibration: Calibration | None) -> dict[str, str]:
    """Return the metadata that a program needs to read the outputs; all values are strings, as ONNX requires."""
    values = {
        "classes": json.dumps(list(model.classes), ensure_ascii=False),
        "run_id": model.card.run_id,
        "input": "upright RGB, uint8, [pictures, height, width, 3]",
    }
    if calibration:
        values["limits"] = json.dumps([asdict(limits) for limits in calibration.limits])
    return values


def check_answers(
    model: Classifier, images: Sequence[Pixels], found: Sequence[Sequence[npt.NDArray[np.float32]]], file: Path
) -> Exported:
    """Compare probabilities (and distances) with the model's.

    Args:
        model: the trained model.
        images: uint8 [h, w, 3].
        found: of each image, the outputs of the export: probabilities [1, classes] and, if it has them, distances [1].
        file: the export, for the message.

    Raises:
        ModelError: a value differs by more than TOLERANCE, or is nan.
    """
    largest = 0.0
    for image, (probabilities, *distances) in zip(images, found, strict=True):
        outputs, calibration = model.outputs([image]), model.calibration
        own = softmax(outputs.logits, model.temperature)
        gaps = [np.abs(probabilities - own).max()]
        if distances and calibration:
            gaps.append(np.abs(distances[0] - neighbour_distances(calibration.reference, outputs.features)).max())
        largest = float(np.max([largest, *gaps]))  # unlike max, it keeps a nan
    if not largest <= TOLERANCE:
        raise ModelError(
            f"{file.name} was not written: its answers differ by {largest:.2g} from the model's on one of "
            f"{len(images)} pictures, the limit is {TOLERANCE:g}; please report it, with the backbone "
            f"{model.card.backbone} and the versions in {CARD_NAME}"
        )
    return Exported(file, largest, len(images))


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Silence warnings and logs of torch's exporters about their own internals; errors are still raised."""
    names = ("torch.onnx", "torch.export", "torch._dynamo", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
