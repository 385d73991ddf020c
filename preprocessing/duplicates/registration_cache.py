"""Pairs of pictures laid over each other, once each: how they agree is kept in the workspace's cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from preprocessing.duplicates.registration import ALIGNMENT_VERSION, Agreement, Keypoints, compare, keypoints
from preprocessing.images.pixel_cache import PixelCache
from workspace.config.clean import CleanConfig
from workspace.progress import SILENT, Progress
from workspace.storage.arrays import ArrayStore
from workspace.storage.paths import Workspace

Lay = Callable[[Sequence[tuple[str, str]]], Sequence[Agreement]]
"""Says how the pictures of each pair agree, given by their sha256."""

_BATCH = 512  # pairs: what a kill loses at most
_REMEMBERED = 4096  # pictures whose keypoints are kept: 55 kB each


def lay_over(
    workspace: Workspace, clean: CleanConfig, pairs: Sequence[tuple[str, str]], progress: Progress = SILENT
) -> list[Agreement]:
    """Compare the pictures of each pair on their cached pixels; what an earlier run has compared is only read.

    Args:
        workspace: whose pictures.
        clean: how large the cached pictures are, and how many threads compare.
        pairs: two sha256 each, in either order.
        progress: told how many pairs are new.

    Raises:
        WorkspaceError: a picture's file is gone, or the cache cannot be written.
    """
    cache = PixelCache(workspace, clean)
    store = ArrayStore(workspace.cache / f"agreements-v{ALIGNMENT_VERSION}-{cache.folder.name}")
    # The picture with the lower sha256 lies below, whichever is the better one.
    keys = [":".join(sorted(pair)) for pair in pairs]

    @lru_cache(_REMEMBERED)
    def points(sha256: str) -> Keypoints:
        return keypoints(cache.read(sha256))

    def agreement(key: str) -> Agreement:
        left, right = key.split(":")
        return compare(cache.read(left), cache.read(right), points(left), points(right))

    todo = store.missing(keys)
    if todo:
        progress.begin("Laying pictures over each other", len(todo))
        with ThreadPoolExecutor(clean.workers or os.cpu_count() or 1) as pool:
            for start in range(0, len(todo), _BATCH):
                some = todo[start : start + _BATCH]
                store.add(some, np.array(list(pool.map(agreement, some)), np.float32))
                progress.advance(len(some))
    return [Agreement(*row) for row in store.get(keys).tolist()] if keys else []
