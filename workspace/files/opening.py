"""Open the files of a workspace by its settings."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from workspace.config.storage import StorageConfig
from workspace.files.base import Files
from workspace.files.local import LocalFiles


def files_of(storage: StorageConfig, root: Path) -> Files:
    """Return the files of a workspace, unasked: for a process that works for another, which has checked them.

    Args:
        storage: the settings.
        root: folder of the workspace; of no use where the files lie elsewhere.
    """
    if not storage.files:
        return LocalFiles(root)
    from workspace.files.objects import ObjectFiles

    return ObjectFiles(storage.files)


def open_files(storage: StorageConfig, root: Path, move: str) -> Files:
    """Return the files of a workspace once they are known to be reachable, and its own; asked once a process.

    Args:
        storage: the settings.
        root: folder of the workspace.
        move: the command that moves it, for messages.

    Raises:
        WorkspaceError: they cannot be reached within seconds, or are another workspace's; names the remedy.
    """
    if storage.files:
        from workspace.files.s3 import environment

        _check(storage.files, root.resolve(), move, os.getpid(), environment())
    return files_of(storage, root)


@functools.lru_cache(maxsize=8)
def _check(address: str, root: Path, move: str, _process: int, _environment: int) -> None:
    from workspace.files.objects import ObjectFiles
    from workspace.files.owner import check_owner

    check_owner(ObjectFiles(address, patient=False), root, move)
