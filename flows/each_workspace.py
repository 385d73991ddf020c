"""The loop of the scheduled flows over workspaces: what is wrong with one keeps no other waiting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flows.artifacts import Logger
from workspace.errors import CollectAndTrainError, WorkspaceError
from workspace.resolve import workspaces_under
from workspace.storage.champion import read_champion
from workspace.storage.lock import WorkspaceBusy
from workspace.storage.paths import Workspace
from workspace.text.counts import counted

Found = TypeVar("Found")


def look_at_each(workspace: str, look: Callable[[Path], Found | None], logger: Logger) -> dict[str, Found]:
    """Look at one workspace, or at all under data/ that have a published model.

    Args:
        workspace: the folder; empty: all of them.
        look: returns what it finds in a folder, None for nothing to say.
        logger: is told of each workspace that is in use, and of each failure where there are several workspaces.

    Returns:
        What was found, by folder; a workspace that another process is at work in is left for the next time.

    Raises:
        WorkspaceError: one or more of all workspaces failed; the others were looked at before.
        CollectAndTrainError: the named one failed.
    """
    if workspace:
        folders = [Path(workspace)]
    elif not (folders := workspaces_under(Path("data"))):
        logger.info("there is no workspace under data/ yet")
    found: dict[str, Found] = {}
    failures: dict[str, Exception] = {}
    for folder in folders:
        try:
            if not workspace and read_champion(Workspace(folder)) is None:
                continue
            seen = look(folder)
        except WorkspaceBusy as busy:
            if busy.is_certain:
                logger.info("%s is in use by %s; it is looked at the next time", folder, busy.owner)
            else:  # it may wait for ever
                logger.warning("%s", busy)
        except Exception as error:  # whatever is wrong with one workspace, the others are looked at
            if workspace:
                raise
            is_foreseen = isinstance(error, CollectAndTrainError)
            logger.error("%s: %s", folder, error, exc_info=None if is_foreseen else error)
            failures[str(folder)] = error
        else:
            if seen is not None:
                found[str(folder)] = seen
    if failures:
        raise WorkspaceError(_told(failures, len(folders))) from next(iter(failures.values()))
    return found


def _told(failures: dict[str, Exception], folders: int) -> str:
    reasons = "; ".join(f"{folder}: {' '.join(str(error).split())}" for folder, error in failures.items())
    return f"{len(failures)} of {counted(folders, 'workspace')} failed, the others were looked at: {reasons}"
