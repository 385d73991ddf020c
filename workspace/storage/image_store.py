"""Image store: the downloaded files of a workspace, by the sha256 of their bytes.

Ask for bytes with `get`; ask for a local file with `path` only where another program, or a copy, needs one. Everything
that reads or writes images/ goes through here, so that the files may lie elsewhere one day.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workspace.errors import WorkspaceError
from workspace.storage.image_type import SUFFIXES
from workspace.storage.paths import Workspace, write_atomic


@dataclass(frozen=True, slots=True)
class ImageStore:
    """The files images/<first two digits>/<sha256><suffix>; a stored file is never rewritten."""

    workspace: Workspace

    def put(self, sha256: str, suffix: str, data: bytes, *, durable: bool = True) -> None:
        """Store a file atomically; one that is already stored stays as it is.

        Args:
            sha256: of `data`, in hex.
            suffix: by content, with its dot (`.jpg`): one of workspace.storage.image_type.SUFFIXES.
            data: the whole file.
            durable: also wait for the disk; not worth it for what can be fetched again.

        Raises:
            WorkspaceError: the disk is full or the folder cannot be written.
        """
        file = self._file(sha256, suffix)
        if not file.exists():
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
