"""Each exported file is opened by its own runtime, and gives what its card says."""

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.main import app
from training.export.devices.card import DeviceCard
from training.export.devices.formats import DEVICE_FORMATS
from training.export.devices.tflite import UnsortedAnswers
from training.export.devices.write import export_for_device
from training.export.job import ExportJob
from training.stats.ood import OodLimits
from workspace.storage.paths import Workspace


def answers(run, job: ExportJob) -> Mapping[str, np.ndarray]:
    """Outputs of a runtime on every test picture, by name."""
    found = [run(job.cache.read(sample.sha256)) for sample in job.samples if sample.split == "test"]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def holds(card: DeviceCard, found: Mapping[str, np.ndarray], job: ExportJob) -> None:
    """Check the card's figures against the outputs of a runtime."""
    labels = np.array([job.model.classes.index(s.label) for s in job.samples if s.split == "test"])
    scores = card.measured.exported
    assert scores.accuracy.value == (found["probabilities"].argmax(1) == labels).mean()
    limits: OodLimits = card.limits[0]
    assert scores.answered == limits.accepts(found["probabilities"].max(1), found["distance"]).mean()
    assert card.measured.own.accuracy.value - scores.accuracy.value <= card.measured.limit
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, atol=1e-3)


def test_int8_is_smaller_answers_like_the_model_and_takes_pictures_of_any_size(
    trained: Workspace, job: ExportJob, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -e .[export]")
    words = ["export", "-w", str(trained.root), "--to", "onnx", "--to", "onnx-int8", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "onnx-int8"
    assert (folder / "model.onnx").stat().st_size < 0.6 * (tmp_path / "model.onnx").stat().st_size
    session, whole = (onnxruntime.InferenceSession(file) for file in (folder / "model.onnx", tmp_path / "model.onnx"))
    assert [item.name for item in session.get_outputs()] == [item.name for item in whole.get_outputs()]
    found = answers(lambda image: named(session, image), job)
    holds(DeviceCard.read(folder / "card.json"), found, job)
    own = answers(lambda image: named(whole, image), job)
    assert 1e-4 < np.abs(found["probabilities"] - own["probabilities"]).max() < 0.2  # 8 bits, and still its answers
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == list(job.model.classes)
    large = np.zeros((1, 700, 900, 3), np.uint8)
    assert session.run(["probabilities"], {"pictures": large})[0].shape == (1, len(job.model.classes))


def named(session, image: np.ndarray) -> dict[str, np.ndarray]:
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pictures": np.ascontiguousarray(image)[None]}), strict=True))


@pytest.mark.parametrize("name", ["openvino", "litert"])
def test_a_file_of_floating_point_gives_the_models_answers(name: str, job: ExportJob, tmp_path: Path) -> None:
    made = DEVICE_FORMATS[name]
    for module in made.modules:
        pytest.importorskip(module, reason=f"{module} is not installed: pip install -e .[{made.extra}]")
    export_for_device(made, job, tmp_path)
    found = answers(made.opened(job, tmp_path / name), job)
    card = DeviceCard.read(tmp_path / name / "card.json")
    holds(card, found, job)
    own = job.model.probabilities([job.cache.read(s.sha256) for s in job.samples if s.split == "test"])
    np.testing.assert_allclose(found["probabilities"], own, atol=0.01)
    assert set(found) == set(card.gives) == {"logits", "probabilities", "distance"}


def test_the_distance_without_sorting_is_that_of_sorting_with_ties_too(job: ExportJob) -> None:
    values = torch.tensor([[0.1, 0.9, 0.9, -1.0, 0.3, 0.2], [0.5, 0.5, 0.5, 0.5, 0.5, 0.4]])
    answers = UnsortedAnswers(job.model)
    for k in range(1, 7):
        assert answers.kth_largest(values, k).tolist() == values.topk(k).values[:, -1].tolist()


def test_core_ml_is_made_everywhere_and_measured_on_macos(job: ExportJob, tmp_path: Path) -> None:
    pytest.importorskip("coremltools", reason="coremltools is not installed: pip install -e .[coreml]")
    import coremltools

    made = DEVICE_FORMATS["coreml"]
    job = ExportJob(job.workspace, job.run, force=True)
    text = export_for_device(made, job, tmp_path)
    description = coremltools.models.MLModel(str(tmp_path / "coreml" / made.file), skip_model_load=True).get_spec()
    assert {output.name for output in description.description.output} == {"logits", "probabilities", "distance"}
    assert ("Core ML predicts on macOS only" in text) == (sys.platform != "darwin")


def test_without_its_package_a_format_says_how_to_get_it(trained: Workspace, tmp_path: Path, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "openvino" else find(name))
    words = ["export", "-w", str(trained.root), "--to", "openvino", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and "which the extra `openvino` brings" in str(done.exception)
    assert not (tmp_path / "out").exists()
