"""Noisy pictures made on the spot, and workspaces that look as after a download."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workspace.catalog.records import Download, Hit
from workspace.config.model import WorkspaceConfig
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace


def _picture(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Blobs of several sizes plus fine noise: no two seeds look alike, and nothing compresses away."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (cells, cells + 1, 3), dtype=np.uint8)).resize(
                (width, height), Image.Resampling.BICUBIC
            ),
            dtype=np.float64,
        )
        for cells in (3, 6, 12)
    ]
    noisy = 0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2] + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _encode(image: Image.Image, container: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, container, **options)
    return buffer.getvalue()


@dataclass
class Collected:
    """A workspace under construction; `add` puts a file there as search and download would have."""

    workspace: Workspace
    ranks: dict[str, int] = field(default_factory=dict)

    def add(self, data: bytes, label: str, *, rank: int | None = None, creator: str = "", license: str = "") -> str:  # noqa: A002
        sha = hashlib.sha256(data).hexdigest()
        place = self.ranks.get(label, 0)
        self.ranks[label] = place + 1
        url = f"http://pictures.test/{label}/{place}"
        ImageStore(self.workspace).put(sha, ".jpg", data, durable=False)
        hit = Hit(label, f"{label} word", "t", place if rank is None else rank, url, creator=creator, license=license)
        with self.workspace.open_catalog() as catalog:
            catalog.add_new([hit])
            catalog.put([Download(url, "ok", bytes=len(data), sha256=sha, http_status=200)])
        return sha

    def config(self, **sections: dict[str, object]) -> WorkspaceConfig:
        classes = {label: (label,) for label in sorted({*self.ranks, "a", "b"})}
        return WorkspaceConfig.model_validate({"classes": classes, **sections})


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    return _picture


@pytest.fixture
def encode() -> Callable[..., bytes]:
    return _encode


@pytest.fixture
def collected(tmp_path: Path) -> Collected:
    return Collected(Workspace(tmp_path / "ws"))
