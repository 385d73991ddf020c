"""The files of a recording: how each is named, read and written; data/README.md describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workspace.errors import WorkspaceError
from workspace.storage.paths import write_json

VERSION = 1


def read_answers(file: Path) -> dict[str, dict[str, Any]]:
    """The answer that counts for each question.

    Raises:
        WorkspaceError: the file cannot be read.
    """
    answers: dict[str, dict[str, Any]] = {}
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # half a line of a run that was killed: its question counts as not recorded
                if "fetched" in row or "fetched" not in answers.get(row["asked"], {}):
                    answers[row["asked"]] = row
    except OSError as error:
        raise WorkspaceError(f"the recording's {file} cannot be read: {error.strerror}") from error
    return answers


def head(folder: Path, now: str) -> dict[str, Any]:
    """What recording.json says, or what a new one is to say.

    Raises:
        WorkspaceError: the folder holds other things.
    """
    if (folder / "recording.json").is_file():
        return existing_head(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise WorkspaceError(f"{folder} holds other things than a recording; name a new folder with --record")
    return {"version": VERSION, "began": now, "keys": []}


def write_head(folder: Path, value: dict[str, Any]) -> None:
    """Write recording.json."""
    write_json(folder / "recording.json", value)


def existing_head(folder: Path) -> dict[str, Any]:
    """What recording.json says.

    Raises:
        WorkspaceError: there is none, or it is of another version.
    """
    try:
        value = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(f"{folder} is no recording: {error}; make one with --record {folder}") from error
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise WorkspaceError(f"the recording {folder} is of another version than {VERSION}; record it again")
    return value


def body_file(folder: Path, sha256: str) -> Path:
    """Where a body lies."""
    return folder / "bodies" / sha256[:2] / sha256


def unwritable(folder: Path, error: OSError) -> WorkspaceError:
    """The error of a folder that cannot be written."""
    return WorkspaceError(
        f"cannot write the recording {folder}: {error.strerror or error}; free some space or name another folder"
    )
