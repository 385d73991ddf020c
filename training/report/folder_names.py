"""Removal of folders from texts that are passed on: they say where things lie on somebody's machine."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath, PureWindowsPath

_FOLDERS = re.compile(r"(?<![\w/:.~])(?:~|[A-Za-z]:)?[\\/](?:[^\s/\\:;,()\"'<>]+[\\/])+(?=[^\s/\\])")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_ABSOLUTE = re.compile(r"^(?:/|~|[A-Za-z]:[\\/]|\\\\)")


def without_folders(sentence: str) -> str:
    """Leave out of a sentence the folders of absolute paths, which say where things lie on this machine."""
    return _FOLDERS.sub("", sentence)


def settings_without_folders(settings: str) -> str:
    """Write TOML with the names alone of files and folders that are absolute, for a page that is passed on."""

    def name_alone(found: re.Match[str]) -> str:
        text = json.loads(found[0])
        if not _ABSOLUTE.match(text):
            return found[0]
        name = PureWindowsPath(text).name if "\\" in text else PurePosixPath(text).name
        return json.dumps(name, ensure_ascii=False)

    return _TEXT.sub(name_alone, settings)
