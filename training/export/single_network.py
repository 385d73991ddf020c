"""A trained model as one plain network of timm: a chain of stages, pooled, and one linear layer.

What is trained has up to three parts that such a network has not: features of earlier stages, the frozen last stages
beside a fine-tuned copy of them, and an average over both. Where the head uses none of them, its layer is taken as it
is and the logits are equal. Otherwise the fine-tuned copy (without one, the backbone) is kept, and a linear layer on
its pooled features is fitted to the model's own logits, by ridge regression on the images that it was trained on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits
from torch import nn

from preprocessing.images.pixel_cache import PixelCache
from training.evaluation.predictions import label_indices, outputs_of
from training.inference.classifier import Classifier, Outputs
from training.network.backbone import Network
from training.network.registry import TIMM, build_network, spec_of
from training.stats.scaling import Scaling
from workspace.catalog.records import Sample
from workspace.errors import ModelError
from workspace.progress import SILENT

_TIMM_NAMES = {"efficientnet_lite0": "tf_efficientnet_lite0"}
"""What timm calls those of our backbones that it has under another name; torchvision's ResNets have equal tensors."""

_PENALTIES = tuple(10.0**power for power in range(-2, 6))
"""Values of ridge regression's alpha, of which leave-one-out cross-validation chooses."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a single network costs: its accuracy and the model's own on the same n test images.

    `agreement` is the share of them that both give the same class.
    """

    images: int
    accuracy: float
    own_accuracy: float
    agreement: float


@dataclass(frozen=True, slots=True, eq=False)
class SingleNetwork:
    """A network of timm with the model's classes.

    Attributes:
        architecture: its name in timm.
        network: in eval mode; inputs as the model's own, logits float32 [n, classes].
        comparison: None where its logits are the model's; else what the fitted layer costs.
    """

    architecture: str
    network: nn.Module
    comparison: Comparison | None


def single_network(model: Classifier, cache: PixelCache, samples: Sequence[Sample]) -> SingleNetwork:
    """Make the plain network, and measure it on the test images where it is not the model itself.

    Args:
        model: on the CPU.
        cache: of the images' pixels.
        samples: the dataset that the model was trained on.

    Raises:
        ModelError: timm has not this architecture as a chain of the same tensors.
        WorkspaceError: an image's file is gone.
    """
    own = model.network
    stages = _chain(own)
    architecture = _TIMM_NAMES.get(model.card.backbone, model.card.backbone.removeprefix(TIMM))
    spec = spec_of(f"{TIMM}{architecture}")
    network = build_network(spec)
    parts = nn.Sequential(spec.stages(network))  # they stay the network's own modules, so it is filled with them
    try:
        parts.load_state_dict(stages.state_dict())
    except RuntimeError as error:
        raise ModelError(
            f"{model.card.backbone} is no {architecture} of timm with the same tensors, so it cannot be exported as "
            "one; --to onnx writes the model as it is"
        ) from error
    network.reset_classifier(len(model.classes))  # type: ignore[operator]
    layer = network.get_classifier()  # type: ignore[operator]
    exact = _own_layer(own)
    if exact is not None:
        _fill(layer, *exact)
        return SingleNetwork(architecture, network.eval(), None)
    learnt = [sample for sample in samples if sample.split in (model.card.fitted_on or ("train", "val"))]
    kept = _KeptStages(model, stages)
    _fill(layer, *_fit_layer(outputs_of(kept, cache, learnt, SILENT)))
    held_out = [sample for sample in samples if sample.split == "test"]
    if not held_out:
        raise ModelError("the dataset has no test pictures, so what a fitted layer costs cannot be said; use --to onnx")
    return SingleNetwork(architecture, network.eval(), _compare(kept, layer, cache, held_out))


def _chain(own: Network) -> nn.Sequential:
    """The stages that are kept: the backbone's, the last ones replaced by the fine-tuned copy where there is one."""
    stages = OrderedDict(own.backbone.stages.named_children())
    if own.tuned is not None:
        stages.update(own.tuned.named_children())
    return nn.Sequential(stages)


def _own_layer(own: Network) -> tuple[Floats, Floats] | None:
    """The head's weight and bias on the pooled features of the kept stages, where it uses nothing else."""
    weight, bias = (value.detach().numpy() for value in (own.head.weight, own.head.bias))
    size = own.backbone.spec.feature_dim
    used, other = (weight[:, -size:], weight[:, :-size]) if own.tuned is not None else np.split(weight, [size], 1)
    return (used, bias) if not other.any() else None


@dataclass(frozen=True, slots=True, eq=False)
class _KeptStages:
    """Answers with the pooled features of the kept stages, float32 [n, dim], and the model's own logits."""

    model: Classifier
    stages: nn.Sequential

    @property
    def classes(self) -> tuple[str, ...]:
        return self.model.classes

    def outputs(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Outputs:
        inputs = self.model.inputs(pictures)
        with torch.inference_mode():
            return Outputs(self.stages(inputs).numpy(), self.model.network(inputs).numpy())


def _fit_layer(found: Outputs) -> tuple[Floats, Floats]:
    """Fit a linear layer on features to logits: weight float32 [classes, dim] and bias float32 [classes]."""
    rows = found.features.astype(np.float64)
    scaling = Scaling.fit_in_place(rows)
    with threadpool_limits(limits=1, user_api="blas"):
        fitted = RidgeCV(_PENALTIES).fit(rows, found.logits)
    return scaling.folded(np.atleast_2d(fitted.coef_), fitted.intercept_)


def _fill(layer: nn.Linear, weight: Floats, bias: Floats) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))


def _compare(kept: _KeptStages, layer: nn.Linear, cache: PixelCache, samples: Sequence[Sample]) -> Comparison:
    labels, own = label_indices(samples, kept.classes), outputs_of(kept, cache, samples, SILENT)
    with torch.inference_mode():
        fitted = layer(torch.from_numpy(own.features)).numpy()
    best, own_best = fitted.argmax(1), own.logits.argmax(1)
    return Comparison(
        len(labels),
        float((best == labels).mean()),
        float((own_best == labels).mean()),
        float((best == own_best).mean()),
    )
