"""The classifier's network: stages that run one after another, of which the first stay frozen and the last are open.

What is frozen is never trained, so its activations are computed once and cached; fine-tuning runs the rest on them.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.network.registry import BackboneSpec, build_network, load_imagenet, spec_of
from training.network.weights_origin import Origin
from workspace.config.train import TrainConfig
from workspace.errors import ConfigError, WeightsError

_BATCH_NORM = nn.modules.batchnorm._BatchNorm

_TINY = 1e-8
"""Added to a variance: the root of 0 has no gradient."""


class Backbone(nn.Module):
    """A network up to its features, float32 [n, 3, height, width] → [n, width], as named stages.

    Features are the last stage's, pooled (the first `spec.feature_dim`), then of each stage before it that the head
    sees, the later first, every channel's mean and standard deviation over the picture. What ImageNet did not ask for
    is thrown away by the last stage, and pictures unlike ImageNet's are told apart by it (docs/decisions/0011).

    The last `open_stages` may be trained (`tail`), those before take no gradients (`prefix`). Every batch norm, the
    tail's too, keeps its ImageNet statistics: they stay in eval mode whatever `.train()` says, for a few hundred
    pictures estimate them badly.

    Args:
        spec: what it is.
        network: whose stages are taken.
        open_stages: how many may be trained.
        head_stages: how many stages the head sees, the last among them; all, where there are fewer.
    """

    def __init__(self, spec: BackboneSpec, network: nn.Module, open_stages: int = 1, head_stages: int = 1) -> None:
        super().__init__()
        self.spec = spec
        self._channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        last = network.get_submodule(spec.classifier)
        # The 1000 classes of ImageNet, for the diagnostics of training/fit/regime.py; not part of the state.
        self.register_buffer("source_weight", last.get_parameter("weight").detach(), persistent=False)
        self.register_buffer("source_bias", last.get_parameter("bias").detach(), persistent=False)
        self.stages = nn.Sequential(spec.stages(network))
        self.head_stages = min(head_stages, len(self.stages))
        self.open(open_stages)
        self.blocks = self._blocks()

    def open(self, stages: int, batch_norm_only: bool = False) -> None:
        """Let the last so many stages be trained, or of them the batch norms' scales and shifts; freeze the rest.

        Raises:
            ValueError: it has not so many.
            ConfigError: the open stages have no batch norm, which alone was to be trained.
        """
        if not 0 <= stages <= len(self.stages):
            raise ValueError(f"{self.spec.name} has {len(self.stages)} stages, so {stages} cannot be opened")
        self._frozen = len(self.stages) - stages
        for place, stage in enumerate(self.stages):
            stage.requires_grad_(place >= self._frozen and not batch_norm_only)
        if batch_norm_only:
            norms = [module for module in self.tail.modules() if isinstance(module, _BATCH_NORM)]
            if stages and not norms:
                raise ConfigError(
                    f"{self.spec.name} has no batch norm in its last {stages} stages; set train.batch_norm_only = false"
                )
            for norm in norms:
                norm.requires_grad_(True)
        self.train(False)

    @property
    def prefix(self) -> nn.Sequential:
        """The stages that are frozen: pictures to activations."""
        return self.stages[: self._frozen]

    @property
    def tail(self) -> nn.Sequential:
        """The stages that are open: activations to features [n, feature_dim]."""
        return self.stages[self._frozen :]

    @property
    def stage_names(self) -> tuple[str, ...]:
        """From the picture to the features."""
        return tuple(name for name, _ in self.stages.named_children())

    def train(self, mode: bool = True) -> Backbone:
        """Set the tail's mode; the prefix and all batch norms stay in eval."""
        super().train(mode)
        self.prefix.train(False)
        for module in self.stages.modules():
            if isinstance(module, _BATCH_NORM):
                module.train(False)
        return self

    @property
    def width(self) -> int:
        """How many features the head sees."""
        return sum(self.blocks)

    @property
    def frozen_width(self) -> int:
        """How many of them, the last ones, are of frozen stages."""
        return sum(self.blocks[max(1, len(self.tail)) :])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalised pictures to features [n, width]."""
        return self.run(inputs)[1]

    def run(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised pictures to what the open stages start from, and to features [n, width]."""
        start, before = self._walk(inputs, 0, self._frozen)
        _, after = self._walk(start, self._frozen, len(self.stages))
        return start, torch.cat([*after, *before], 1)

    def resume(self, activations: torch.Tensor, frozen: torch.Tensor) -> torch.Tensor:
        """From what the open stages start from and the frozen stages' features [n, frozen_width] to [n, width]."""
        _, after = self._walk(activations, self._frozen, len(self.stages))
        return torch.cat([*after, frozen], 1)

    def statistics(self, activations: torch.Tensor) -> torch.Tensor:
        """Every channel's mean and standard deviation over the picture: float32 [n, 2 x channels]."""
        values = activations.float()
        if values.ndim == 3 or self._channels_last:  # tokens, or pictures whose channels come last
            values = values.flatten(1, -2).transpose(1, 2)
        values = values.flatten(2)
        mean = values.mean(2)
        return torch.cat([mean, ((values - mean.unsqueeze(2)).square().mean(2) + _TINY).sqrt()], 1)

    def _walk(self, activations: torch.Tensor, first: int, end: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Through stages `first` to `end` - 1: what comes out, and what the head sees on the way, the last first."""
        found = []
        for place, stage in enumerate(self.stages[first:end], start=first):
            activations = stage(activations)
            from_end = len(self.stages) - place
            if from_end == 1:
                found.append(activations)
            elif from_end <= self.head_stages:
                found.append(self.statistics(activations))
        return activations, found[::-1]

    def _blocks(self) -> tuple[int, ...]:
        """How many features each stage gives to the head, the last stage first."""
        if self.head_stages == 1:
            return (self.spec.feature_dim,)
        with torch.inference_mode():
            nothing = torch.zeros(1, 3, self.spec.crop_px, self.spec.crop_px)
            return tuple(one.shape[1] for one in self._walk(nothing, 0, len(self.stages))[1])

    def source_logits(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What ImageNet's own last layer says of features [n, feature_dim or more], while no stage was trained."""
        weight, bias = (self.get_buffer(f"source_{name}").cpu().numpy() for name in ("weight", "bias"))
        return np.asarray(features[:, : weight.shape[1]] @ weight.T + bias, dtype=np.float32)

    def weights_digest(self) -> str:
        """Twelve hex digits that name these very weights."""
        total = hashlib.sha256()
        for key, value in sorted(self.state_dict().items()):
            total.update(key.encode())
            total.update(value.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:12]


class Network(nn.Module):
    """The classifier: a backbone and a linear head; its state's keys are backbone.stages.*, head.*."""

    def __init__(self, backbone: Backbone, head: nn.Linear) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalised pictures [n, 3, height, width] to logits [n, classes]."""
        logits: torch.Tensor = self.head(self.backbone(inputs))
        return logits


def normalised(
    pictures: torch.Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> torch.Tensor:
    """Turn pictures uint8 [n, h, w, 3] into inputs float32 [n, 3, h, w], channels last in memory."""
    scale, shift = pictures.new_tensor(std, dtype=torch.float32), pictures.new_tensor(mean, dtype=torch.float32)
    return ((pictures.float() / 255 - shift) / scale).permute(0, 3, 1, 2)


def load_backbone(config: TrainConfig, seed: int) -> tuple[Backbone, Origin]:
    """Make the configured backbone, or the configured fallback when its weights are not to be had.

    Args:
        config: which one, and from which weights.
        seed: for weights = "random".

    Raises:
        ConfigError: a name is not known.
        WeightsError: the weights cannot be had and no fallback is named; the text names every remedy.
    """
    spec = spec_of(config.backbone)
    if config.fallback_backbone:
        spec_of(config.fallback_backbone)
    network = build_network(spec, seed)
    if config.weights == "random":
        backbone = Backbone(spec, network, head_stages=config.head_stages)
        return backbone, Origin(spec.name, spec.name, "", "random", f"random, seed {seed}")
    try:
        path = load_imagenet(spec, network, config.weights_file, config.weights)
    except WeightsError as error:
        if not config.fallback_backbone:
            raise
        own = config.model_copy(
            update={
                "backbone": config.fallback_backbone,
                "weights": "imagenet",
                "weights_file": "",
                "fallback_backbone": "",
            }
        )
        backbone, origin = load_backbone(own, seed)
        return backbone, replace(origin, requested=spec.name, fallback_reason=error.cause)
    backbone = Backbone(spec, network, head_stages=config.head_stages)
    return backbone, Origin(spec.name, spec.name, "", config.weights, str(path))
