"""Grad-CAM: where in a picture the network sees what speaks for a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from preprocessing.images.pixel_cache import PixelCache
from training.inference.classifier import Classifier
from training.network.backbone import Network
from workspace.storage.metrics import Heatmap, Prediction

Floats = npt.NDArray[np.float32]


def gradcam(network: Network, inputs: torch.Tensor, classes: Sequence[int]) -> Floats:
    """Maps float32 [n, rows, columns] in [0, 1], 1 where most speaks for the class (Selvaraju et al. 2017).

    The last stage's channels are weighted with the mean gradient of the class's logit, summed, and cut off at 0; a map
    is all 0 where nothing speaks for the class.

    Args:
        network: left as it is.
        inputs: normalised pictures, float32 [n, 3, height, width].
        classes: of each picture, the class that is asked about.
    """
    stage = _last_map(network, inputs)
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().float().requires_grad_(True))
        return kept[-1]

    handle = stage.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = network(inputs)
            chosen = logits[torch.arange(len(classes)), torch.tensor(list(classes), device=logits.device)]
            (gradients,) = torch.autograd.grad(chosen.sum(), kept)
    finally:
        handle.remove()
    maps = (gradients.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1).relu()
    return np.asarray((maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy(), dtype=np.float32)


def explain(
    model: Classifier, cache: PixelCache, answers: Sequence[Prediction], batch_size: int = 8
) -> tuple[Heatmap, ...]:
    """For each answer of metrics.json, what speaks for the class that was answered."""
    found = []
    for start in range(0, len(answers), batch_size):
        batch = answers[start : start + batch_size]
        inputs = model.inputs([cache.read(one.sha256) for one in batch])
        maps = gradcam(model.network, inputs, [model.classes.index(one.predicted) for one in batch])
        for one, values in zip(batch, maps, strict=True):
            rows = tuple(tuple(round(float(value), 3) for value in row) for row in values)
            found.append(Heatmap(sha256=one.sha256, label=one.predicted, map=rows))
    return tuple(found)


def _last_map(network: Network, inputs: torch.Tensor) -> nn.Module:
    """The module whose output is the last one that still has places: [n, channels, rows, columns]."""
    last: list[nn.Module] = []

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            last[:] = [module]

    handles = [module.register_forward_hook(note) for module in network.backbone.modules()]
    try:
        with torch.inference_mode():
            network(inputs[:1])
    finally:
        for handle in handles:
            handle.remove()
    if not last:
        raise ValueError(f"the {network.backbone.spec.name} has no stage with places that could be shown")
    return last[0]
