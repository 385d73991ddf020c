"""Register pairs of images, each pair once: their agreement is kept in the workspace's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preprocessing.duplicates.registration import REGISTRATION_VERSION, Agreement, Keypoints, keypoints, register
from preprocessing.images.pixel_cache import PixelCache
from workspace.config.clean import CleanConfig
from workspace.progress import SILENT, Progress
from workspace.spread.shards import HERE, Spread, divide, side_by_side
from workspace.storage.arrays import ArrayStore
from workspace.storage.paths import Workspace

RegisterPairs = Callable[[Sequence[tuple[str, str]]], Sequence[Agreement]]
"""Registers the images of each pair, given by their sha256, and returns their agreement."""

_BATCH = 512  # pairs: what a kill loses at most
_REMEMBERED = 4096  # images whose keypoints are kept: 55 kB each


@dataclass(frozen=True, slots=True)
class PairShard:
    """Pairs to register: their keys (both sha256, the lower first, with a colon between), and whose images they are."""

    keys: Sequence[str]
    workspace: Workspace
    clean: CleanConfig

    def __str__(self) -> str:
        return f"{len(self.keys)} pairs of pictures from {self.keys[0]} on"


class Agreements(NamedTuple):
    """Agreements of some pairs by their keys: float32 [n, 4], columns as in `Agreement`."""

    keys: Sequence[str]
    rows: npt.NDArray[np.float32]


def register_pairs(
    workspace: Workspace,
    clean: CleanConfig,
    pairs: Sequence[tuple[str, str]],
    progress: Progress = SILENT,
    spread: Spread = HERE,
) -> list[Agreement]:
    """Register the images of each pair on their cached pixels; agreements of earlier runs are read from the cache.

    Args:
        workspace: whose images.
        clean: how large the cached images are, and how many threads compare.
        pairs: two sha256 each, in either order.
        progress: advances by each pair that is not in the cache.
        spread: where pairs are registered.

    Raises:
        WorkspaceError: an image's file is gone, or the cache cannot be written.
        ShardLost: pairs ended every process that registered them; the agreements of all others are stored.
    """
    pixels = PixelCache(workspace, clean).folder.name
    store = ArrayStore(workspace.cache / f"agreements-v{REGISTRATION_VERSION}-{pixels}")
    # The image with the higher sha256 is registered on the other, whichever is the better one.
    keys = [":".join(sorted(pair)) for pair in pairs]
    todo = store.missing(keys)
    if todo:
        progress.begin("Comparing possible copies", len(todo))
        clean = clean.model_copy(update={"workers": spread.processes(clean.workers)})
        shards = (PairShard(some, workspace, clean) for some in divide(todo, spread.shard_size()))
        for found in spread.run(register_shard, side_by_side(shards), name="compare copies"):
            store.add(found.keys, found.rows)
            progress.advance(len(found.keys))
    return [Agreement(*row) for row in store.get(keys).tolist()] if keys else []


def register_shard(shard: PairShard) -> Iterator[Agreements]:
    """Register the images of a shard's pairs, `_BATCH` pairs at a time.

    Raises:
        WorkspaceError: an image's file is gone.
    """
    cache = PixelCache(shard.workspace, shard.clean)

    @lru_cache(_REMEMBERED)
    def points(sha256: str) -> Keypoints:
        return keypoints(cache.read(sha256))

    def agreement(key: str) -> Agreement:
        left, right = key.split(":")
        return register(cache.read(left), cache.read(right), points(left), points(right))

    with ThreadPoolExecutor(shard.clean.workers) as pool:
        for batch in divide(shard.keys, _BATCH):
            yield Agreements(batch, np.array(list(pool.map(agreement, batch)), np.float32))
