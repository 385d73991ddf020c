"""Settings of features, augmentation, training, evaluation and tracking."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator

from workspace.config.section import EXECUTION_ONLY, Section


def _auto_or_count(value: object) -> object:
    """Refuse anything else with one sentence, not one for each of the two."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError('it is "auto" or a whole number from 0 on')


class FeaturesConfig(Section):
    """Feature extraction with the frozen backbone."""

    batch_size: int = Field(32, ge=1, description="Pictures per forward pass.", json_schema_extra=EXECUTION_ONLY)
    workers: Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)] = Field(
        "auto",
        description="Threads that prepare batches while the network runs, beside a GPU processes; results do not "
        "depend on it. auto: one, or beside a GPU up to 8.",
        json_schema_extra=EXECUTION_ONLY,
    )


class AugmentConfig(Section):
    """Changes that augmentation may make to a training picture."""

    strength: Literal["light", "medium", "strong"] = Field(
        "light",
        description="How far the views of a training picture differ from it. Medium and strong are for a model that "
        "will see other photographs than those collected: closer, in other light, partly hidden.",
    )
    flip: bool = Field(True, description="Mirror left to right. Off for text, hands, traffic signs.")
    vertical_flip: bool = Field(False, description="Mirror top to bottom. On for pictures from above.")
    hue: bool = Field(True, description="Shift colours a little. Off where colour is the label.")


class TrainConfig(Section):
    """Backbone, fine-tuning and model selection."""

    backbone: str = Field(
        "resnet50",
        description="resnet18, resnet34, resnet50, resnet101, efficientnet_lite0, or any model of timm as timm:NAME.",
    )
    weights: Literal["imagenet", "imagenet-v2", "random"] = Field(
        "imagenet",
        description="Start from ImageNet, from torchvision's second recipe (better on ImageNet, worse as frozen "
        "features), or from nothing (for tests only).",
    )
    weights_file: str = Field(
        "",
        description="File with the backbone's ImageNet weights (state_dict); empty: found locally, else downloaded.",
    )
    fallback_backbone: str = Field(
        "", description="Backbone to use when the weights of the other are not available; empty: that is an error."
    )
    regime: Literal["auto", "all-layers", "late-stages", "head-first", "frozen", "1", "2", "3", "4"] = Field(
        "auto",
        description="How much of the network is trained; auto: chosen by the diagnostics in the report.",
    )
    head_stages: int = Field(
        3,
        ge=1,
        le=3,
        description="Stages whose pooled features the head sees: the last, and so many less one before it, which know "
        "more of pictures unlike ImageNet's. It is the mean of a head on the last alone and one on all of them.",
    )
    epochs: Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)] = Field(
        "auto",
        description="Passes over the pictures in fine-tuning, each with a view of its own, before the held-out ones "
        "join for a third as many again; auto: by their number; 0: no fine-tuning.",
    )
    batch_size: int = Field(16, ge=2, description="Pictures per step of fine-tuning.")
    head_lr: float = Field(0.01, gt=0, description="Learning rate of the head in fine-tuning.")
    backbone_lr: float = Field(0.0033, gt=0, description="Learning rate of the last stage: a third of the head's.")
    stage_decay: float = Field(
        1.0, gt=0, le=1, description="Learning rate of a stage as a share of the next one's, where several are trained."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of SGD.")
    batch_norm_only: bool = Field(
        False, description="Of the trained stages only the batch norms' scales and shifts are trained."
    )
    mixup: float = Field(
        0.0,
        ge=0,
        description="Fine-tuning learns from pairs of pictures, mixed where the trained stages start by shares drawn "
        "from Beta(mixup, mixup); 0: from pictures as they are.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the truth that fine-tuning spreads over all classes; 0: none."
    )
    folds: int = Field(
        5,
        ge=2,
        le=20,
        description="Folds of the cross-validation; fewer are quicker, and are used where groups are few.",
    )
    guard: bool = Field(
        True,
        description="The fine-tuned copy ships unless held-out pictures show that the linear head is better alone; "
        "false: it ships whatever they show.",
    )
    time_limit_s: float = Field(
        0.0,
        ge=0,
        description="Seconds after which fine-tuning ends with what is finished, counted anew when it is resumed; 0: "
        "no limit.",
        json_schema_extra=EXECUTION_ONLY,
    )
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that share every batch of fine-tuning, each with a GPU of its own. It pays where whole "
        "networks are trained on many pictures; on a CPU it only costs.",
        json_schema_extra=EXECUTION_ONLY,
    )
    compile: bool = Field(
        False,
        description="Compile the trained stages (torch.compile) first: for long runs on a GPU; on a CPU "
        "it took 8 to 37 seconds and gained nothing.",
        json_schema_extra=EXECUTION_ONLY,
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="auto: a GPU (CUDA, or Apple's by MPS) if there is one.", json_schema_extra=EXECUTION_ONLY
    )


class EvaluateConfig(Section):
    """Confidence intervals, and when the model answers "none"."""

    bootstrap: int = Field(2000, ge=100, description="Bootstrap draws, over groups, for the 95 % intervals.")
    accept: float = Field(
        0.95,
        ge=0.5,
        le=1,
        description="Target share of in-class pictures that get an answer. The rest, and anything less similar to the "
        'training pictures, get "none".',
    )


class TrackingConfig(Section):
    """Where finished runs are logged, besides the workspace: MLflow, TensorBoard (the extra `tracking`)."""

    mlflow: str = Field(
        "",
        description="MLflow's tracking URI: http://127.0.0.1:5000 for a server, sqlite:///mlflow.db for a file; "
        "empty: off. Name and password belong into the environment (MLFLOW_TRACKING_USERNAME, _PASSWORD).",
        json_schema_extra=EXECUTION_ONLY,
    )
    experiment: str = Field(
        "", description="MLflow's experiment; empty: the workspace's name.", json_schema_extra=EXECUTION_ONLY
    )
    tensorboard: bool = Field(
        False,
        description="Write each run's event file into its folder tensorboard/.",
        json_schema_extra=EXECUTION_ONLY,
    )
    timeout_s: float = Field(
        60.0,
        gt=0,
        description="Seconds after which a run that is being logged is given up, with a warning.",
        json_schema_extra=EXECUTION_ONLY,
    )

    @field_validator("mlflow")
    @classmethod
    def _without_password(cls, value: str) -> str:
        if urlsplit(value).username is not None or urlsplit(value).password is not None:
            raise ValueError(
                "no name or password in it, since this file is shared and copied: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD in the environment"
            )
        return value
