"""Image store: the downloaded files of a workspace, by the sha256 of their bytes.

Ask for bytes with `get`; ask for local files with `staged` or `portions` where another process, or a copy, needs them.
Everything that reads or writes images/ goes through here, and through workspace.files to wherever the files lie.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.records import Download, ImageFacts
from workspace.errors import WorkspaceError
from workspace.files.base import Entry, Files
from workspace.files.image_type import SUFFIXES
from workspace.reasons import FILE_LOST
from workspace.storage.paths import Workspace

FOLDER = "images"


@dataclass(frozen=True, slots=True)
class ImageStore:
    """The files images/<first two digits>/<sha256><suffix>; one that holds its bytes is never rewritten."""

    workspace: Workspace

    @property
    def _files(self) -> Files:
        return self.workspace.files

    def put(self, sha256: str, suffix: str, data: bytes, *, durable: bool = True) -> None:
        """Store a file atomically; one that already holds these bytes stays as it is.

        Args:
            sha256: of `data`, in hex.
            suffix: by content, with its dot (`.jpg`): one of workspace.files.image_type.SUFFIXES.
            data: the whole file.
            durable: also wait for the disk; not worth it for what can be fetched again.

        Raises:
            WorkspaceError: the disk is full, or the files cannot be written.
        """
        files, name = self._files, _name(sha256, suffix)
        # A power cut may have left a file of that name without its bytes.
        if not files.create(name, data, durable=durable) and not _holds(files, name, data):
            files.write(name, data, durable=durable)

    def get(self, sha256: str) -> bytes:
        """Read a stored file.

        Raises:
            WorkspaceError: it is gone.
        """
        files = self._files
        for name in _names(sha256):
            try:
                return files.read(name)
            except FileNotFoundError:
                continue
        raise self._gone(sha256)

    def key(self, sha256: str) -> str:
        """Return a stored file's path relative to the workspace, with slashes, as a dataset holds it.

        Raises:
            WorkspaceError: it is gone.
        """
        name = self._find(sha256)
        if name is None:
            raise self._gone(sha256)
        return name

    def keys(self, files: Collection[str]) -> dict[str, str]:
        """Return `key` of each of these sha256, looked up in one list of what is stored.

        Raises:
            WorkspaceError: one of them is gone.
        """
        wanted, found = set(files), dict[str, str]()
        rank = {suffix: number for number, suffix in enumerate(SUFFIXES.values())}
        for sha, entry in self.entries():
            if sha in wanted and (sha not in found or rank[_suffix(entry.name)] < rank[_suffix(found[sha])]):
                found[sha] = entry.name
        if gone := wanted - found.keys():
            raise self._gone(min(gone))
        return found

    def exists(self, sha256: str) -> bool:
        """Return whether the file is stored."""
        return self._find(sha256) is not None

    def delete(self, sha256: str) -> None:
        """Delete a file, whatever its suffix; a missing file is no error."""
        self._files.remove(_names(sha256))

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield the sha256 of every stored file, with its name and its size, without opening any.

        Raises:
            OSError: the folder cannot be read.
            WorkspaceError: the files cannot be reached.
        """
        for entry in self._files.entries(FOLDER):
            stem, dot, suffix = entry.name.rpartition("/")[2].partition(".")
            if f"{dot}{suffix}" in SUFFIXES.values():
                yield stem, entry

    def sizes(self) -> dict[str, int]:
        """Read the size in bytes of every stored file by its sha256; raises as `entries`."""
        found: dict[str, int] = {}
        for sha, entry in self.entries():
            found[sha] = max(found.get(sha, 0), entry.bytes)
        return found

    @contextmanager
    def staged(self, files: Sequence[str]) -> Iterator[list[Path]]:
        """Give these files (sha256) as paths on this machine, in their order, for as long as the block runs.

        Raises:
            WorkspaceError: one of them is gone, or there is no room for copies.
        """
        wanted = [_names(sha) for sha in files]
        with self._files.staged(wanted, self.workspace.scratch) as found:
            paths = [path for path in found if path is not None]
            if len(paths) < len(files):
                raise self._gone(files[found.index(None)])
            yield paths

    def portions(self, files: Sequence[str]) -> Iterator[list[tuple[str, Path]]]:
        """Yield these files (sha256) with their paths on this machine, in portions; each lasts until the next.

        Raises:
            WorkspaceError: as `staged`.
        """
        size = self._files.portion or len(files) or 1
        for start in range(0, len(files), size):
            portion = files[start : start + size]
            with self.staged(portion) as paths:
                yield list(zip(portion, paths, strict=True))

    def _find(self, sha256: str) -> str | None:
        # A look at each name it may have, the most frequent first, where a search would read the whole folder.
        files = self._files
        return next((name for name in _names(sha256) if files.size(name) is not None), None)

    def _gone(self, sha256: str) -> WorkspaceError:
        return WorkspaceError(
            f"{self._files.where(f'{FOLDER}/{sha256[:2]}')} has no file {sha256}.*, though the catalogue knows it; "
            f"put it back, or fetch it again: {self.workspace.command('collect')}"
        )


def _name(sha256: str, suffix: str) -> str:
    return f"{FOLDER}/{sha256[:2]}/{sha256}{suffix}"


def _names(sha256: str) -> list[str]:
    return [_name(sha256, suffix) for suffix in dict.fromkeys(SUFFIXES.values())]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix


def _holds(files: Files, name: str, data: bytes) -> bool:
    return files.size(name) == len(data) and files.read(name) == data


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
        where = workspace.files.where(FOLDER)
        raise WorkspaceError(f"{where} cannot be read: {error.strerror}; make it readable") from error
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
