"""Cut a network into consecutive stages, so that the last ones can be fine-tuned alone."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Stages = OrderedDict[str, nn.Module]
"""By name, from the image to the pooled features; the last holds the pooling too."""

STAGES = 4
"""Number of stages of a network: layer1 … layer4 as in a ResNet, with the stem in layer1."""

SAME = 1e-4
"""Largest difference between a network's features and those of its stages run one after another."""


def cut_resnet(network: nn.Module) -> Stages:
    """Cut one of torchvision's ResNets."""
    stem = [(name, network.get_submodule(name)) for name in ("conv1", "bn1", "relu", "maxpool")]
    parts = [[(f"layer{number}", network.get_submodule(f"layer{number}"))] for number in range(1, STAGES + 1)]
    parts[0] = stem + parts[0]
    parts[-1] += [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    return _named(parts)


def cut_timm(network: nn.Module) -> Stages:
    """Cut a model of timm that is a chain of modules; any other becomes a single stage.

    timm says after which modules the resolution halves (`feature_info`); there it is cut. That the chain is the
    network is tried on noise: a transformer with a class token, say, is not one. The network loses its classifier.
    """
    network.eval()
    network.reset_classifier(0)  # type: ignore[operator]
    ends = [str(info["module"]) for info in getattr(network, "feature_info", [])][-STAGES:]
    units = list(_units(network, "", ends))
    parts: list[list[tuple[str, nn.Module]]] = [[]]
    for path, module in units:
        parts[-1].append((path.replace(".", "_"), module))
        if path in ends[:-1]:
            parts.append([])
    if len(parts) == STAGES and _is_chain(network, [module for _, module in units]):
        return _named(parts)
    return OrderedDict(whole=nn.Sequential(OrderedDict(network=network)))


def with_folded_batch_norm(stages: nn.Sequential, side_px: int) -> nn.Sequential:
    """Copy frozen stages with each batch norm folded into the convolution before it: equal outputs in less time.

    Args:
        stages: in eval mode, the first of them fed with images; may be empty.
        side_px: of the images.

    Returns:
        The folded copy, or a plain one where its answer to noise differs by more than SAME: modules that stand one
        after another need not be run so.
    """
    plain, folded = copy.deepcopy(stages), copy.deepcopy(stages)
    _fold(folded)
    noise = torch.randn((1, 3, side_px, side_px), generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(stages.parameters(), noise).device)
    with torch.inference_mode():
        expected, answer = plain(noise), folded(noise)
    return folded if (answer - expected).abs().max() <= SAME * max(1.0, float(expected.abs().max())) else plain


def _fold(module: nn.Module) -> None:
    children = list(module.named_children())
    for (name, child), (next_name, following) in zip(children, children[1:], strict=False):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            module.add_module(name, fuse_conv_bn_eval(child, following))
            module.add_module(next_name, getattr(following, "act", nn.Identity()))  # timm's batch norms also activate
    for child in module.children():
        _fold(child)


def _units(module: nn.Module, path: str, ends: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """List the modules of the chain in order, with the contents of containers inside which a stage ends."""
    for name, child in module.named_children():
        here = f"{path}{name}"
        if any(end.startswith(f"{here}.") for end in ends):
            yield from _units(child, f"{here}.", ends)
        else:
            yield here, child


def _is_chain(network: nn.Module, modules: list[nn.Module]) -> bool:
    side = int(network.pretrained_cfg["input_size"][-1])  # type: ignore[index]
    noise = torch.randn((1, 3, side, side), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, answer = network(noise), noise
        try:
            for module in modules:
                answer = module(answer)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return False
    return answer.shape == expected.shape and bool(torch.allclose(answer, expected, rtol=SAME, atol=SAME))


def _named(parts: list[list[tuple[str, nn.Module]]]) -> Stages:
    return OrderedDict(
        (f"layer{number}", nn.Sequential(OrderedDict(part))) for number, part in enumerate(parts, start=1)
    )
