"""Find the image files of a person's folder: one rule for the folder source, the inbox, `leaks` and `predict`.

Content decides what an image is, as for downloads, whatever a file is named; `predict` also reports a file that is
named as an image and is none. Hidden files and what systems leave in
folders are not mentioned; everything else that is passed over is named with its reason.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workspace.files.image_type import HEAD_BYTES, is_named_as_image, why_no_image
from workspace.names import as_text, one_line
from workspace.text.counts import counted

_SYSTEM_NAMES = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"}
)
_NAMED = 5  # names in one note

OUTSIDE = "a link that leads out of the folder"


@dataclass(frozen=True, slots=True, order=True)
class FolderFile:
    """A regular file below a folder.

    Attributes:
        name: relative to the folder, with slashes; bytes that are not UTF-8 are lone surrogates, as in Path.
        path: of the file.
        size: in bytes.
        mtime_ns: time of its last change, in nanoseconds.
    """

    name: str
    path: Path = field(compare=False)
    size: int = field(compare=False)
    mtime_ns: int = field(compare=False)

    @property
    def version(self) -> str:
        """A text that differs after the file was changed or replaced."""
        return _version(self.size, self.mtime_ns)


def version_of(path: Path) -> str:
    """Return FolderFile.version of the file at a path; empty where there is none.

    Raises:
        OSError: it cannot be told, since a folder cannot be read.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return ""
    return _version(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else ""


def _version(size: int, mtime_ns: int) -> str:
    return f"{size}-{mtime_ns}"


@dataclass(frozen=True, slots=True)
class Listing:
    """Files in the order of their names, and the reason of every one that is passed over, by name."""

    files: tuple[FolderFile, ...] = ()
    passed_over: Mapping[str, str] = field(default_factory=dict)


def list_files(folder: Path, *, links_out: bool = True) -> Listing:
    """List every regular file below a folder; links are followed, and each folder is entered once.

    Args:
        folder: may be a link itself.
        links_out: follow links that lead out of the folder too; else they are passed over.

    Raises:
        OSError: the folder cannot be read; a folder below it that cannot is passed over.
    """
    walk = _Walk(folder, links_out)
    walk.enter(folder, "")
    return Listing(tuple(sorted(walk.files)), dict(sorted(walk.passed_over.items())))


def list_images(folder: Path, *, links_out: bool = True) -> Listing:
    """List the image files below a folder, by content or by the end of their name; otherwise as `list_files`.

    A file that cannot be read is listed, and so is one that is named as an image and is none, so that whoever reads it
    reports it.
    """
    listing = list_files(folder, links_out=links_out)
    others = {
        file.name: why
        for file in listing.files
        if not is_named_as_image(file.name) and (why := why_not_image(file.path))
    }
    unread = [
        FolderFile(name, folder / name, 0, 0)
        for name, why in listing.passed_over.items()
        if is_named_as_image(name) and why != OUTSIDE and not (folder / name).is_dir()
    ]
    images = [file for file in listing.files if file.name not in others] + unread
    passed_over = {**listing.passed_over, **others}
    for file in unread:
        del passed_over[file.name]
    return Listing(tuple(sorted(images)), dict(sorted(passed_over.items())))


def why_not_image(file: Path) -> str:
    """Say what a file is that is no image, from its first bytes; empty for an image, and where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return why_no_image(stream.read(HEAD_BYTES))
    except OSError:
        return ""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or of those that systems leave in folders (`._a.jpg`, `@eaDir`)."""
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES


def passed_over_note(where: str, passed_over: Mapping[str, str]) -> str:
    """Write one sentence that counts and names what was passed over; empty where nothing was.

    Example:
        >>> passed_over_note("pics", {"cat/notes.txt": "no picture"})
        'pics: 1 file passed over: cat/notes.txt (no picture)'
    """
    if not passed_over:
        return ""
    named = [f"{one_line(name)} ({why})" for name, why in list(passed_over.items())[:_NAMED]]
    named += [f"and {len(passed_over) - _NAMED} more"] if len(passed_over) > _NAMED else []
    return f"{one_line(where)}: {counted(len(passed_over), 'file')} passed over: {', '.join(named)}"


class _Walk:
    """A walk through a folder; real folders come before links, so that a link to one of them is the one passed over."""

    def __init__(self, root: Path, links_out: bool) -> None:
        self._root = None if links_out else root.resolve()
        self._entered: dict[tuple[int, int], str] = {}
        self.files: list[FolderFile] = []
        self.passed_over: dict[str, str] = {}

    def enter(self, folder: Path, name: str) -> None:
        """List a folder and what is below it; `name` is relative to the root, with a slash at its end."""
        waiting = [(folder, name, iter(self._entries(folder)))]
        status = folder.stat()
        self._entered[status.st_dev, status.st_ino] = name or "."
        while waiting:
            folder, name, entries = waiting[-1]
            entry = next(entries, None)
            if entry is None:
                waiting.pop()
            elif (inner := self._look(entry, name + entry.name)) is not None:
                waiting.append((Path(entry.path), f"{name}{entry.name}/", inner))

    @staticmethod
    def _entries(folder: Path) -> list[os.DirEntry[str]]:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not is_hidden(entry.name)]
        return sorted(visible, key=lambda entry: (entry.is_symlink(), entry.name))

    def _look(self, entry: os.DirEntry[str], name: str) -> Iterator[os.DirEntry[str]] | None:
        """Take one entry; return the entries of a folder that is to be entered."""
        try:
            status = entry.stat()
        except OSError as error:
            why = (
                f"a link that leads nowhere: {str(Path(entry.path).readlink())!a}"
                if entry.is_symlink()
                else error.strerror
            )
            self.passed_over[name] = why or "cannot be read"
            return None
        if entry.is_symlink() and self._root is not None and not Path(entry.path).resolve().is_relative_to(self._root):
            self.passed_over[name] = OUTSIDE
        elif stat.S_ISREG(status.st_mode):
            self.files.append(FolderFile(name, Path(entry.path), status.st_size, status.st_mtime_ns))
        elif not stat.S_ISDIR(status.st_mode):
            self.passed_over[name] = "neither a file nor a folder"
        elif (status.st_dev, status.st_ino) in self._entered:
            self.passed_over[name] = (
                f"a link to {as_text(self._entered[status.st_dev, status.st_ino])}, which is listed"
            )
        else:
            self._entered[status.st_dev, status.st_ino] = name
            try:
                return iter(self._entries(Path(entry.path)))
            except OSError as error:
                self.passed_over[name] = f"cannot be read: {error.strerror}"
        return None
