"""The two kinds of places that files move between: the workspace's folder, and a prefix in object storage."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from workspace.config.storage import StorageConfig
from workspace.digest import SHA256
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_json
from workspace.files.base import Files
from workspace.files.local import LocalFiles
from workspace.files.objects import ObjectFiles
from workspace.files.owner import IDENTITY, MARKER, claim, marked, read_identity, refuse_foreign
from workspace.files.working_copy import RECORD, THIS_MACHINE_ONLY
from workspace.storage.paths import Workspace

IMAGE = re.compile(rf"images/[0-9a-f]{{2}}/({SHA256})\.[a-z]+")
"""Name of a picture's file, which has its sha256."""

_FOLDERS = ("images", "models", "runs")


class Place(Protocol):
    """A place that holds files of a workspace, or is about to."""

    @property
    def files(self) -> Files:
        """The files there."""

    def check(self, *, holds: bool) -> None:
        """Refuse a place that cannot be used; `holds` says whether it must hold the workspace already.

        Raises:
            WorkspaceError: names the remedy.
        """

    def take(self) -> None:
        """Make it this workspace's."""

    def prune(self, wanted: Collection[str]) -> None:
        """Delete what an interrupted copy left, and is not wanted any more."""

    def clear(self) -> None:
        """Delete all that is there, if it is this workspace's."""

    def settle(self) -> None:
        """Delete the notes on other places that are of no use once the workspace lives here."""


def place_of(workspace: Workspace, storage: StorageConfig) -> Place:
    """Return the place that the settings name."""
    return Bucket(workspace, storage.files) if storage.files else Folder(workspace)


def stored(files: Files, *folders: str) -> dict[str, int]:
    """List what belongs to a workspace, in these folders or in all: names and sizes in bytes.

    What else lies in its folder is left alone.
    """
    found = {}
    for folder in folders or _FOLDERS:
        for entry in files.entries(folder):
            if _belongs(entry.name):
                found[entry.name] = entry.bytes
    return found


def _belongs(name: str) -> bool:
    folder, *parts = name.split("/")
    if folder == "images":
        return IMAGE.fullmatch(name) is not None
    return folder == "models" or name == "runs/latest" or (len(parts) > 1 and parts[1] not in THIS_MACHINE_ONLY)


@dataclass(frozen=True, slots=True)
class Folder:
    """The workspace's own folder."""

    workspace: Workspace

    @property
    def files(self) -> Files:
        """The files there."""
        return LocalFiles(self.workspace.root)

    def check(self, *, holds: bool) -> None:
        """Refuse nothing: a disk that is full says so, and loses nothing."""

    def take(self) -> None:
        """Do nothing: it is."""

    def prune(self, wanted: Collection[str]) -> None:
        """Delete nothing: what lies here may be a person's."""

    def clear(self) -> None:
        """Delete the files, but for the runs: their folders are the working copies from now on."""
        self.files.remove(
            [name for name in stored(self.files) if name == "runs/latest" or not name.startswith("runs/")]
        )
        for folder in (self.workspace.root / "images", self.workspace.root / "models"):
            _remove_empty(folder)

    def settle(self) -> None:
        """Delete the notes of where the files lay."""
        for record in self.workspace.runs.glob(f"*/{RECORD}"):
            record.unlink(missing_ok=True)
        (self.workspace.root / IDENTITY).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A prefix in object storage."""

    workspace: Workspace
    address: str

    @property
    def files(self) -> ObjectFiles:
        """The files there."""
        return ObjectFiles(self.address)

    @property
    def _own(self) -> str:
        return str(read_identity(self.workspace.root).get("id", ""))

    def check(self, *, holds: bool) -> None:
        """Refuse a prefix that cannot be reached, or is another workspace's.

        Raises:
            WorkspaceError: names the remedy.
        """
        asked = ObjectFiles(self.address, patient=False)
        theirs = marked(asked)
        if theirs and theirs != self._own:
            raise WorkspaceError(f"{self.address} holds the files of another workspace; name another prefix: --to")
        if holds and not theirs:
            raise WorkspaceError(
                f"{asked.where(MARKER)} is gone, so {self.address} does not hold this workspace's files any more; "
                "restore the bucket"
            )
        if not theirs:
            refuse_foreign(asked)

    def take(self) -> None:
        """Mark it as this workspace's; the id is noted in the folder first.

        Raises:
            WorkspaceError: another workspace was faster.
        """
        own = self._own or secrets.token_hex(16)
        write_json(self.workspace.root / IDENTITY, {"id": own})
        if claim(self.files, own) != own:
            raise WorkspaceError(f"{self.address} holds the files of another workspace; name another prefix: --to")

    def prune(self, wanted: Collection[str]) -> None:
        """Delete what is not wanted."""
        self.files.remove(stored(self.files).keys() - set(wanted))

    def clear(self) -> None:
        """Delete the files; the mark is the last to go."""
        if self._own and marked(self.files) == self._own:
            self.files.remove(stored(self.files))
            self.files.remove([MARKER])

    def settle(self) -> None:
        """Do nothing: the notes are of this place."""


def _remove_empty(folder: Path) -> None:
    for inside in (*(path for path in folder.glob("*") if path.is_dir()), folder):
        with contextlib.suppress(OSError):  # something else lies in it, or it is gone
            inside.rmdir()
