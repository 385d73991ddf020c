"""Whose a place in object storage is: `workspace.json` there and `storage.json` in the workspace hold the same id."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from workspace.clock import utc_now
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_json
from workspace.files.objects import ObjectFiles

MARKER = "workspace.json"
"""Of a place in object storage."""

IDENTITY = "storage.json"
"""Of the workspace's folder; there from the first use of object storage on."""

_USED = ("catalog.sqlite", "images", "runs", "models")


def check_owner(files: ObjectFiles, root: Path, move: str) -> None:
    """Check that a place is this workspace's; an empty one becomes it where nothing was collected yet.

    A folder in which nothing was collected joins the place of a workspace: it is another machine of it.

    Args:
        files: the place.
        root: of the workspace.
        move: the command that moves a workspace, for messages.

    Raises:
        WorkspaceError: the place cannot be reached, or is not this workspace's; names the remedy.
    """
    own, theirs = read_identity(root).get("id", ""), marked(files)
    if theirs and theirs == own:
        return
    used = any((root / name).exists() for name in _USED)
    if theirs and (own or used):
        raise WorkspaceError(
            f"{files.address} holds the files of another workspace; name another prefix as storage.files in "
            f"{root / 'workspace.toml'}"
        )
    if own:
        raise WorkspaceError(
            f"{files.where(MARKER)} is gone, so {files.address} does not hold this workspace's files any more; name "
            f"the place where they are as storage.files in {root / 'workspace.toml'}, or restore the bucket"
        )
    if used:
        raise WorkspaceError(
            f"{files.address} does not hold this workspace's files yet; take storage.files out of "
            f"{root / 'workspace.toml'}, and move them: {move} --to {files.address}"
        )
    write_json(root / IDENTITY, {"id": theirs or claim(files, secrets.token_hex(16))})


def claim(files: ObjectFiles, own: str) -> str:
    """Mark a place as this workspace's, and return the id that it has: `own`, unless another came first.

    Raises:
        WorkspaceError: it cannot be written, or holds files that are no workspace's.
    """
    if theirs := marked(files):
        return theirs
    refuse_foreign(files)
    files.create(MARKER, json.dumps({"id": own, "since": utc_now()}, indent=2).encode())
    return marked(files)


def refuse_foreign(files: ObjectFiles) -> None:
    """Refuse a place without a mark that is not empty.

    Raises:
        WorkspaceError: names a file that lies there.
    """
    other = next(files.entries(""), None)
    if other is not None:
        raise WorkspaceError(
            f"{files.address} is not empty ({other.name} lies there) and holds no workspace; name another prefix"
        )


def read_identity(root: Path) -> dict[str, Any]:
    """Read storage.json: `id`, and what a move under way has noted; empty where there is none.

    Raises:
        WorkspaceError: it is damaged.
    """
    file = root / IDENTITY
    try:
        found = json.loads(file.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{file} cannot be used ({error}); restore it from a copy") from error
    return found


def marked(files: ObjectFiles) -> str:
    """Read whose a place is; "" for nobody's.

    Raises:
        WorkspaceError: the place cannot be reached, or its marker is damaged.
    """
    try:
        return str(json.loads(files.read(MARKER))["id"])
    except FileNotFoundError:
        next(files.entries(""), None)  # a bucket that is not there has no file either: this tells the two apart
        return ""
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{files.where(MARKER)} is no workspace's mark ({error}); name another prefix") from error
