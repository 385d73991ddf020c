"""An exported folder opened by timm and by transformers gives what it says it gives."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from training.export.timm_folder import export_timm
from training.inference.export import TOLERANCE
from workspace.errors import ModelError

KINDS = ["amber", "blue", "cyan"]


def opened(folder: Path) -> torch.nn.Module:
    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


def logits_of(network: torch.nn.Module, images: list[np.ndarray]) -> np.ndarray:
    """By timm's own preprocessing."""
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    with torch.inference_mode():
        return network(torch.stack([transform(Image.fromarray(np.array(image))) for image in images])).numpy()


@pytest.mark.parametrize(
    ("backbone", "crop_px"),
    [("efficientnet_lite0", 224), ("resnet18", 224), ("timm:test_vit", 160), ("timm:test_convnext", 160)],
)
def test_a_head_on_the_last_stage_is_the_model_itself(backbone: str, crop_px: int, job_of, tmp_path: Path) -> None:
    job = job_of(backbone, crop_px=crop_px)
    made = export_timm(job, tmp_path / "out")
    assert made.is_whole and made.largest_difference <= TOLERANCE
    network = opened(made.folder)
    inputs = job.model.inputs(job.images)
    with torch.inference_mode():
        np.testing.assert_allclose(network(inputs), job.model.network(inputs), atol=TOLERANCE)
    assert network.pretrained_cfg["label_names"] == KINDS
    assert sorted(file.name for file in made.folder.iterdir()) == ["config.json", "model.safetensors"]


def test_its_own_preprocessing_gives_our_logits_where_nothing_is_resized(job_of, tmp_path: Path) -> None:
    job = job_of("efficientnet_lite0", crop_px=224)
    even = [image[:, : image.shape[1] // 4 * 4] for image in job.images]  # 256 px high; cut at the same whole pixel
    network = opened(export_timm(job, tmp_path / "out").folder)
    np.testing.assert_allclose(logits_of(network, even), job.model.outputs(even).logits, atol=TOLERANCE)
    assert timm.data.resolve_model_data_config(network)["crop_pct"] == 0.875


@pytest.mark.parametrize(("head_stages", "tuned"), [(3, 0), (1, 2), (3, 2)])
def test_a_head_on_more_is_fitted_on_the_last_stage_and_what_it_costs_is_measured(
    head_stages: int, tuned: int, job_of, tmp_path: Path
) -> None:
    job = job_of("efficientnet_lite0", head_stages, tuned)
    made = export_timm(job, tmp_path / "out")
    assert not made.is_whole
    test = [sample for sample in job.samples if sample.split == "test"]
    with torch.inference_mode():
        inputs = job.model.inputs([job.cache.read(sample.sha256) for sample in test])
        found, own = opened(made.folder)(inputs).argmax(1).numpy(), job.model.network(inputs).argmax(1).numpy()
    right = np.array([KINDS.index(sample.label) for sample in test])
    cost = made.single.comparison
    assert cost.images == len(test)
    assert (cost.accuracy, cost.own_accuracy) == ((found == right).mean(), (own == right).mean())
    assert cost.agreement == (found == own).mean() == 1
    assert f"accuracy {cost.accuracy:.3f} on 3 test pictures, the model's own {cost.own_accuracy:.3f}" in made.summary()


def test_the_fine_tuned_copy_is_what_is_kept_and_an_average_without_the_rest_is_exact(job_of, tmp_path: Path) -> None:
    job = job_of("efficientnet_lite0", 1, 2)
    network = job.model.network
    with torch.no_grad():
        network.head.weight[:, : network.backbone.width] = 0
    made = export_timm(job, tmp_path / "out")
    assert made.is_whole and made.largest_difference <= TOLERANCE


def test_transformers_opens_it_with_the_names_of_the_classes(job_of, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e .[dev]")
    job = job_of("efficientnet_lite0", crop_px=224)
    folder = export_timm(job, tmp_path / "out").folder
    image = job.images[0][:, : job.images[0].shape[1] // 4 * 4]
    Image.fromarray(np.array(image)).save(tmp_path / "x.png")
    script = f"""
import json, torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification
model = AutoModelForImageClassification.from_pretrained({str(folder)!r}).eval()
processor = AutoImageProcessor.from_pretrained({str(folder)!r})
inputs = processor(Image.open({str(tmp_path / "x.png")!r}), return_tensors="pt")
with torch.inference_mode():
    logits = model(**inputs).logits[0].tolist()
print(json.dumps([type(model).__name__, list(model.config.id2label.values()), logits]))
"""
    environment = {"HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    kind, names, logits = json.loads(done.stdout.splitlines()[-1])
    assert (kind, names) == ("TimmWrapperForImageClassification", KINDS)
    np.testing.assert_allclose(logits, job.model.outputs([image]).logits[0], atol=TOLERANCE)


def test_a_folder_whose_logits_differ_is_not_written(job_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of("efficientnet_lite0")
    monkeypatch.setattr("training.export.timm_folder._tensors", lambda network: _disturbed(network))
    with pytest.raises(ModelError, match=r"out was not written: timm's tf_efficientnet_lite0 gives logits that differ"):
        export_timm(job, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _disturbed(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: tensor.clone() + (0.01 if name == "classifier.bias" else 0)
        for name, tensor in network.state_dict().items()
    }
