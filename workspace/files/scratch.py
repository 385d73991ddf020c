"""Folders for copies that live as long as their process."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import psutil

from workspace.errors import WorkspaceError, os_failure


def scratch_folder(parent: Path) -> Path:
    """Make a new folder for this process, and delete those of processes that ended without doing so.

    Raises:
        WorkspaceError: it cannot be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.iterdir():
            owner = left.name.partition("-")[0]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(left, ignore_errors=True)
        folder = parent / f"{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
    except OSError as error:
        raise WorkspaceError(f"cannot write {parent}: {os_failure(error, parent, 'name another')}") from error
    return folder
