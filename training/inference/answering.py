"""The network with all that makes its answers, for exports: normalisation, calibration, distances."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.inference.classifier import Classifier
from training.network.backbone import Network, normalised
from training.stats.ood import NEIGHBOURS


class Answers(nn.Module):
    """The part after the network: from features to the outputs of an export.

    The input are all features that the head sees, float32 [n, width]. The outputs are logits and calibrated
    probabilities, float32 [n, classes], and, where the model has a limit for it, the distance to the training images,
    float32 [n].

    Args:
        model: whose head and calibration.
        with_features: the features of the last stage, float32 [n, dim], are the last output.
    """

    def __init__(self, model: Classifier, *, with_features: bool = False) -> None:
        super().__init__()
        self.head = model.network.head.cpu()
        self.dim, self.with_features = model.network.backbone.spec.feature_dim, with_features
        self.register_buffer("temperature", torch.tensor(model.temperature))
        bank = torch.zeros(0, 0)
        if model.calibration and model.calibration.limits[0].max_distance is not None:
            bank = nn.functional.normalize(torch.from_numpy(model.calibration.reference.astype(np.float32)))
        self.register_buffer("bank", bank)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        distance = ("distance",) if len(self.get_buffer("bank")) else ()
        return ("logits", "probabilities", *distance, *(("features",) if self.with_features else ()))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the outputs."""
        logits, own = self.head(features), features[:, : self.dim]
        answers: tuple[torch.Tensor, ...] = (logits, (logits / self.get_buffer("temperature")).softmax(1))
        bank = self.get_buffer("bank")
        if len(bank):
            nearest = self.kth_largest(nn.functional.normalize(own) @ bank.T, min(NEIGHBOURS, len(bank)))
            answers = (*answers, (1 - nearest).clamp(0, 2))
        return (*answers, own) if self.with_features else answers

    def kth_largest(self, values: torch.Tensor, k: int) -> torch.Tensor:
        """Select the k-th largest value of each row, float32 [n]; for runtimes without sorting it is overridden."""
        return values.topk(k).values[:, -1]


class FeatureNetwork(nn.Module):
    """The network without its head: views, uint8 [n, crop, crop, 3], to all features that the head sees."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.network: Network = model.network.cpu().eval()
        self.mean, self.std = model.card.input.mean, model.card.input.std

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Normalise the views and compute their features, float32 [n, width]."""
        return self.network.features(normalised(views, self.mean, self.std))


class AnsweringNetwork(nn.Module):
    """The network with normalisation, calibration and distances, for export.

    The input is views, uint8 [n, crop, crop, 3], the outputs are those of Answers.

    Args:
        model: is moved to the CPU.
        answers: the part after the network; None: the usual one.
    """

    def __init__(self, model: Classifier, answers: Answers | None = None) -> None:
        super().__init__()
        self.features, self.answers = FeatureNetwork(model), answers or Answers(model)

    def forward(self, views: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the outputs for views that are cropped already."""
        answers: tuple[torch.Tensor, ...] = self.answers(self.features(views))
        return answers
