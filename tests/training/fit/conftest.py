"""A small job of fine-tuning, and the network that it trains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from torch import nn

from preprocessing.images.pixel_cache import PixelCache
from training.fit.finetune import Job, TunedNetwork
from training.network.backbone import load_backbone
from training.network.device import choose_device
from training.network.prefetch import Workers
from training.network.stages import with_folded_batch_norm
from training.network.view_source import ViewSource
from training.network.views import PRESETS, Augmenter
from workspace.config.model import WorkspaceConfig
from workspace.storage.dataset import read_dataset

CPU = choose_device("cpu")
CLASSES = 3


@pytest.fixture
def fresh() -> Callable[..., TunedNetwork]:
    """Makes the network of the job as it is before its first step."""

    def make(config: WorkspaceConfig, batch_norm_only: bool = False) -> TunedNetwork:
        backbone, _ = load_backbone(config.train, config.seed)
        head = nn.Linear(backbone.spec.feature_dim, CLASSES)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return CPU.put(TunedNetwork(backbone.copy_of_last(1), head, batch_norm_only))

    return make


@pytest.fixture
def state_bytes() -> Callable[[nn.Module], dict[str, bytes]]:
    """Gives the bytes of a network's state, by name."""
    return lambda network: {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@pytest.fixture
def config(request, settings):
    """Settings of the job; its parameter, where a test gives one, is the network."""
    named = {"train__backbone": request.param} if hasattr(request, "param") else {}
    return settings(train__epochs=4, train__batch_size=6, **named)


@pytest.fixture
def job(tmp_path, trainable, config):
    """Of the 15 training pictures; the last stage is trained."""
    workspace = trainable("w")
    samples = [sample for sample in read_dataset(workspace.latest_run().dataset_file) if sample.split == "train"]
    names = sorted({sample.label for sample in samples})
    backbone, _ = load_backbone(config.train, config.seed)
    frozen = CPU.put(with_folded_batch_norm(backbone.stages[:-1], backbone.spec.crop_px))
    augmenter = Augmenter(PRESETS["light"], config.augment)
    return Job(
        keys=tuple(sample.sha256 for sample in samples),
        labels=np.array([names.index(sample.label) for sample in samples]),
        classes=CLASSES,
        views=ViewSource(PixelCache(workspace, config.clean), augmenter, backbone.spec, config.seed),
        frozen=frozen,
        config=config.train,
        epochs=4,
        seed=config.seed,
        workers=Workers(1),
        checkpoint=tmp_path / "checkpoint.pt",
        fingerprint="this job",
    )
