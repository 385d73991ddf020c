"""Move a workspace: every mover copies and compares its part, one edit of workspace.toml switches, the old is cleared.

`move.json` says where from and where to while a move is under way. Until the switch the old place is the one that
counts, and complete; from the switch on the new one is. So a kill at any moment loses nothing, the same command goes
on, and the opposite command turns back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from workspace.config.edit import with_settings
from workspace.config.storage import StorageConfig
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic, write_json
from workspace.moving.catalog import CatalogMover
from workspace.moving.files import FileMover
from workspace.progress import SILENT, Progress
from workspace.storage.location.catalog import SQLITE
from workspace.storage.paths import Workspace
from workspace.text.encoding import decode_text

LOCAL = "local"
"""What takes the place of an address for `move`, for the workspace's folder."""


class Mover(Protocol):
    """Moves one part of a workspace from a place to another; each method can be repeated, as after a kill."""

    def check(self) -> None:
        """Refuse what cannot work, before anything is written.

        Raises:
            WorkspaceError: a place cannot be reached, or the new one is another workspace's; names the remedy.
        """

    def copy(self, progress: Progress) -> None:
        """Make the new place hold what the old one holds; what is there already is not copied again."""

    def compare(self, progress: Progress) -> str:
        """Compare counts and digests of both places, and say in words what was moved: `1,710 files (220 MB)`.

        Raises:
            WorkspaceError: they differ.
        """

    def clear(self) -> None:
        """Delete what the old place holds, if it is this workspace's; it is not needed any more."""


MOVERS: tuple[Callable[[Workspace, StorageConfig, StorageConfig], Mover | None], ...] = (FileMover.of, CatalogMover.of)
"""For each part of a workspace its mover from one place to another; None where the part stays where it is."""


@dataclass(frozen=True, slots=True)
class Move:
    """A move under way: where from, where to."""

    source: StorageConfig
    target: StorageConfig


def move(workspace: Workspace, target: StorageConfig, progress: Progress = SILENT) -> list[str]:
    """Move a workspace, or go on with a move that was interrupted; call it under the workspace's lock.

    Args:
        workspace: which.
        target: where it goes.
        progress: told of every stage.

    Returns:
        What was moved, a text for each part; empty where it lies there already.

    Raises:
        WorkspaceError: a place cannot be used, the copies differ, or another move is under way.
    """
    under_way, current = read_move(workspace), workspace.storage
    if under_way is None and current == target:
        return []
    if under_way is not None and target not in (under_way.source, under_way.target):
        raise WorkspaceError(
            f"a move of {workspace.root} to {_words(under_way.target)} was interrupted; finish it first: "
            f"{command(workspace, under_way.target)}, or turn back: {command(workspace, under_way.source)}"
        )
    source = current if under_way is None else under_way.source
    if under_way is not None and target == under_way.source:
        source = under_way.target  # turning back
    movers = [mover for make in MOVERS if (mover := make(workspace, source, target)) is not None]
    moved = []
    if current != target:
        for mover in movers:
            mover.check()
        write_json(workspace.move_file, {"from": source.model_dump(), "to": target.model_dump()})
        for mover in movers:
            mover.copy(progress)
        moved = [mover.compare(progress) for mover in movers]
        _switch(workspace, target)
    for mover in reversed(movers):  # the catalogue first: a page that still has it open must not go on to write there
        mover.clear()
    workspace.move_file.unlink(missing_ok=True)
    return moved or [f"the rest of {_words(source)} was cleared"]


def read_move(workspace: Workspace) -> Move | None:
    """Read which move was begun and not finished; None as a rule.

    Raises:
        WorkspaceError: move.json is damaged.
    """
    file = workspace.move_file
    try:
        values = json.loads(file.read_bytes())
        return Move(StorageConfig(**values["from"]), StorageConfig(**values["to"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{file} cannot be used ({error}); delete it, and give the command again") from error


def command(workspace: Workspace, target: StorageConfig) -> str:
    """Return the command that moves a workspace there, for messages."""
    return f"{workspace.command('move')} --to {target.files or LOCAL} --catalog {target.catalog or SQLITE}"


def _words(place: StorageConfig) -> str:
    return " and ".join(filter(None, (place.files, place.catalog))) or "its folder"


def _switch(workspace: Workspace, target: StorageConfig) -> None:
    file = workspace.config_file
    text = with_settings(decode_text(file.read_bytes()), str(file), "storage", target.model_dump())
    write_atomic(file, text.encode())
