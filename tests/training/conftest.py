"""A small workspace that is ready to be trained on: noisy pictures of three kinds, with their dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preprocessing.images.pixel_cache import PixelCache
from workspace.catalog.records import Sample, Verdict
from workspace.config.model import WorkspaceConfig, parse_config
from workspace.config.template import render_config
from workspace.files.atomic import write_atomic
from workspace.storage.dataset import dataset_bytes
from workspace.storage.paths import Workspace

KINDS = ("amber", "blue", "cyan")
TINTS = ((230, 160, 40), (40, 60, 220), (40, 200, 200))

Settings = Callable[..., WorkspaceConfig]
MakeWorkspace = Callable[..., Workspace]


def _picture(kind: int, number: int) -> np.ndarray:
    rng = np.random.default_rng((kind, number))
    height, width = (256, 256 + int(rng.integers(0, 80)))
    noise = rng.normal(0, 45, (height, width, 3))
    wave = 40 * np.sin(np.arange(width) / (4 + 6 * kind) + rng.uniform(0, 6))
    return np.clip(np.array(TINTS[kind]) + noise + wave[None, :, None], 0, 255).astype(np.uint8)


def _sample(sha256: str, label: str, split: str, group: str) -> Sample:
    return Sample(sha256, label, split, group, f"images/{sha256[:2]}/{sha256}.jpg", *[""] * 9, 256, 256)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings that train a very small random network in seconds; any may be changed by its dotted name."""

    def make(**overrides: object) -> WorkspaceConfig:
        values = {
            "train.backbone": "timm:test_efficientnet",
            "train.weights": "random",
            "train.device": "cpu",
            "train.epochs": 2,
            "train.regime": "head-first",
            "train.folds": 2,
            "train.batch_size": 8,
            "features.batch_size": 8,
        }
        text = "[classes]\n" + "\n".join(f'{kind} = "{kind}"' for kind in KINDS)
        return parse_config(
            text, "test", values | {name.replace("__", "."): value for name, value in overrides.items()}
        )

    return make


@pytest.fixture
def trainable(tmp_path: Path, trainable_in: Callable[[Path], Workspace]) -> MakeWorkspace:
    """Makes a workspace with 8 pictures of each kind (5 train, 2 val, 1 test), kept, cached and frozen as a run.

    The second argument, where there is one, are the settings that the run is frozen with.
    """
    return lambda name, *config: trainable_in(tmp_path / name, *config)


@pytest.fixture(scope="session")
def trainable_in(settings: Settings) -> Callable[..., Workspace]:
    """The same in any folder."""

    def make(folder: Path, config: WorkspaceConfig | None = None) -> Workspace:
        workspace = Workspace(folder)
        pixels = PixelCache(workspace, settings().clean)
        samples = []
        for kind, label in enumerate(KINDS):
            for number in range(8):
                picture = _picture(kind, number)
                sha256 = hashlib.sha256(picture.tobytes()).hexdigest()
                pixels.write(sha256, picture)
                split = "train" if number < 5 else "val" if number < 7 else "test"
                samples.append(_sample(sha256, label, split, group=sha256))
        with workspace.open_catalog() as catalog:
            catalog.put([Verdict(one.sha256, one.label, "check", "keep") for one in samples])
        write_atomic(workspace.run("first").config_file, render_config(config or settings()).encode())
        write_atomic(workspace.run("first").dataset_file, dataset_bytes(samples))
        workspace.point_to("first")
        return workspace

    return make
