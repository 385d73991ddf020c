"""Array store: cached features and activations by key, in shards on disk that survive a kill.

A shard is `<name>.npy` (first axis: items) and `<name>.json` (its keys), the latter written last, so that a shard
without its keys does not count. Shards are memory-mapped when read. The cache may be deleted or damaged at any time: a
shard that is not whole does not count either, and what was in it is computed again.
"""

from __future__ import annotations

import io
import json
import tokenize
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workspace.digest import digest
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.storage.paths import Workspace

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
            self._take_in(listing.with_suffix(".npy"), _read_keys(listing) or [])

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
            array = open_array(path)
            if array is None:
                raise WorkspaceError(f"{path} was damaged while it was in use; run the same command again")
            self._open[path] = array
        return self._open[path]

    def _take_in(self, path: Path, keys: list[str]) -> None:
        for row, key in enumerate(keys):
            self._locations.setdefault(key, (path, row))


def drop_keys(folder: Path, keys: Collection[str]) -> int:
    """Remove the arrays of these keys, and of keys with one of them as a part (`a:1`, `a:b`), from a folder.

    A shard that loses some is written anew without them before it goes, so that a kill loses nothing. A damaged one
    goes as a whole, and so does one that a kill left without its keys: nobody can say what is in it.

    Returns:
        How many arrays were removed.

    Raises:
        WorkspaceError: the disk is full or the folder cannot be written.
    """
    removed, gone = 0, set(keys)
    for left in (*folder.glob("*.npy"), *folder.glob(".*.tmp")):
        if not left.with_suffix(".json").is_file():
            left.unlink()
    for listing in sorted(folder.glob("*.json")):
        data, stored = listing.with_suffix(".npy"), _read_keys(listing)
        if stored is None:
            listing.unlink()
            data.unlink(missing_ok=True)
            continue
        rows = [row for row, key in enumerate(stored) if gone.isdisjoint(key.split(":"))]
        if len(rows) == len(stored):
            continue
        arrays = open_array(data)
        if rows and arrays is not None:
            ArrayStore(folder).add([stored[row] for row in rows], arrays[rows])
        listing.unlink()
        data.unlink()
        removed += len(stored) - len(rows)
    return removed


def open_array(path: Path) -> npt.NDArray[Any] | None:
    """Memory-map a .npy file; None where it is missing, cut off or no such file."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, TypeError, SyntaxError, OverflowError, tokenize.TokenError):
        return None  # numpy parses the header as Python: the last four come from damage in it


def _read_keys(listing: Path) -> list[str] | None:
    """Read the keys of a shard; None where the list or its arrays are missing, cut off or not of one length."""
    try:
        keys = json.loads(listing.read_bytes())
    except (OSError, ValueError):
        return None
    arrays = open_array(listing.with_suffix(".npy"))
    if not isinstance(keys, list) or arrays is None or arrays.shape[:1] != (len(keys),):
        return None
    return [str(key) for key in keys]


def latest_features(workspace: Workspace) -> ArrayStore:
    """Open the pooled features of the kept images by sha256, float32 [dim], of the latest features step.

    Raises:
        WorkspaceError: there are none yet.
    """
    name = latest_features_name(workspace)
    if name is None:
        raise WorkspaceError(f"{workspace.root} has no features yet; make them with: {workspace.command('features')}")
    return ArrayStore(workspace.cache / name)


def latest_features_name(workspace: Workspace) -> str | None:
    """Read the name of the folder in cache/ that the latest features step filled; None where nothing says so."""
    try:
        name = workspace.features_pointer.read_bytes().decode().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return name if name and Path(name).name == name and "\0" not in name else None


def point_to_features(workspace: Workspace, store: ArrayStore) -> None:
    """Make this store the one that `latest_features` opens."""
    if latest_features_name(workspace) != store.folder.name:
        write_atomic(workspace.features_pointer, f"{store.folder.name}\n".encode(), durable=False)
