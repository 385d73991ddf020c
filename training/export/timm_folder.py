"""Export a model as a folder that timm and transformers open: config.json and model.safetensors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save as safetensors_bytes

from training.export.job import ExportJob
from training.export.single_network import SingleNetwork, single_network
from training.inference.export import TOLERANCE
from training.stats.scores import softmax
from workspace.errors import ModelError
from workspace.files.whole_folder import whole_folder
from workspace.storage.run_folder import WEIGHTS_NAME
from workspace.text.counts import counted

CONFIG_NAME = "config.json"
FOLDER = "timm"
OWN = re.escape(CONFIG_NAME) + "|" + re.escape(WEIGHTS_NAME)
"""Matches the names of its files."""


@dataclass(frozen=True, slots=True, eq=False)
class TimmFolder:
    """An exported folder.

    Attributes:
        folder: where it is.
        single: the network, and what it costs.
        largest_difference: of a logit from the model's own, over the checked images; None where a layer was fitted.
        preprocessing_difference: of a probability between timm's preprocessing and ours, at the images' full size.
        images: how many were checked.
    """

    folder: Path
    single: SingleNetwork
    largest_difference: float | None
    preprocessing_difference: float
    images: int

    @property
    def is_whole(self) -> bool:
        """Whether the network is the model itself."""
        return self.single.comparison is None

    def summary(self) -> str:
        """Say in a sentence what the network is to the model, and what that costs."""
        resized = (
            f"timm's own preprocessing moved a probability by at most {self.preprocessing_difference:.2g} on "
            f"{counted(self.images, 'picture')} in full size"
        )
        if self.single.comparison is None:
            return f"the model itself: logits differ by at most {self.largest_difference:.1e}; {resized}"
        cost = self.single.comparison
        return (
            f"one {self.single.architecture} in place of the model, its last layer fitted to the model's logits: "
            f"accuracy {cost.accuracy:.3f} on {cost.images} test pictures, the model's own {cost.own_accuracy:.3f}, "
            f"the same class on {100 * cost.agreement:.0f} % of them; {resized}"
        )


def export_timm(job: ExportJob, folder: Path) -> TimmFolder:
    """Write the folder, and check it by opening it with timm as others will.

    Args:
        job: the model with its run.
        folder: the target; created if missing.

    Raises:
        ModelError: timm has no such network, or what it opens gives other logits; nothing is written then.
        WorkspaceError: the folder cannot be written, or an image's file is gone.
    """
    with whole_folder(folder, OWN) as fresh:
        return write_timm(job, fresh, folder)


def write_timm(job: ExportJob, fresh: Path, folder: Path) -> TimmFolder:
    """Write the files into `fresh`, an empty folder that becomes `folder`; errors as in export_timm."""
    single = single_network(job.model, job.cache, job.samples)
    config = json.dumps(_config(job, single), indent=2, ensure_ascii=False)
    (fresh / CONFIG_NAME).write_text(config, encoding="utf-8")
    (fresh / WEIGHTS_NAME).write_bytes(safetensors_bytes(_tensors(single.network), {"format": "pt"}))
    return _check(job, single, fresh, folder)


def _tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}


def _config(job: ExportJob, single: SingleNetwork) -> dict[str, Any]:
    """The config.json of a model on the hub that timm opens (timm, "Sharing and loading models from the hub")."""
    card = job.model.card
    theirs: Mapping[str, Any] = single.network.pretrained_cfg  # type: ignore[assignment]
    kept = ("pool_size", "first_conv", "classifier", "fixed_input_size", "min_input_size")
    config = {
        "architecture": single.architecture,
        "num_classes": len(job.model.classes),
        "num_features": job.model.network.backbone.spec.feature_dim,
        "label_names": list(job.model.classes),
        "pretrained_cfg": {
            **{name: theirs[name] for name in kept if theirs.get(name) is not None},
            "input_size": (3, card.input.crop_px, card.input.crop_px),
            "crop_pct": _crop_pct(card.input.crop_px, card.input.resize_px),
            "crop_mode": "center",
            "interpolation": "bicubic",
            "mean": card.input.mean,
            "std": card.input.std,
            "num_classes": len(job.model.classes),
            "custom_load": False,
        },
        "run_id": card.run_id,
    }
    if job.model.calibration:
        config["temperature"] = job.model.calibration.temperature  # softmax(logits / temperature) is calibrated
    return config


def _preprocessing(network: Any) -> Callable[[Image.Image], torch.Tensor]:
    """What timm itself does to an image before this network."""
    data: Any = timm.data  # without types
    preprocessing: Callable[[Image.Image], torch.Tensor] = data.create_transform(
        **data.resolve_model_data_config(network)
    )
    return preprocessing


def _crop_pct(crop_px: int, resize_px: int) -> float:
    """The share from which timm, rounding down, computes the very size that we resize to."""
    exact = crop_px / resize_px
    return exact if math.floor(crop_px / exact) == resize_px else crop_px / (resize_px + 1e-6)


def _check(job: ExportJob, single: SingleNetwork, trial: Path, folder: Path) -> TimmFolder:
    opened = timm.create_model(f"local-dir:{trial}", pretrained=True).eval()
    transform = _preprocessing(opened)
    temperature = job.model.temperature
    gaps, own_gaps, resized = [0.0], [0.0], [0.0]
    with torch.inference_mode():
        for pixels in job.images:
            inputs = job.model.inputs([pixels])
            logits = opened(inputs).numpy()
            gaps.append(float(np.abs(logits - single.network(inputs).numpy()).max()))
            own_gaps.append(float(np.abs(logits - job.model.network(inputs).numpy()).max()))
            theirs = opened(transform(Image.fromarray(pixels)).unsqueeze(0)).numpy()
            resized.append(float(np.abs(softmax(theirs, temperature) - softmax(logits, temperature)).max()))
    exact = single.comparison is None
    largest = float(np.max(own_gaps if exact else gaps))  # which, unlike max, keeps a nan
    if not largest <= TOLERANCE:
        raise ModelError(
            f"{folder} was not written: timm's {single.architecture} gives logits that differ by {largest:.2g}, the "
            f"limit is {TOLERANCE:g}; please report it, with the versions in card.json. --to onnx writes the model"
        )
    return TimmFolder(folder, single, largest if exact else None, float(np.max(resized)), len(job.images))
