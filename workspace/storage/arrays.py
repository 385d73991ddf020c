"""Array store: cached features and activations by key, in shards on disk that survive a kill.

A shard is `<name>.npy` (first axis: items) and `<name>.json` (its keys), the latter written last, so that a shard
without its keys does not count. Shards are memory-mapped when read.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workspace.errors import WorkspaceError
from workspace.storage.paths import Workspace, digest, write_atomic

_OPEN_SHARDS = 128  # each holds a file descriptor, of which a process has 1,024 as a rule


class ArrayStore:
    """Arrays of one shape by text key, in one folder.

    Args:
        folder: made when the first shard is written; its name should say what made the arrays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locations: dict[str, tuple[Path, int]] = {}
        self._open: dict[Path, npt.NDArray[Any]] = {}
        for listing in sorted(folder.glob("*.json")):
            self._take_in(listing.with_suffix(".npy"), json.loads(listing.read_text(encoding="utf-8")))

    def __contains__(self, key: str) -> bool:
        return key in self._locations

    def missing(self, keys: Iterable[str]) -> list[str]:
        """List the keys that are not stored, in the order given, each once."""
        return [key for key in dict.fromkeys(keys) if key not in self._locations]

    def add(self, keys: Sequence[str], arrays: npt.NDArray[Any]) -> None:
        """Store one shard: `arrays[i]` under `keys[i]`.

        Raises:
            ValueError: the numbers of keys and arrays differ.
            WorkspaceError: the disk is full or the folder cannot be written.
        """
        if len(keys) != len(arrays):
            raise ValueError(f"{len(keys)} keys for {len(arrays)} arrays")
        data = self.folder / f"{digest(list(keys), length=16)}.npy"
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(arrays))
        write_atomic(data, buffer.getvalue())
        write_atomic(data.with_suffix(".json"), json.dumps(list(keys)).encode())
        self._take_in(data, list(keys))

    def get(self, keys: Sequence[str]) -> npt.NDArray[Any]:
        """Read the arrays of these keys, stacked: [len(keys), ...].

        Raises:
            KeyError: a key is not stored.
        """
        if not keys:
            raise KeyError("no keys were asked for")
        # Copies, since a view would hold its shard open.
        return np.stack([self._shard(path)[row].copy() for path, row in map(self._locations.__getitem__, keys)])

    def _shard(self, path: Path) -> npt.NDArray[Any]:
        if path not in self._open:
            if len(self._open) >= _OPEN_SHARDS:
                self._open.clear()
            self._open[path] = np.load(path, mmap_mode="r", allow_pickle=False)
        return self._open[path]

    def _take_in(self, path: Path, keys: list[str]) -> None:
        for row, key in enumerate(keys):
            self._locations.setdefault(key, (path, row))


def drop_keys(folder: Path, keys: Collection[str]) -> int:
    """Remove the arrays of these keys, and of keys with one of them as a part (`a:1`, `a:b`), from a folder.

    A shard that loses some is written anew without them before it goes, so that a kill loses nothing.

    Returns:
        How many arrays were removed.

    Raises:
        WorkspaceError: the disk is full or the folder cannot be written.
    """
    removed, gone = 0, set(keys)
    for listing in sorted(folder.glob("*.json")):
        data = listing.with_suffix(".npy")
        stored = json.loads(listing.read_text(encoding="utf-8"))
        if not (isinstance(stored, list) and data.is_file()):
            continue  # no shard
        rows = [row for row, key in enumerate(stored) if gone.isdisjoint(str(key).split(":"))]
        if len(rows) == len(stored):
            continue
        if rows:
            arrays = np.load(data, mmap_mode="r", allow_pickle=False)
            ArrayStore(folder).add([stored[row] for row in rows], arrays[rows])
        listing.unlink()
        data.unlink()
        removed += len(stored) - len(rows)
    return removed


def latest_features(workspace: Workspace) -> ArrayStore:
    """Open the pooled features of the kept images by sha256, float32 [dim], of the latest features step.

    Raises:
        WorkspaceError: there are none yet.
    """
    pointer = workspace.features_pointer
    if not pointer.is_file():
        raise WorkspaceError(
            f"{workspace.root} has no features yet; make them with: collect-and-train features -w {workspace.root}"
        )
    return ArrayStore(workspace.cache / pointer.read_text(encoding="utf-8").strip())


def point_to_features(workspace: Workspace, store: ArrayStore) -> None:
    """Make this store the one that `latest_features` opens."""
    pointer, name = workspace.features_pointer, f"{store.folder.name}\n"
    if not pointer.is_file() or pointer.read_text(encoding="utf-8") != name:
        write_atomic(pointer, name.encode(), durable=False)
