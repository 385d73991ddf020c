"""Read and write the files of a recording; data/README.md describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workspace.errors import WorkspaceError, os_failure
from workspace.files.atomic import write_json

VERSION = 1


def read_responses(file: Path) -> dict[str, dict[str, Any]]:
    """Read answers.jsonl: the outcome to replay for each request.

    Raises:
        WorkspaceError: the file cannot be read.
    """
    responses: dict[str, dict[str, Any]] = {}
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # a line cut off by a killed run: its request counts as not recorded
                if not (isinstance(row, dict) and "asked" in row):
                    continue  # overwritten by something else
                if "fetched" in row or "fetched" not in responses.get(row["asked"], {}):
                    responses[row["asked"]] = row
    except OSError as error:
        raise WorkspaceError(f"the recording's {file} cannot be read: {error.strerror}") from error
    return responses


def read_or_make_header(folder: Path, now: str) -> dict[str, Any]:
    """Read recording.json, or return the content of a new one.

    Raises:
        WorkspaceError: the folder holds other files.
    """
    if (folder / "recording.json").is_file():
        return read_header(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise WorkspaceError(f"{folder} holds files that are not a recording; name a new folder with --record")
    return {"version": VERSION, "began": now, "keys": []}


def write_header(folder: Path, value: dict[str, Any]) -> None:
    """Write recording.json."""
    write_json(folder / "recording.json", value)


def read_header(folder: Path) -> dict[str, Any]:
    """Read recording.json.

    Raises:
        WorkspaceError: the file is missing, unreadable or of another version.
    """
    try:
        value = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{folder} is no recording: {error}; make one with --record {folder}") from error
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise WorkspaceError(f"the recording {folder} does not have version {VERSION}; record it again")
    return value


def body_file(folder: Path, sha256: str) -> Path:
    """Return the path of a body."""
    return folder / "bodies" / sha256[:2] / sha256


def unwritable(folder: Path, error: OSError) -> WorkspaceError:
    """Make the error of a folder that cannot be written."""
    return WorkspaceError(
        f"cannot write the recording {folder}: {os_failure(error, folder, 'make it writable')}, or name another folder"
    )
