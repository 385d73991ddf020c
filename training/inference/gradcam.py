"""Grad-CAM: heat maps of the regions of an image that are evidence for a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from preprocessing.images.pixel_cache import PixelCache
from training.inference.classifier import Classifier
from training.network.backbone import Network
from workspace.storage.metrics import Heatmap, LabelledPrediction

Floats = npt.NDArray[np.float32]


class NoFeatureMap(ValueError):
    """The network has no map [n, channels, rows, columns] over the picture, such as a transformer of tokens."""


def gradcam(network: Network, inputs: torch.Tensor, classes: Sequence[int]) -> Floats:
    """Compute heat maps, float32 [n, rows, columns] in [0, 1], 1 at the strongest evidence (Selvaraju et al. 2017).

    The channels of the last stage, of the backbone and of the fine-tuned copy, are weighted with the mean gradient of
    the class's logit, summed, and clipped at 0; a map is all 0 where there is no evidence for the class.

    Args:
        network: unchanged.
        inputs: normalised images, float32 [n, 3, height, width].
        classes: the class to explain, one index for each image.

    Raises:
        NoFeatureMap: Grad-CAM has nothing to be computed from.
    """
    stages = _last_maps(network, inputs)
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().float().requires_grad_(True))
        return kept[-1]

    handles = [stage.register_forward_hook(keep) for stage in stages]
    try:
        with torch.enable_grad():
            logits = network(inputs)
            chosen = logits[torch.arange(len(classes)), torch.tensor(list(classes), device=logits.device)]
            gradients = torch.autograd.grad(chosen.sum(), kept)
    finally:
        for handle in handles:
            handle.remove()
    weighted = [
        (gradient.mean((2, 3), keepdim=True) * channels.detach()).sum(1)
        for gradient, channels in zip(gradients, kept, strict=True)
    ]
    maps = torch.stack(weighted).sum(0).relu()
    return np.asarray((maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy(), dtype=np.float32)


def explain(
    model: Classifier, cache: PixelCache, answers: Sequence[LabelledPrediction], batch_size: int = 8
) -> tuple[Heatmap, ...]:
    """Compute the heat map of the answered class for each answer of metrics.json; none without a feature map."""
    found: list[Heatmap] = []
    for start in range(0, len(answers), batch_size):
        batch = answers[start : start + batch_size]
        inputs = model.inputs([cache.read(answer.sha256) for answer in batch])
        try:
            maps = gradcam(model.network, inputs, [model.classes.index(answer.predicted) for answer in batch])
        except NoFeatureMap:
            return ()
        for answer, values in zip(batch, maps, strict=True):
            rows = tuple(tuple(round(float(value), 3) for value in row) for row in values)
            found.append(Heatmap(sha256=answer.sha256, label=answer.predicted, map=rows))
    return tuple(found)


def _last_maps(network: Network, inputs: torch.Tensor) -> list[nn.Module]:
    """Find the module with the last feature map [n, channels, rows, columns] of the backbone, and of the copy.

    Other tensors have four dimensions too: heads and tokens, or a map whose channels come last. So a map must have the
    picture's shape, and no tokens [n, tokens, channels] may come after it.

    Raises:
        NoFeatureMap: there is none.
    """
    paths = [network.backbone, *([network.tuned] if network.tuned is not None else [])]
    last: dict[int, nn.Module] = {}
    handles = []
    for path, modules in enumerate(paths):

        def note(module: nn.Module, _inputs: object, output: object, path: int = path) -> None:
            if not isinstance(output, torch.Tensor) or output.shape[0] != 1:
                return
            if output.ndim == 4 and _covers(inputs.shape[2:], output.shape[2:]):
                last[path] = module
            elif output.ndim == 3:
                last.pop(path, None)

        handles += [module.register_forward_hook(note) for module in modules.modules()]
    try:
        with torch.inference_mode():
            network(inputs[:1])
    finally:
        for handle in handles:
            handle.remove()
    if len(last) < len(paths):
        raise NoFeatureMap(f"{network.backbone.spec.name} has no map of features over the picture, as Grad-CAM needs")
    return list(last.values())


def _covers(picture: torch.Size, grid: torch.Size) -> bool:
    """Whether a grid (rows, columns) has a picture's shape (height, width), to one cell, and more than one cell."""
    (height, width), (rows, columns) = picture, grid
    return rows * columns > 1 and abs(rows * width - columns * height) <= max(height, width)
