"""Files in the workspace's own folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from workspace.files.atomic import unfinished_writes, write_atomic
from workspace.files.base import Entry


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Files below a folder of this machine; workspace/files/base.py describes each method.

    `create` looks before it writes: two writers at once are kept apart by the workspace's lock.
    """

    root: Path
    portion: ClassVar[int | None] = None

    def where(self, name: str) -> str:
        """Return the path."""
        return str(self.root / name)

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: it is not there.
        """
        return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write a file atomically."""
        write_atomic(self.root / name, data, durable=durable)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        """Write a file atomically unless there is one."""
        if (self.root / name).is_file():
            return False
        self.write(name, data, durable=durable)
        return True

    def size(self, name: str) -> int | None:
        """Return the size in bytes, or None."""
        file = self.root / name
        return file.stat().st_size if file.is_file() else None

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield every file below a folder."""
        for entry in _listed(self.root / folder):
            name = f"{folder}/{entry.name}"
            if entry.is_dir():
                yield from self.entries(name)
            elif entry.is_file():
                yield Entry(name, entry.stat().st_size)

    def folders(self, folder: str) -> list[str]:
        """List the folders in a folder."""
        return sorted(entry.name for entry in _listed(self.root / folder) if entry.is_dir())

    def remove(self, names: Iterable[str]) -> None:
        """Delete files, and what killed writes of them left."""
        files = [self.root / name for name in names]
        for file in (*files, *unfinished_writes(files)):
            file.unlink(missing_ok=True)

    @contextmanager
    def staged(self, wanted: Sequence[Sequence[str]], scratch: Path) -> Iterator[list[Path | None]]:
        """Give the paths of the files, which lie on this machine already."""
        yield [next((file for name in names if (file := self.root / name).is_file()), None) for names in wanted]

    def pull(self, folder: str, copy: Path, names: Sequence[str] = ()) -> None:
        """Do nothing: the working copy is the folder itself."""

    def push(self, folder: str, copy: Path) -> None:
        """Do nothing: the working copy is the folder itself."""


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
