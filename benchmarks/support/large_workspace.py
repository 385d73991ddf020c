"""A workspace of as many pictures as one likes, with the catalogue and the features of a real one, for benchmarks."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.hash_search import plant, skewed_hashes
from preprocessing.duplicates.hash_search import Hashes
from workspace.catalog.records import Download, Hit, ImageFacts
from workspace.config.model import WorkspaceConfig
from workspace.storage.arrays import ArrayStore, point_to_features
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

_AT_A_TIME = 5_000
_PER_CLASS = 10_000
_SHARD = 32  # features in a file, as the step writes them
_SIZE_PX = (96, 72)


def config_of(count: int) -> WorkspaceConfig:
    """Choose the classes: one for every 10,000 pictures, two at least."""
    labels = [f"class{number:03}" for number in range(max(2, count // _PER_CLASS))]
    return WorkspaceConfig.model_validate({"classes": {label: (label,) for label in labels}})


def fill(workspace: Workspace, count: int, dim: int, *, drawn: bool) -> None:
    """Write the catalogue of `count` downloaded pictures, a copy planted for one in ten, and their features.

    Args:
        workspace: an empty one.
        count: how many pictures.
        dim: length of a feature vector.
        drawn: store small JPEGs, which `clean` has still to see; else empty files, and facts as it would leave them.
    """
    rng = np.random.default_rng(0)
    labels = list(config_of(count).classes)
    phash, dhash = skewed_hashes(count, rng)
    original = np.arange(count)
    for first, copy, _ in plant(phash, dhash, rng).tolist():
        original[copy] = first
    hashes = (phash, dhash, *skewed_hashes(count, rng))
    thumbs = np.random.default_rng(1).integers(0, 256, (4096, 1024), dtype=np.uint8)
    store, names = ImageStore(workspace), list[str]()
    with workspace.open_catalog() as catalog:
        for start in range(0, count, _AT_A_TIME):
            rows = range(start, min(start + _AT_A_TIME, count))
            hits = [_hit(number, labels) for number in rows]
            downloads = []
            for row, hit in zip(rows, hits, strict=True):
                data = _jpeg(int(original[row]), quality=80 if original[row] == row else 60) if drawn else b""
                name = hashlib.sha256(data or str(row).encode()).hexdigest()
                store.put(name, ".jpg", data, durable=False)
                downloads.append(_download(hit, name, len(data)))
            names += [download.sha256 for download in downloads]
            catalog.add_new([*hits, *(_hit(number, labels, "waiting") for number in rows if number % 20 == 0)])
            catalog.put(downloads)
            if not drawn:
                catalog.put(_facts(names[row], thumbs[original[row] * 7919 % 4096], hashes, row) for row in rows)
    _store_features(workspace, names, original, dim, rng)


def _hit(number: int, labels: Sequence[str], prefix: str = "picture") -> Hit:
    url = f"https://images{number % 50}.example.org/{prefix}/{number:09}/large-original-file.jpg"
    return Hit(
        labels[number % len(labels)], "word", f"source{number % 5}", number // len(labels), url,
        page_url=f"https://www.example.org/photos/{number:09}", title=f"A picture with a title, number {number}",
        creator=f"creator {number // 3}" if number % 4 else "", license="cc-by" if number % 3 else "",
        width=640, height=480, found_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def _download(hit: Hit, name: str, size: int) -> Download:
    return Download(hit.image_url, "ok", bytes=size, sha256=name, http_status=200, final_url=hit.image_url)


def _facts(name: str, thumb: Any, hashes: tuple[Hashes, ...], row: int) -> ImageFacts:
    phash, dhash, phash_mirror, dhash_mirror = (f"{int(words[row]):016x}" for words in hashes)
    return ImageFacts(
        brightness=0.5, contrast=0.2, entropy=7.0, sharpness=0.02, highlights=0.9, shadows=0.1, text=0.0,
        sha256=name, format="JPEG", mode="RGB", width=640, height=480, bytes=20_000, pixel_digest=name[::-1],
        phash=phash, dhash=dhash, phash_mirror=phash_mirror, dhash_mirror=dhash_mirror, thumb=thumb.tobytes().hex(),
    )  # fmt: skip


def _jpeg(number: int, quality: int) -> bytes:
    """Draw coloured blobs, unlike those of every other number."""
    coarse = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(_SIZE_PX, Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _store_features(workspace: Workspace, names: Sequence[str], original: Any, dim: int, rng: Any) -> None:
    """Store features around a centre for 500 pictures; a copy has those of its original, a little changed."""
    centres = rng.normal(size=(max(2, len(names) // 500), dim)).astype(np.float32)
    store = ArrayStore(workspace.cache / "features-made")
    order = sorted(range(len(names)), key=names.__getitem__)
    for start in range(0, len(order), _SHARD):
        rows = order[start : start + _SHARD]
        same = original[rows]
        own = np.stack([np.random.default_rng(row).normal(size=dim).astype(np.float32) for row in same.tolist()])
        noise = rng.normal(size=own.shape).astype(np.float32)
        store.add([names[row] for row in rows], centres[same % len(centres)] + 0.8 * own + 0.15 * noise)
    point_to_features(workspace, store)
