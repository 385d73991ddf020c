"""Atomic writes to the local disk."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workspace.errors import WorkspaceError, os_failure


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file atomically: a reader, or a kill, sees either the old bytes or the new ones.

    Its mode is that of the file it replaces, else what `open` would have given it, so that others of the same group
    can read what the umask lets them.

    Args:
        path: where; missing folders are made.
        data: what.
        durable: also wait for the disk, so that a power cut cannot undo it; not worth it for what can be made again.

    Raises:
        WorkspaceError: the disk is full or the folder cannot be written; names the folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of its own making: tempfile gives mode 0600 whatever the umask.
        temporary = path.with_name(f"{_start(path)}{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("xb") as file:
                if path.exists():
                    temporary.chmod(stat.S_IMODE(path.stat().st_mode))
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WorkspaceError(
            f"cannot write {path}: {os_failure(error, path, 'free some space or make the folder writable')}, "
            "then run the same command again: it goes on where this one stopped"
        ) from error


def unfinished_writes(paths: Iterable[Path]) -> list[Path]:
    """List the temporary files that killed writes of these files have left; nobody may be writing them now."""
    starts: dict[Path, set[str]] = {}
    for path in paths:
        starts.setdefault(path.parent, set()).add(_start(path))
    return [
        file for folder, names in starts.items() for file in folder.glob(".*.tmp") if file.name.startswith((*names,))
    ]


def _start(path: Path) -> str:
    return f".{path.name[:40]}."


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically; keys in the order given."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
