"""Image store: the downloaded files of a workspace, by the sha256 of their bytes.

Ask for bytes with `get`; ask for a local file with `path` only where another program, or a copy, needs one. Everything
that reads or writes images/ goes through here, so that the files may lie elsewhere one day.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.records import Download, ImageFacts
from workspace.errors import WorkspaceError
from workspace.reasons import FILE_LOST
from workspace.storage.image_type import SUFFIXES
from workspace.storage.paths import Workspace, write_atomic


@dataclass(frozen=True, slots=True)
class ImageStore:
    """The files images/<first two digits>/<sha256><suffix>; one that holds its bytes is never rewritten."""

    workspace: Workspace

    def put(self, sha256: str, suffix: str, data: bytes, *, durable: bool = True) -> None:
        """Store a file atomically; one that already holds these bytes stays as it is.

        Args:
            sha256: of `data`, in hex.
            suffix: by content, with its dot (`.jpg`): one of workspace.storage.image_type.SUFFIXES.
            data: the whole file.
            durable: also wait for the disk; not worth it for what can be fetched again.

        Raises:
            WorkspaceError: the disk is full or the folder cannot be written.
        """
        file = self._file(sha256, suffix)
        if not _holds(file, data):  # a power cut may have left a file of that name without its bytes
            write_atomic(file, data, durable=durable)

    def get(self, sha256: str) -> bytes:
        """Read a stored file.

        Raises:
            WorkspaceError: it is gone.
        """
        return self.path(sha256).read_bytes()

    def path(self, sha256: str) -> Path:
        """Return the local path of a stored file.

        Raises:
            WorkspaceError: it is gone.
        """
        found = self._find(sha256)
        if found is None:
            raise WorkspaceError(
                f"{self.workspace.images / sha256[:2]} has no file {sha256}.*, though the catalogue knows it; "
                f"put it back, or fetch it again: {self.workspace.command('collect')}"
            )
        return found

    def key(self, sha256: str) -> str:
        """Return a stored file's path relative to the workspace, with slashes, as a dataset holds it.

        Raises:
            WorkspaceError: it is gone.
        """
        return self.path(sha256).relative_to(self.workspace.root).as_posix()

    def exists(self, sha256: str) -> bool:
        """Return whether the file is stored."""
        return self._find(sha256) is not None

    def delete(self, sha256: str) -> None:
        """Delete a file, whatever its suffix; a missing file is no error."""
        for file in self.workspace.images.glob(f"{sha256[:2]}/{sha256}*"):
            file.unlink(missing_ok=True)

    def _find(self, sha256: str) -> Path | None:
        # A look at each name it may have, the most frequent first, where a search would read the whole folder.
        for suffix in SUFFIXES.values():
            if (file := self._file(sha256, suffix)).is_file():
                return file
        return None

    def _file(self, sha256: str, suffix: str) -> Path:
        return self.workspace.images / sha256[:2] / f"{sha256}{suffix}"

    def sizes(self) -> dict[str, int]:
        """Read the size in bytes of every stored file by its sha256, without opening any."""
        found: dict[str, int] = {}
        for folder in _entries(self.workspace.images):
            for entry in _entries(folder):
                stem, dot, suffix = entry.name.partition(".")
                if dot and f"{dot}{suffix}" in SUFFIXES.values() and entry.is_file():
                    found[stem] = max(found.get(stem, 0), entry.stat().st_size)
        return found


def record_lost_files(workspace: Workspace, catalog: Catalog) -> int:
    """Record as `failed: file_lost` every download whose file is missing or has another size than its row says.

    Such files are left by a power cut, since pictures are not synced to disk (docs/decisions/0012), or by a person. A
    lost file that was put back is `ok` again.

    Returns:
        How many files are lost that were not before.

    Raises:
        WorkspaceError: the folder cannot be read, or the catalogue not written.
    """
    table = TABLES[Download]
    was_lost = sa.and_(table.c.status == "failed", table.c.reason == FILE_LOST)
    query = sa.select(table.c.sha256, table.c.bytes, table.c.status).where(
        table.c.sha256 != "", sa.or_(table.c.status == "ok", was_lost)
    )
    try:
        sizes = ImageStore(workspace).sizes()
    except OSError as error:
        raise WorkspaceError(f"{workspace.images} cannot be read: {error.strerror}; make it readable") from error
    lost: set[str] = set()
    back: set[str] = set()
    with catalog.engine.connect() as connection:
        for sha, size, status in connection.execute(query):
            if sizes.get(sha) == size:
                back.update({sha} if status == "failed" else ())
            elif status == "ok":
                lost.add(sha)
    mark_lost(catalog, lost)
    catalog.put(replace(row, status="ok", reason="") for row in _rows_of(catalog, back) if row.reason == FILE_LOST)
    return len(lost)


def mark_lost(catalog: Catalog, files: Collection[str]) -> None:
    """Record the downloads of these files (sha256) as `failed: file_lost`, and forget what was measured of them."""
    catalog.put(
        replace(row, status="failed", reason=FILE_LOST) for row in _rows_of(catalog, files) if row.status == "ok"
    )
    catalog.delete(ImageFacts, "sha256", files)


def _rows_of(catalog: Catalog, files: Collection[str]) -> list[Download]:
    return [row for row in catalog.each(Download) if row.sha256 in files] if files else []


def _entries(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _holds(file: Path, data: bytes) -> bool:
    return file.is_file() and file.stat().st_size == len(data) and file.read_bytes() == data
