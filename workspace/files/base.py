"""The interface of file storage: whole files by name, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored file: its name, its size in bytes, and in object storage a tag that changes with its content."""

    name: str
    bytes: int
    tag: str = ""


class Files(Protocol):
    """Files by name, relative to the workspace and with slashes: `images/ab/<sha256>.jpg`.

    A file is written whole or not at all, and a reader sees the old bytes or the new ones. What cannot be reached,
    read or written raises WorkspaceError; a file that is not there raises FileNotFoundError where it is read.
    """

    @property
    def portion(self) -> int | None:
        """How many files are staged at a time; None: all of them, since they lie on this machine already."""

    def where(self, name: str) -> str:
        """Return a file's path or address, for messages."""

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: it is not there.
        """

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write a file, or replace it; `durable` waits for a local disk."""

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        """Write a file unless there is one of that name; return whether it was written."""

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes; None where it is not there."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield every file below a folder, in no particular order; hidden files are left out."""

    def folders(self, folder: str) -> list[str]:
        """List the names of the folders in a folder, sorted."""

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is not there is no error."""

    def staged(self, wanted: Sequence[Sequence[str]], scratch: Path) -> AbstractContextManager[list[Path | None]]:
        """Give the files as local paths for as long as the block runs.

        Args:
            wanted: of each file the names that it may have; the first that is there counts.
            scratch: where copies are put, if any are needed; they are deleted after the block.

        Returns:
            A path for each, in the order of `wanted`; None where none of its names is there.
        """

    def pull(self, folder: str, copy: Path, names: Sequence[str] = ()) -> None:
        """Bring the working copy of a folder up to date: fetch what it lacks and what was written elsewhere since.

        Args:
            folder: such as `runs/<run_id>`.
            copy: its folder on this machine.
            names: of the files that are needed, relative to the folder; empty: all.
        """

    def push(self, folder: str, copy: Path) -> None:
        """Store what has changed in the working copy of a folder, in the order in which it was written there."""
