"""Inference with a saved model; images are decoded, resized and cropped exactly as in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from preprocessing.images.decode import shrink
from training.network.backbone import Backbone, Network, normalised
from training.network.device import Device, choose_device
from training.network.registry import build_network, spec_of
from training.network.views import clean_view
from training.stats.calibration import Calibration
from training.stats.ood import OodLimits, neighbour_distances
from training.stats.scores import softmax
from workspace.config.clean import CleanConfig
from workspace.errors import ConfigError, ModelError
from workspace.names import NO_CLASS
from workspace.storage.artefact import why_no_tensors
from workspace.storage.model_card import ModelCard
from workspace.storage.run_folder import CARD_NAME, WEIGHTS_NAME


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """Outputs of the network for n images: features of its last stage, float32 [n, dim], and logits [n, classes]."""

    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Classification:
    """The classifier's answer to one image.

    Attributes:
        best: the most probable class.
        probability: of that class, calibrated where the model is.
        probabilities: of every class; they add up to 1.
        distance: to the training images, a cosine distance; None where the model has no limit for it.
        why_none: why the answer is none of the classes; empty where it is `best`.
    """

    best: str
    probability: float
    probabilities: Mapping[str, float]
    distance: float | None = None
    why_none: str = ""

    @property
    def answered(self) -> bool:
        """Whether one of the classes is the answer."""
        return not self.why_none

    @property
    def label(self) -> str:
        """The class, or `none`; `answered` says which, as models of earlier versions may have a class of that name."""
        return self.best if self.answered else NO_CLASS


class Classifier:
    """A trained network with its card and, if it was evaluated, its calibration; made by `load`.

    Example:
        >>> from pathlib import Path
        >>> classifier = Classifier.load(Path("model"), device="cpu")
        >>> classifier.classes
        ('ape', 'bee')
        >>> from training.inference.predict import predict_files
        >>> for prediction in predict_files(classifier, [Path("photos")]):
        ...     print(prediction.name, prediction.answer.label if prediction.answer else prediction.error)
        photos/1.png bee
        photos/broken.jpg truncated: ...

        Decoded images, uint8 [h, w, 3], are classified without files:

        >>> import numpy as np
        >>> classifier.probabilities([np.zeros((300, 400, 3), np.uint8)]).shape
        (1, 2)
    """

    def __init__(
        self, network: Network, card: ModelCard, device: Device, calibration: Calibration | None = None
    ) -> None:
        self.card = card
        self.classes = card.classes
        self.calibration = calibration
        self._device = device
        self._network = device.put(network).eval()
        self._side, self._resize, self._crop = card.cache_side_px, card.input.resize_px, card.input.crop_px
        self._mean, self._std = card.input.mean, card.input.std

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Self:
        """Load a model folder (model.safetensors and card.json); nothing in it is executed.

        Args:
            folder: written by train, and calibrated by evaluate.
            device: `auto`, `cpu`, `cuda` or `mps`.

        Raises:
            ModelError: it is missing, damaged, or of another format.
            ConfigError: this machine has no such device.
        """
        chosen = choose_device(device)
        card = ModelCard.read(folder / CARD_NAME)
        try:
            spec = spec_of(card.backbone)
            backbone = Backbone(spec, build_network(spec), head_stages=card.head_stages)
            network = Network.untrained(backbone, len(card.classes), card.tuned_stages)
            network.load_state_dict(load_safetensors((folder / WEIGHTS_NAME).read_bytes()))
            return cls(network, card, chosen, Calibration.read(folder))
        except FileNotFoundError as error:
            raise ModelError(
                f"{folder} has no {Path(error.filename).name}; train first: collect-and-train train"
            ) from error
        except SafetensorError as error:
            why = why_no_tensors(folder / WEIGHTS_NAME)
            raise ModelError(f"the model in {folder} cannot be used ({why}); copy it again, or train again") from error
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ConfigError) as error:
            detail = " ".join(str(error).split())[:200]  # torch lists every tensor
            raise ModelError(f"the model in {folder} cannot be used ({detail}); train again") from error

    @property
    def network(self) -> Network:
        """The network, in eval mode, on its device."""
        return self._network

    @property
    def temperature(self) -> float:
        """What logits are divided by; 1 where the model is not calibrated."""
        return self.calibration.temperature if self.calibration else 1.0

    def view(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Crop an upright RGB image to the network's input square, uint8 [h, w, 3] → [crop, crop, 3]."""
        return clean_view(shrink(pixels, self._side), self._resize, self._crop)

    def inputs(self, images: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
        """Crop and normalise images of any sizes for the network: float32 [n, 3, crop, crop], on its device."""
        return normalised(self._device.tensor(np.stack([self.view(image) for image in images])), self._mean, self._std)

    def outputs(self, images: Sequence[npt.NDArray[np.uint8]], batch_size: int = 32) -> Outputs:
        """Run the network on upright RGB images, uint8 [h, w, 3] of any sizes."""
        size = self._network.backbone.spec.feature_dim
        features = [np.zeros((0, size), np.float32)]
        logits = [np.zeros((0, len(self.classes)), np.float32)]
        for start in range(0, len(images), batch_size):
            inputs = self.inputs(images[start : start + batch_size])
            with torch.inference_mode(), self._device.autocast():
                batch_features = self._network.features(inputs)
                batch_logits = self._network.head(batch_features)
            features.append(batch_features[:, :size].float().cpu().numpy())
            logits.append(batch_logits.float().cpu().numpy())
        return Outputs(np.concatenate(features), np.concatenate(logits))

    def probabilities(self, images: Sequence[npt.NDArray[np.uint8]], batch_size: int = 32) -> npt.NDArray[np.float32]:
        """Classify upright RGB images, uint8 [h, w, 3] of any sizes; calibrated where the model is.

        Returns:
            float32 [n, classes]; rows add up to 1, columns in the order of `classes`.
        """
        return softmax(self.outputs(images, batch_size).logits, self.temperature)

    def limits_for(self, accept: float | None) -> OodLimits | None:
        """Return the limits beyond which the answer is `none`; None for a model without a calibration.

        Raises:
            ModelError: the model has no limits for this share.
        """
        if self.calibration is not None:
            return self.calibration.limits_for(accept)
        if accept is not None:
            raise ModelError(
                f"the model is not calibrated, so that every picture gets a class, and no share of {accept:g} can be "
                "asked for; calibrate it: collect-and-train evaluate"
            )
        return None

    def answers(self, images: Sequence[npt.NDArray[np.uint8]], accept: float | None = None) -> list[Classification]:
        """Classify upright RGB images; an image unlike all classes gets the answer `none`.

        Args:
            images: uint8 [h, w, 3] of any sizes.
            accept: the share of in-class images that is to get a class, in (0, 1]; None: the model's default, or where
                it is not calibrated, all.

        Raises:
            ModelError: the model has no limits for this share.
        """
        limits = self.limits_for(accept)
        outputs, calibration = self.outputs(images), self.calibration
        probabilities = softmax(outputs.logits, self.temperature)
        distances = None
        if calibration and limits and limits.max_distance is not None:
            distances = neighbour_distances(calibration.reference, outputs.features)
        answers = []
        for index, row in enumerate(probabilities):
            best = int(row.argmax())
            label, probability = self.classes[best], float(row[best])
            distance = None if distances is None else float(distances[index])
            by_class = {name: float(value) for name, value in zip(self.classes, row, strict=True)}
            why = limits.why_none(label, probability, distance) if limits else ""
            answers.append(Classification(label, probability, by_class, distance, why))
        return answers


def decoding_limits(classifier: Classifier, clean: CleanConfig | None = None) -> CleanConfig:
    """Return the settings that decode images for this model: its size with these limits, None for the default ones."""
    return (clean or CleanConfig()).model_copy(update={"cache_side_px": classifier.card.cache_side_px})
