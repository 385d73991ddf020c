"""Register pairs of images, each pair once: their agreement is kept in the workspace's cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from preprocessing.duplicates.registration import REGISTRATION_VERSION, Agreement, Keypoints, keypoints, register
from preprocessing.images.pixel_cache import PixelCache
from workspace.config.clean import CleanConfig
from workspace.progress import SILENT, Progress
from workspace.storage.arrays import ArrayStore
from workspace.storage.paths import Workspace

RegisterPairs = Callable[[Sequence[tuple[str, str]]], Sequence[Agreement]]
"""Registers the images of each pair, given by their sha256, and returns their agreement."""

_BATCH = 512  # pairs: what a kill loses at most
_REMEMBERED = 4096  # images whose keypoints are kept: 55 kB each


def register_pairs(
    workspace: Workspace, clean: CleanConfig, pairs: Sequence[tuple[str, str]], progress: Progress = SILENT
) -> list[Agreement]:
    """Register the images of each pair on their cached pixels; agreements of earlier runs are read from the cache.

    Args:
        workspace: whose images.
        clean: how large the cached images are, and how many threads compare.
        pairs: two sha256 each, in either order.
        progress: advances by each pair that is not in the cache.

    Raises:
        WorkspaceError: an image's file is gone, or the cache cannot be written.
    """
    cache = PixelCache(workspace, clean)
    store = ArrayStore(workspace.cache / f"agreements-v{REGISTRATION_VERSION}-{cache.folder.name}")
    # The image with the higher sha256 is registered on the other, whichever is the better one.
    keys = [":".join(sorted(pair)) for pair in pairs]

    @lru_cache(_REMEMBERED)
    def points(sha256: str) -> Keypoints:
        return keypoints(cache.read(sha256))

    def agreement(key: str) -> Agreement:
        left, right = key.split(":")
        return register(cache.read(left), cache.read(right), points(left), points(right))

    todo = store.missing(keys)
    if todo:
        progress.begin("Comparing possible copies", len(todo))
        with ThreadPoolExecutor(clean.workers or os.cpu_count() or 1) as pool:
            for start in range(0, len(todo), _BATCH):
                batch = todo[start : start + _BATCH]
                store.add(batch, np.array(list(pool.map(agreement, batch)), np.float32))
                progress.advance(len(batch))
    return [Agreement(*row) for row in store.get(keys).tolist()] if keys else []
