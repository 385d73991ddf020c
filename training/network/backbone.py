"""The classifier's network: a frozen backbone as named stages, a fine-tuned copy of its last ones, a linear head."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.network.registry import BackboneSpec, build_network, find_weights, load_imagenet, spec_of
from training.network.weights_origin import Origin
from workspace.config.train import TrainConfig
from workspace.errors import WeightsError

_TINY = 1e-8
"""Added to a variance, since the square root has no gradient at 0."""


class Backbone(nn.Module):
    """A network up to its features, float32 [n, 3, height, width] → [n, width], as named stages; never trained.

    Features are the pooled ones of the last stage (the first `spec.feature_dim`), then the mean and standard deviation
    of every channel of each earlier stage that the head sees, later stages first. The last stage discards what
    ImageNet's classes do not need, but other classes may need it (docs/decisions/0011).

    Args:
        spec: describes the network.
        network: provides the stages.
        head_stages: number of last stages whose features the head sees; all, where there are fewer.
    """

    def __init__(self, spec: BackboneSpec, network: nn.Module, head_stages: int = 1) -> None:
        super().__init__()
        self.spec = spec
        self._channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        last = network.get_submodule(spec.classifier)
        # The 1000 classes of ImageNet, for the diagnostics of training/fit/regime.py; not part of the state.
        self.register_buffer("source_weight", last.get_parameter("weight").detach(), persistent=False)
        self.register_buffer("source_bias", last.get_parameter("bias").detach(), persistent=False)
        self.stages = nn.Sequential(spec.stages(network))
        self.head_stages = min(head_stages, len(self.stages))
        self.requires_grad_(False).eval()
        self.blocks = self._blocks()

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, from the input to the features."""
        return tuple(name for name, _ in self.stages.named_children())

    def copy_of_last(self, count: int) -> nn.Sequential:
        """Copy the last `count` stages: activations after the stages before them → pooled features [n, feature_dim].

        Raises:
            ValueError: the network has fewer stages.
        """
        if not 0 < count <= len(self.stages):
            raise ValueError(f"{self.spec.name} has {len(self.stages)} stages, so {count} cannot be copied")
        return copy.deepcopy(self.stages[len(self.stages) - count :])

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(self.blocks)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute the features [n, width] of normalised images."""
        return self.run(inputs, 0)[1]

    def run(self, inputs: torch.Tensor, cut: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the activations after the first `cut` stages (0: the inputs), and the features, of images."""
        start, before = self._walk(inputs, 0, cut)
        _, after = self._walk(start, cut, len(self.stages))
        return start, torch.cat([*after, *before], 1)

    def statistics(self, activations: torch.Tensor) -> torch.Tensor:
        """Compute every channel's mean and standard deviation over the image, float32 [n, 2 x channels]."""
        values = activations.float()
        if values.ndim == 3 or self._channels_last:  # tokens, or images whose channels come last
            values = values.flatten(1, -2).transpose(1, 2)
        values = values.flatten(2)
        mean = values.mean(2)
        return torch.cat([mean, ((values - mean.unsqueeze(2)).square().mean(2) + _TINY).sqrt()], 1)

    def _walk(self, activations: torch.Tensor, first: int, end: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Run stages `first` to `end` - 1; return their output, and the features for the head, last stage first."""
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
        """Number of features that each stage gives to the head, the last stage first."""
        if self.head_stages == 1:
            return (self.spec.feature_dim,)
        with torch.inference_mode():
            nothing = torch.zeros(1, 3, self.spec.crop_px, self.spec.crop_px)
            return tuple(pooled.shape[1] for pooled in self._walk(nothing, 0, len(self.stages))[1])

    def source_logits(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute the logits of ImageNet's classes from features [n, feature_dim or more]."""
        weight, bias = (self.get_buffer(f"source_{name}").cpu().numpy() for name in ("weight", "bias"))
        return np.asarray(features[:, : weight.shape[1]] @ weight.T + bias, dtype=np.float32)

    def weights_digest(self) -> str:
        """Return twelve hex digits that identify these weights."""
        total = hashlib.sha256()
        for key, value in sorted(self.state_dict().items()):
            total.update(key.encode())
            total.update(value.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:12]


class Network(nn.Module):
    """The classifier; its state's keys are backbone.stages.*, tuned.* where there is a fine-tuned copy, and head.*.

    Args:
        backbone: as ImageNet left it.
        head: linear layer on the features.
        tuned: a trained copy of the backbone's last stages, or None. It starts from the activations of the stages
            before them, which both share, and gives `spec.feature_dim` further features.
    """

    def __init__(self, backbone: Backbone, head: nn.Linear, tuned: nn.Sequential | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.tuned = tuned
        self.head = head

    @classmethod
    def untrained(cls, backbone: Backbone, classes: int, tuned_stages: int = 0) -> Network:
        """Make a network with an untrained head and a copy of so many stages (0: none), to load a state into."""
        tuned = backbone.copy_of_last(tuned_stages) if tuned_stages else None
        width = backbone.width + (backbone.spec.feature_dim if tuned is not None else 0)
        return cls(backbone, nn.Linear(width, classes), tuned)

    @property
    def tuned_stages(self) -> int:
        """Number of stages of the fine-tuned copy; 0 where there is none."""
        return 0 if self.tuned is None else len(self.tuned)

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute the head's features of images; the first `spec.feature_dim` are of the frozen last stage."""
        if self.tuned is None:
            frozen: torch.Tensor = self.backbone(inputs)
            return frozen
        start, frozen = self.backbone.run(inputs, len(self.backbone.stages) - self.tuned_stages)
        return torch.cat([frozen, self.tuned(start)], 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute logits [n, classes] of normalised images [n, 3, height, width]."""
        logits: torch.Tensor = self.head(self.features(inputs))
        return logits


def averaged_network(
    backbone: Backbone, head: nn.Linear, tuned: nn.Sequential, tuned_head: nn.Linear, share: float = 0.5
) -> Network:
    """Make the network whose logits are the average of two classifiers': the frozen backbone's and the tuned copy's.

    Args:
        backbone: frozen.
        head: on the backbone's features.
        tuned: trained copy of its last stages.
        tuned_head: on the copy's pooled features.
        share: weight of the copy's logits, in [0, 1].
    """
    classes, seen = tuned_head.weight.shape
    both = nn.Linear(head.in_features + seen, classes)
    with torch.no_grad():
        both.weight.copy_(torch.cat([(1 - share) * head.weight, share * tuned_head.weight], 1))
        both.bias.copy_((1 - share) * head.bias + share * tuned_head.bias)
    return Network(backbone, both, tuned)


def normalised(images: torch.Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> torch.Tensor:
    """Normalise images uint8 [n, h, w, 3] to inputs float32 [n, 3, h, w], channels last in memory."""
    scale, shift = images.new_tensor(std, dtype=torch.float32), images.new_tensor(mean, dtype=torch.float32)
    return ((images.float() / 255 - shift) / scale).permute(0, 3, 1, 2)


def check_weights(config: TrainConfig) -> None:
    """Find or download the weights that `load_backbone` will read, before work begins that ends in training.

    Raises:
        ConfigError: a name is not known.
        WeightsError: the weights cannot be had and no fallback is named; the text names every remedy.
    """
    spec = spec_of(config.backbone)
    if config.weights == "random":
        return
    try:
        find_weights(spec, config.weights_file, config.weights)
    except WeightsError:
        if not config.fallback_backbone:
            raise
        find_weights(spec_of(config.fallback_backbone))


def load_backbone(config: TrainConfig, seed: int) -> tuple[Backbone, Origin]:
    """Make the configured backbone, or the configured fallback when its weights cannot be loaded.

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
