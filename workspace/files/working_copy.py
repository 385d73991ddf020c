"""Working copies of folders in object storage: a run is made and read on this machine, and stored when a step is done.

`.stored.json` in the copy holds, of each file that is stored, its tag there and its size and time here. So a file that
changed here since is known to be ahead, as after a kill, and one whose tag changed there was written elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from workspace.files.atomic import write_atomic, write_json

if TYPE_CHECKING:
    from workspace.files.objects import ObjectFiles

RECORD = ".stored.json"
THIS_MACHINE_ONLY = ("checkpoints", "export")
"""Folders of a run that are not stored: a training in progress, and what `export` wrote for somebody."""

State = tuple[str, int, int]
"""Of a file: its tag in the store, its size here in bytes and its time here in ns."""


@dataclass(slots=True)
class _Record:
    """What is known of a working copy; of another address nothing is."""

    file: Path
    address: str
    files: dict[str, State] = field(default_factory=dict)

    @classmethod
    def read(cls, copy: Path, address: str) -> _Record:
        record = cls(copy / RECORD, address)
        try:
            values = json.loads(record.file.read_bytes())
            if values["address"] == address:
                record.files = {
                    name: (str(tag), int(size), int(ns)) for name, (tag, size, ns) in values["files"].items()
                }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # none, or damaged: what is stored counts
        return record

    def write(self) -> None:
        write_json(self.file, {"address": self.address, "files": self.files})

    def note(self, name: str, tag: str, file: Path) -> None:
        size, ns = _stamp(file)
        self.files[name] = (tag, size, ns)


def pull(files: ObjectFiles, folder: str, copy: Path, names: Collection[str] = ()) -> None:
    """Bring a working copy up to date; workspace/files/base.py says with what."""
    from workspace.files.objects import each

    stored = {entry.name.removeprefix(f"{folder}/"): entry for entry in files.entries(folder)}
    record = _Record.read(copy, files.address)
    stale = [
        name
        for name, entry in stored.items()
        if (not names or name in names)
        and not ((copy / name).is_file() and name in record.files and record.files[name][0] == entry.tag)
    ]
    gone = [name for name in record.files if name not in stored and (not names or name in names)]

    def fetch(name: str) -> str:
        data, tag = files.get(f"{folder}/{name}")
        write_atomic(copy / name, data)
        return tag

    for name, tag in zip(stale, each(fetch, stale), strict=True):
        record.note(name, tag, copy / name)
    for name in gone:
        file, (_, size, ns) = copy / name, record.files.pop(name)
        if file.is_file() and _stamp(file) == (size, ns):
            file.unlink()
    if stale or gone:
        record.write()


def push(files: ObjectFiles, folder: str, copy: Path) -> None:
    """Store what has changed in a working copy, the marks that say what is done last, as they were written here."""
    record = _Record.read(copy, files.address)
    here = sorted(_files(copy), key=lambda name: (_stamp(copy / name)[1], name))
    gone = [name for name in record.files if name not in here]
    changed = [name for name in here if name not in record.files or record.files[name][1:] != _stamp(copy / name)]
    if not (gone or changed):
        return
    try:
        files.remove(f"{folder}/{name}" for name in gone)
        for name in gone:
            del record.files[name]
        for name in changed:
            file = copy / name
            record.note(name, files.put(f"{folder}/{name}", file.read_bytes()), file)
    finally:
        record.write()


def _files(copy: Path) -> Iterator[str]:
    for path in copy.rglob("*"):
        parts = path.relative_to(copy).parts
        if path.is_file() and parts[0] not in THIS_MACHINE_ONLY and not any(part.startswith(".") for part in parts):
            yield "/".join(parts)


def _stamp(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns
