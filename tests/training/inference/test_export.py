"""An exported model answers what the trained one does, on pictures of any size and shape."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from preprocessing.images.decode import shrink
from training.inference.classifier import Classifier
from training.inference.export import TOLERANCE, check_answers, export_onnx, export_torch
from training.inference.onnx_resize import preprocessing_graph
from training.network.backbone import Backbone, Network
from training.network.registry import BACKBONES, build_network
from training.network.views import clean_view
from training.stats.calibration import Calibration
from training.stats.ood import OodLimits
from workspace.errors import ModelError

SPEC = BACKBONES["efficientnet_lite0"]


def _picture(height: int, width: int) -> np.ndarray:
    """Smooth parts and hard edges."""
    rng = np.random.default_rng((height, width))
    coarse = Image.fromarray(rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 3), dtype=np.uint8))
    picture = np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))
    picture[height // 3 : height // 2, : width // 2] = (255, 0, 30)
    return picture


@pytest.fixture(scope="module", params=[0, 2], ids=["head alone", "fine-tuned copy"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, save_model: Callable[..., Path]
) -> Classifier:
    network = Network.untrained(Backbone(SPEC, build_network(SPEC, 3)), 3, request.param)
    nn.init.normal_(network.head.weight, std=0.3)
    if network.tuned is not None:
        for parameter in network.tuned.parameters():
            parameter.data += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    folder = save_model(
        tmp_path_factory.mktemp("model"),
        ("ape", "bee", "고양이"),
        network=network,
        chosen="finetuned" if request.param else "head",
        tuned_stages=request.param,
    )
    reference = np.random.default_rng(0).normal(size=(7, SPEC.feature_dim)).astype(np.float16)
    Calibration(1.6, (OodLimits(0.95, 0.4, 0.9),), reference, 30).write(folder)
    return Classifier.load(folder, "cpu")


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    graph = preprocessing_graph(256, 256, 224)
    onnx.checker.check_model(graph, full_check=True)
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "size",
    [(256, 256), (256, 300), (90, 120), (1, 5), (300, 700), (800, 300), (257, 3000), (1601, 1733), (2305, 2000)],
    ids=str,
)
def test_the_graph_cuts_pictures_as_prediction_does(session, size):
    picture = _picture(*size)
    found = session.run(None, {"pictures": picture[None]})[0][0]
    assert np.array_equal(found, clean_view(shrink(picture, 256)))


def test_onnx_answers_what_the_model_answers(model, tmp_path):
    pictures = [_picture(333, 500), _picture(240, 180)]
    done = export_onnx(model, pictures, tmp_path)
    assert done.images == 2 and 0 < done.largest_difference <= TOLERANCE
    found = onnxruntime.InferenceSession(done.file, providers=["CPUExecutionProvider"])
    meta = found.get_modelmeta().custom_metadata_map
    assert json.loads(meta["classes"]) == ["ape", "bee", "고양이"]
    assert json.loads(meta["limits"])[0]["min_probability"] == 0.4
    twice = np.stack([_picture(100, 130)] * 2)
    probabilities, distance = found.run(["probabilities", "distance"], {"pictures": twice})
    answer = model.answers([twice[0]])[0]
    np.testing.assert_allclose(probabilities[1], list(answer.probabilities.values()), atol=TOLERANCE)
    assert distance[1] == pytest.approx(answer.distance, abs=TOLERANCE)


def test_torch_export_answers_what_the_model_answers(model, tmp_path):
    done = export_torch(model, [_picture(333, 500)], tmp_path)
    assert done.largest_difference <= TOLERANCE
    module = torch.export.load(done.file).module()
    views = torch.from_numpy(np.stack([model.view(_picture(60, 80 + n)) for n in range(3)]))
    assert [tuple(values.shape) for values in module(views)] == [(3, 3), (3, 3), (3,)]


def test_answers_that_differ_are_refused(model, tmp_path):
    picture = _picture(333, 500)
    right = np.float32([list(model.answers([picture])[0].probabilities.values())])
    assert check_answers(model, [picture], [[right]], tmp_path / "model.onnx").largest_difference < 1e-6
    for wrong in (right + 2e-4, right * np.nan):
        with pytest.raises(ModelError, match=r"model\.onnx was not written: its answers differ by"):
            check_answers(model, [picture], [[wrong.astype(np.float32)]], tmp_path / "model.onnx")


def test_only_an_export_to_onnx_loads_the_libraries_of_onnx() -> None:
    script = """
import sys
import cli.main, training.inference.classifier, training.publish, training.inference.export
print(*sorted({"onnx", "onnxruntime", "onnxscript", "onnx_ir"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
