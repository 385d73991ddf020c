"""card.json: identity of a saved model, its preprocessing, training data and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from workspace.config.train import AugmentConfig
from workspace.storage.artefact import Artefact, Part
from workspace.storage.metrics import Baseline, HeadlineScores, Share


class Input(Part):
    """Preprocessing of the network: a centre crop of the resized image, scaled to [0, 1], then normalised."""

    resize_px: int = Field(description="The image's shorter side after resizing.")
    crop_px: int = Field(description="Side of the square that is cut from its middle.")
    mean: tuple[float, float, float] = Field(description="Subtracted from red, green and blue in [0, 1].")
    std: tuple[float, float, float] = Field(description="What they are then divided by.")


class TrainedOn(Part):
    """Numbers of images that the shipped model was trained on."""

    train: int = Field(description="Images of the training split.")
    val: int = Field(description="Images of the validation split.")
    per_class: Mapping[str, int] = Field({}, description="Images by class, both splits together.")


@dataclass(frozen=True, slots=True)
class Preset:
    """Strength of the augmentation.

    `crop_scale` is the smallest share of the picture's area that a crop keeps; `colour` the largest change of
    brightness, contrast and saturation (1 ± colour), `hue` that of the hue in turns; `degrees` the largest
    rotation; `jpeg` the lowest quality of compression; `holes` the chance of one or two grey holes.
    """

    name: str
    crop_scale: float
    colour: float = 0.2
    hue: float = 0.05
    degrees: float = 10.0
    jpeg: int = 50
    holes: float = 0.25


class Augmentation(Part):
    """Parameters of the augmented views; each view follows from them, the image, and its number."""

    name: str = Field(
        description="Digest of the values that shape a view and of the drawing's version; part of the caches' names."
    )
    preset: Preset = Field(description="Strength, by `augment.strength`.")
    switches: AugmentConfig = Field(description="Section [augment] of the run: which changes are allowed.")
    size_px: int = Field(description="Side of the views, which are square.")
    views: int = Field(description="Augmented views of each image, numbered from 1; view 0 is the clean one.")
    seed: int = Field(description="A view's random draws follow from seed, number and sha256.")


class CrossValidationScores(HeadlineScores):
    """Scores of the out-of-fold answers."""

    log_loss: float = Field(description="Mean, in nats.")


class CardMetrics(Part):
    """The scores of metrics.json that travel with the model."""

    split: Literal["test"]
    n: int = Field(description="Test images.")
    accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share
    log_loss: float = Field(description="Mean, in nats.")
    cross_validation: CrossValidationScores | None = Field(None, description="Absent where nothing was held out.")
    leads: Literal["test", "cross_validation"] = Field(description="Which of the two a person should go by.")
    baseline: Baseline
    notes: tuple[str, ...] = Field(description="Sentences for people: fallbacks, random weights, few test images.")


class ModelCard(Artefact):
    """model/card.json, written last by train, completed by evaluate; it marks a model as complete."""

    VERSION: ClassVar[int] = 2
    FORMAT: ClassVar[int | None] = 2
    COMMAND: ClassVar[str] = "collect-and-train train"
    REPAIR: ClassVar[str] = "delete the folder it lies in and train again: collect-and-train train"

    format: Literal[2] = Field(description="Layout of model.safetensors, and of the fields that feed the network.")
    classes: tuple[str, ...] = Field(description="In the order of the network's outputs.")
    backbone: str = Field(description="Name of the network: one of ours, or timm:NAME.")
    requested_backbone: str = Field("", description="The configured one; differs from `backbone` after a fallback.")
    fallback_reason: str = Field("", description="Why they differ; empty where they do not.")
    weights: str = Field("", description="What training started from: imagenet, imagenet-v2 or random.")
    weights_source: str = Field("", description="The file the starting weights were read from, or a sentence.")
    input: Input
    decoder_version: int | None = Field(None, description="Version of the decoding that made the training pixels.")
    cache_side_px: int = Field(description="Images are shrunk to this shorter side before anything else.")
    fitted_on: tuple[str, ...] = Field((), description="Splits that the shipped model learnt from.")
    trained_on: TrainedOn
    seed: int | None = Field(None, description="Of every random draw of the run.")
    run_id: str = ""
    device: str = Field("", description="Where it was trained, and in which number format.")
    versions: Mapping[str, str] = Field({}, description="Version by library.")
    head_stages: int = Field(1, description="Stages of the backbone whose pooled features the head sees.")
    tuned_stages: int = Field(
        0, description="Stages of the fine-tuned copy; 0: none, or, in old files, the backbone itself was fine-tuned."
    )
    chosen: str = Field("", description="What ships: `head`, or `finetuned`: its average with a fine-tuned copy.")
    why: str = Field("", description="Why it was chosen, in a sentence.")
    regime: str | None = Field(None, description="Regime of the training; null where nothing could be diagnosed.")
    augmentation: Augmentation | None = Field(
        None, description="Null where training saw clean views alone; absent in cards of programs before version 1."
    )
    metrics: CardMetrics | None = Field(None, description="Absent until evaluate has measured the model.")

    @property
    def frozen_backbone(self) -> bool:
        """Whether the backbone is as ImageNet left it; false where an old program fine-tuned it in place."""
        return self.chosen == "head" or self.tuned_stages > 0

    @property
    def knows_augmentation(self) -> bool:
        """Whether `augmentation` is recorded; false for a card of a version that did not write it."""
        return "augmentation" in self.model_fields_set
