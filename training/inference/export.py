"""Export a model to ONNX, with the preprocessing inside, or to torch.export; both are checked against the model."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from preprocessing.images.isolated_decode import decode_full_isolated
from training.inference.classifier import Classifier
from training.network.backbone import Network, normalised
from training.stats.ood import NEIGHBOURS, neighbour_distances
from training.stats.scores import softmax
from workspace.catalog.records import Sample
from workspace.config.clean import CleanConfig
from workspace.errors import ModelError, needs_extra
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import CARD_NAME, ONNX_NAME, TORCH_NAME, Workspace, write_atomic

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


class AnsweringNetwork(nn.Module):
    """The network with normalisation, calibration and distances, for export.

    The input is views, uint8 [n, crop, crop, 3]. The outputs are logits and calibrated probabilities, float32 [n,
    classes], and, where the model has a limit for it, the distance to the training images, float32 [n].
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.network: Network = model.network.cpu().eval()
        self.mean, self.std = model.card.input.mean, model.card.input.std
        self.temperature = model.calibration.temperature if model.calibration else 1.0
        bank = torch.zeros(0, 0)
        if model.calibration and model.calibration.limits[0].max_distance is not None:
            bank = nn.functional.normalize(torch.from_numpy(model.calibration.reference.astype(np.float32)))
        self.register_buffer("bank", bank)

    def forward(self, views: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the outputs for views that are cropped already."""
        features = self.network.features(normalised(views, self.mean, self.std))
        logits = self.network.head(features)
        answers = (logits, (logits / self.temperature).softmax(1))
        bank = self.get_buffer("bank")
        if not len(bank):
            return answers
        cosines = nn.functional.normalize(features[:, : bank.shape[1]]) @ bank.T
        nearest = cosines.topk(min(NEIGHBOURS, len(bank))).values
        return (*answers, (1 - nearest[:, -1]).clamp(0, 2))


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
    # Imported here because they take seconds to load, and only this function needs them.
    with needs_extra("export", "an ONNX export"):
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx loads it)

        from training.inference.onnx_resize import IR_VERSION, OPSET, preprocessing_graph

    network = AnsweringNetwork(model)
    outputs = ["logits", "probabilities", *(["distance"] if len(network.get_buffer("bank")) else [])]
    with _silence():
        program = torch.onnx.export(
            network,
            (_example(model),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["views"],
            output_names=outputs,
            dynamic_shapes={"views": {0: torch.export.Dim("n", min=1)}},
            verbose=False,
        )
    assert program is not None
    body = program.model_proto
    body.ir_version = IR_VERSION
    card = model.card
    views = preprocessing_graph(card.cache_side_px, card.input.resize_px, card.input.crop_px)
    joined = onnx.compose.merge_models(
        onnx.compose.add_prefix(views, "preprocess/"),
        body,
        io_map=[(f"preprocess/{views.graph.output[0].name}", "views")],
    )
    joined.graph.input[0].name = "pictures"
    for node in joined.graph.node:
        node.input[:] = ["pictures" if name == "preprocess/pictures" else name for name in node.input]
    onnx.helper.set_model_props(joined, _properties(model))
    onnx.checker.check_model(joined, full_check=True)
    data = joined.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = [session.run(outputs[1:], {"pictures": np.ascontiguousarray(image)[None]}) for image in images]
    exported = check_answers(model, images, found, folder / ONNX_NAME)
    write_atomic(exported.file, data)
    return exported


def export_torch(model: Classifier, images: Sequence[Pixels], folder: Path) -> Exported:
    """Write model.pt2 for torch.export.load; its input and outputs are those of AnsweringNetwork.

    Images must be cropped to views first, as training.network.views.clean_view does. Arguments and errors as in
    export_onnx.
    """
    network = AnsweringNetwork(model)
    with _silence():
        program = torch.export.export(
            network, (_example(model),), dynamic_shapes={"views": {0: torch.export.Dim("n", min=1)}}
        )
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={CARD_NAME: json.dumps(_properties(model))})
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
        samples: the dataset.
        clean: limits of decoding.

    Raises:
        WorkspaceError: a file is missing.
        ImageRefused: a file can no longer be decoded.
    """
    images = ImageStore(workspace)
    order = sorted(samples, key=lambda sample: (sample.split != "test", sample.sha256))
    by_label = [
        [sample for sample in order if sample.label == label] for label in sorted({sample.label for sample in samples})
    ]
    alternating = [sample for row in zip_longest(*by_label) for sample in row if sample is not None]
    return [decode_full_isolated(images.get(sample.sha256), clean).pixels for sample in alternating[:CHECKED]]


def _example(model: Classifier) -> torch.Tensor:
    side = model.card.input.crop_px
    return torch.zeros((2, side, side, 3), dtype=torch.uint8)


def _properties(model: Classifier) -> dict[str, str]:
    """Return the metadata that a program needs to read the outputs; all values are strings, as ONNX requires."""
    values = {
        "classes": json.dumps(list(model.classes), ensure_ascii=False),
        "run_id": model.card.run_id,
        "input": "upright RGB, uint8, [pictures, height, width, 3]",
    }
    if model.calibration:
        values["limits"] = json.dumps([asdict(limits) for limits in model.calibration.limits])
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
        own = softmax(outputs.logits, calibration.temperature if calibration else 1.0)
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
def _silence() -> Iterator[None]:
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
