"""A person's own pictures: a folder with one subfolder per keyword, or another layout; see layout.py.

Its images have urls such as `folder:red%20panda/1.jpg?5120-17600000`, relative to the path in the settings, so that the
catalogue and the folder can be moved; size and time of change let a replaced file be read again, and the row of the
download says which path it was (`place_url`). The scheme is private:
no url of another source, be it `file:///etc/passwd` or `folder:../../x`, reads anything but a file of that layout.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, unquote

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.local.layout import PhotoLayout, read_photo_layout
from workspace.config.collect import SearchConfig
from workspace.errors import ConfigError, SourceFailed, TransferFailed
from workspace.names import as_text, local_path

SCHEME = "folder:"
_PAGE_SIZE = 500


class Folder:
    """List the pictures of a class, ordered by name.

    Args:
        search: names the folder.

    Raises:
        ConfigError: no folder is named.
    """

    def __init__(self, search: SearchConfig) -> None:
        if not search.folder.path:
            raise ConfigError(
                "the source folder needs path in [search.folder]: a folder with one subfolder per keyword, a zip of "
                "one, or a table of path and label"
            )
        self._path = search.folder.place

    @cached_property
    def _layout(self) -> PhotoLayout:
        return read_photo_layout(self._path)

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Look at up to 500 files after the one that the cursor names; see Source.search.

        Raises:
            SourceFailed: `unreachable`: the folder is missing, has no subfolder, or cannot be read.
        """
        try:
            files = self._layout.files(keyword)
        except (ConfigError, OSError) as error:
            raise SourceFailed("unreachable", f"search.folder.path = {str(self._path)!r}: {error}") from error
        names = list(files.versions)
        start = bisect_right(names, _name(cursor)) if cursor is not None else 0
        page = names[start : start + _PAGE_SIZE]
        others = {name: why for name in page if (why := self._layout.why_not_image(name))}
        note = self._layout.passed_over_note(others if cursor else {**files.passed_over, **others})
        hits = tuple(
            SearchHit(f"{SCHEME}{_quoted(name)}?{files.versions[name]}", title=as_text(Path(name).stem))
            for name in page
            if name not in others
        )
        return ResultPage(hits, _quoted(page[-1]) if start + len(page) < len(names) else None, (note,) if note else ())

    def left_out(self, keywords: Iterable[str]) -> tuple[str, ...]:
        """See Labelled.left_out."""
        try:
            return self._layout.left_out(keywords)
        except (ConfigError, OSError):
            return ()  # the search itself reports the error

    def scope(self, keyword: str) -> object:
        """See Scoped.scope: the files, and the size and time of change of each."""
        try:
            return [[_quoted(name), version] for name, version in self._layout.files(keyword).versions.items()]
        except (ConfigError, OSError) as error:
            return str(error)


class LocalPhotos:
    """Reads the files of `folder:` urls, from any thread.

    Args:
        path: `search.folder.path`.
    """

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, threading.Lock()

    @cached_property
    def _layout(self) -> PhotoLayout:
        return read_photo_layout(local_path(self._path))

    @cached_property
    def place_url(self) -> str:
        """See `place_url`."""
        return place_url(local_path(self._path))

    def read(self, image_url: str, max_bytes: int) -> bytes:
        """Read the file of a url.

        Args:
            image_url: url of a hit of the source `folder`.
            max_bytes: size limit of a file.

        Raises:
            TransferFailed: `refused` when the url names no file of the layout, or the file is too large; `failed` when
                it is missing or cannot be read.
        """
        where = f"search.folder.path = {self._path!r}"
        try:
            if not self._path or not image_url.startswith(SCHEME):
                raise PermissionError
            with self._lock:
                layout = self._layout
            return capped(
                layout.read(_name(image_url.removeprefix(SCHEME).partition("?")[0]), max_bytes + 1), max_bytes
            )
        except FileNotFoundError as error:
            raise TransferFailed("failed", "missing", f"{image_url} is no longer in {where}") from error
        except PermissionError as error:
            if error.errno:
                raise TransferFailed("failed", "unreadable", f"{image_url} in {where}: {error.strerror}") from error
            raise TransferFailed("refused", "outside_folder", f"{image_url} is no file in {where}") from error
        except (OSError, ConfigError) as error:
            raise TransferFailed("failed", "unreadable", f"{image_url} in {where}: {error}") from error


def place_url(path: Path) -> str:
    """Write the `file:` url of a folder, archive or table: the `final_url` of the files that were found in it."""
    return Path(os.path.realpath(path)).as_uri()


def listed_urls(search: SearchConfig, keyword: str) -> frozenset[str] | None:
    """List the urls of all files of a keyword; None: no folder is named, or it cannot be read."""
    if not search.folder.path:
        return None
    try:
        versions = read_photo_layout(search.folder.place).files(keyword).versions
    except (ConfigError, OSError):
        return None
    return frozenset(f"{SCHEME}{_quoted(name)}?{version}" for name, version in versions.items())


def read_capped(file: Path, max_bytes: int) -> bytes:
    """Read a local file of at most `max_bytes`.

    Raises:
        OSError: it is missing or cannot be read.
        TransferFailed: `too_large`: it has more than `max_bytes`.
    """
    with file.open("rb") as stream:
        return capped(stream.read(max_bytes + 1), max_bytes)


def capped(data: bytes, max_bytes: int) -> bytes:
    """Return data of at most `max_bytes`.

    Raises:
        TransferFailed: `too_large`: it has more.
    """
    if len(data) > max_bytes:
        raise TransferFailed("refused", "too_large", f"larger than {max_bytes / 1e6:g} MB (download.max_mb)")
    return data


def _quoted(name: str) -> str:
    return quote(name, errors="surrogateescape")


def _name(quoted: str) -> str:
    return unquote(quoted, errors="surrogateescape")


def _probe_keyword(search: SearchConfig) -> str:
    try:
        return next(iter(read_photo_layout(search.folder.place).folders), "cat")
    except ConfigError:
        return "cat"  # the search itself reports the error


INFO = SourceInfo(
    name="folder",
    factory=Folder,
    summary="Your own pictures: a folder with one subfolder per keyword.",
    limits="none; nothing leaves this machine",
    licenses=False,
    settings=("path",),
    probe=_probe_keyword,
)
