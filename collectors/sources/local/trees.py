"""Trees of image files: a folder, or a zip archive that is read without being unpacked."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from workspace.errors import ConfigError
from workspace.image_files import is_hidden, list_files

_MAX_ENTRIES = 1_000_000
_MAX_RATIO, _RATIO_FROM_BYTES = 100, 1_000_000  # pictures hardly compress; what expands that much is a bomb
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
# What zipfile and its decompressors raise for damage; MemoryError for a size that damage made up.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, ValueError, MemoryError),
)


@dataclass(frozen=True, slots=True)
class Files:
    """Files of a tree: the version of each by its name, in order, and why others are passed over, by name."""

    versions: Mapping[str, str] = field(default_factory=dict)
    passed_over: Mapping[str, str] = field(default_factory=dict)


class Tree(Protocol):
    """Files in folders. A name is relative to the top, with slashes; a folder's name ends with one, the top's is ''."""

    def folders(self, below: str) -> list[str]:
        """List the visible folders directly below a folder, in order."""

    def files(self, below: str) -> Files:
        """List every visible file below a folder, at any depth."""

    def version(self, name: str) -> str:
        """Return a text that differs after the file was changed.

        Raises:
            OSError: there is no such file, or it may not be read.
        """

    def read(self, name: str, limit: int) -> bytes:
        """Read at most the first `limit` bytes of a file.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """


class FolderTree:
    """A folder; links in it are followed. A name that leads out of it by `..` is never read.

    Args:
        path: the folder.
        outside: names that may be read although they are absolute or lead out of the folder: a person listed them.
    """

    def __init__(self, path: Path, outside: frozenset[str] = frozenset()) -> None:
        self._path, self._outside = path, outside

    def folders(self, below: str) -> list[str]:
        """See Tree.folders."""
        entries = (self._path / below).iterdir()
        return sorted(f"{below}{entry.name}/" for entry in entries if not is_hidden(entry.name) and entry.is_dir())

    def files(self, below: str) -> Files:
        """See Tree.files."""
        listing = list_files(self._path / below)
        return Files(
            {f"{below}{file.name}": file.version for file in listing.files},
            {f"{below}{name}": why for name, why in listing.passed_over.items()},
        )

    def version(self, name: str) -> str:
        """See Tree.version."""
        status = self._file(name).stat()
        return f"{status.st_size}-{status.st_mtime_ns}"

    def read(self, name: str, limit: int) -> bytes:
        """See Tree.read."""
        with self._file(name).open("rb") as stream:
            return stream.read(limit)

    def _file(self, name: str) -> Path:
        if name not in self._outside and not is_inside(name):
            raise PermissionError(0, "it leads out of the folder")
        file = self._path / name
        try:
            is_file = stat.S_ISREG(file.stat().st_mode)
        except ValueError as error:  # a zero byte
            raise FileNotFoundError(0, str(error)) from error
        if not is_file:
            raise PermissionError(0, "it is no file")
        return file


class ZipTree:
    """A zip archive. Entries that could lead elsewhere, are links, encrypted or bombs are passed over.

    Args:
        path: the archive.

    Raises:
        ConfigError: it is no archive that can be read, or has too many entries.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, *_DAMAGE) as error:
            raise ConfigError(f"the archive {path} cannot be read: {error}; make it anew") from error
        entries = self._archive.infolist()
        if len(entries) > _MAX_ENTRIES:
            raise ConfigError(f"the archive {path} has {len(entries)} entries, the limit is {_MAX_ENTRIES}; unpack it")
        self._entries: dict[str, zipfile.ZipInfo] = {}
        self._passed_over: dict[str, str] = {}
        for name, entry in sorted(
            ((_name(entry), entry) for entry in entries if not entry.is_dir()), key=lambda named: named[0]
        ):
            if any(is_hidden(part) for part in name.split("/") if part != ".."):
                continue
            if why := "another entry has this name" if name in self._entries else _refusal(name, entry):
                self._passed_over[name] = why
            else:
                self._entries[name] = entry

    def folders(self, below: str) -> list[str]:
        """See Tree.folders."""
        inner = (name.removeprefix(below).partition("/") for name in self._entries if name.startswith(below))
        return sorted({f"{below}{folder}/" for folder, slash, _ in inner if slash})

    def files(self, below: str) -> Files:
        """See Tree.files."""
        names = [name for name in self._entries if name.startswith(below)]
        others = {name: why for name, why in self._passed_over.items() if name.startswith(below) or not is_inside(name)}
        return Files({name: self.version(name) for name in names}, others)

    def version(self, name: str) -> str:
        """See Tree.version: the size and the CRC-32 of the content."""
        entry = self._entry(name)
        return f"{entry.file_size}-{entry.CRC:08x}"

    def read(self, name: str, limit: int) -> bytes:
        """See Tree.read; no more is decompressed."""
        try:
            with self._archive.open(self._entry(name)) as stream:
                return stream.read(limit)
        except _DAMAGE as error:
            raise OSError(0, f"the archive is damaged there: {error or type(error).__name__}") from error

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise FileNotFoundError(0, "the archive has no such file")
        return self._entries[name]


def is_inside(name: str) -> bool:
    """Return whether a name stays within the folder that it is relative to."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def visible_files(tree: Tree, below: str) -> Iterator[str]:
    """Yield the names of the files directly in a folder."""
    return (name for name in tree.files(below).versions if "/" not in name.removeprefix(below))


def _name(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name; many programs write UTF-8 without saying so, which zipfile reads as code page 437."""
    name = entry.filename
    if not entry.flag_bits & _UTF8_FLAG:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _refusal(name: str, entry: zipfile.ZipInfo) -> str:
    drive = name[1:2] == ":"
    if not is_inside(name) or drive:
        return "its name leads out of the archive"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "a link"
    if entry.flag_bits & _ENCRYPTED_FLAG:
        return "encrypted: unpack the archive with its password"
    if entry.file_size > max(_RATIO_FROM_BYTES, _MAX_RATIO * entry.compress_size):
        return f"it would grow to more than {_MAX_RATIO} times its size"
    return ""
