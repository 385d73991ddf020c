"""Scratch: a folder of each worker process for copies of files; what killed processes left behind is swept."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import lock_descriptor

from workspace.errors import WorkspaceError

_LOCK = "lock"

_made: dict[tuple[int, str], Path] = {}
"""Folders by process id and base: a forked child makes its own."""


def scratch_folder(base: str = "") -> Path:
    """Return this process's own folder for temporary files; made, and the others swept, at the first call.

    It goes with the process, or, where that is killed, when the next one on this machine makes its own.

    Args:
        base: where to make it; empty: the system's folder for temporary files.

    Raises:
        WorkspaceError: the base cannot be written.
    """
    key = os.getpid(), base
    if key not in _made:
        root = Path(base or tempfile.gettempdir()) / "collect-and-train-scratch"
        try:
            root.mkdir(parents=True, exist_ok=True)
            _sweep(root)
            _made[key] = _make(root)
        except OSError as error:
            raise WorkspaceError(
                f"{root} cannot take temporary files: {error.strerror}; name a folder on a disk with room: "
                "cluster.scratch"
            ) from error
    return _made[key]


def _make(root: Path) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        # Held until this process ends, however it ends; its id alone may be another's by then.
        lock_descriptor(handle)
        if (folder / _LOCK).exists():  # else it was swept between the two calls
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            return folder
        os.close(handle)


def _sweep(root: Path) -> None:
    for folder in root.iterdir():
        with contextlib.suppress(OSError):  # its process is about to lock it, or another sweeps it
            handle = os.open(folder / _LOCK, os.O_RDWR)
            try:
                if lock_descriptor(handle, blocking=False):
                    shutil.rmtree(folder)
            finally:
                os.close(handle)
