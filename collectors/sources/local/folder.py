"""A local folder of images with one subfolder per keyword.

Its images have urls such as `folder:red%20panda/1.jpg`, relative to the folder in the settings, so that the catalogue
and the folder can be moved. The scheme is private: no url of another source, be it `file:///etc/passwd` or
`folder:../../x`, reads anything but a regular file inside that folder.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import quote, unquote

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from workspace.config.collect import SearchConfig
from workspace.errors import ConfigError, SourceFailed, TransferFailed
from workspace.names import same_name

SCHEME = "folder:"
_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jfif"}
)
_PAGE_SIZE = 500


class Folder:
    """List the files below `folder/<keyword>/`, ordered by name.

    Args:
        search: names the folder.

    Raises:
        ConfigError: no folder is named.
    """

    def __init__(self, search: SearchConfig) -> None:
        if not search.folder.path:
            raise ConfigError(
                "the source folder needs path in [search.folder], a folder with one subfolder per keyword"
            )
        self._root = Path(search.folder.path).expanduser()

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """List up to 500 files after the one that the cursor names; see Source.search.

        Raises:
            SourceFailed: `unreachable`: the folder is missing, has no subfolder, or cannot be read.
        """
        try:
            names = _image_files(self._root, keyword)
        except OSError as error:
            raise SourceFailed("unreachable", f"search.folder.path = {str(self._root)!r}: {error.strerror}") from error
        remaining = [name for name in names if cursor is None or name > cursor]
        page = remaining[:_PAGE_SIZE]
        hits = tuple(SearchHit(SCHEME + quote(name), title=Path(name).stem) for name in page)
        return ResultPage(hits, page[-1] if len(remaining) > len(page) else None)


def read_local(folder: str, image_url: str, max_bytes: int) -> bytes:
    """Read the file of a `folder:` url.

    Args:
        folder: `search.folder.path`.
        image_url: url of a hit of this source.
        max_bytes: size limit of a file.

    Raises:
        TransferFailed: `refused` when the url points outside of the folder or to no regular file, or the file is too
            large; `failed` when it is missing or cannot be read.
    """
    root = Path(folder).expanduser().resolve()
    try:
        file = (root / unquote(image_url.removeprefix(SCHEME), errors="strict")).resolve(strict=True)
        inside = bool(folder) and image_url.startswith(SCHEME) and file.is_relative_to(root)
        if not inside or not stat.S_ISREG(file.stat().st_mode):
            raise TransferFailed(
                "refused", "outside_folder", f"{image_url} is no file in search.folder.path = {folder!r}"
            )
        return read_capped(file, max_bytes)
    except FileNotFoundError as error:
        raise TransferFailed(
            "failed", "missing", f"{image_url} is no longer in search.folder.path = {folder!r}"
        ) from error
    except (OSError, ValueError) as error:
        raise TransferFailed(
            "failed", "unreadable", f"{image_url} in search.folder.path = {folder!r}: {error}"
        ) from error


def read_capped(file: Path, max_bytes: int) -> bytes:
    """Read a local file of at most `max_bytes`.

    Raises:
        OSError: it is missing or cannot be read.
        TransferFailed: `too_large`: it has more than `max_bytes`.
    """
    with file.open("rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TransferFailed("refused", "too_large", f"larger than {max_bytes} bytes")
    return data


def _image_files(root: Path, keyword: str) -> list[str]:
    """List the image files below the keyword's subfolders: sorted names relative to the root, with slashes."""
    subfolders = sorted(entry for entry in root.iterdir() if entry.is_dir())
    if not subfolders:
        raise FileNotFoundError(0, "it has no subfolder; it needs one subfolder of pictures per keyword")
    names = []
    for subfolder in subfolders:
        if same_name(subfolder.name, keyword):
            for folder, folders, files in os.walk(subfolder):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                names += [
                    (Path(folder) / name).relative_to(root).as_posix()
                    for name in files
                    if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
                ]
    return sorted(names)


def _probe_keyword(search: SearchConfig) -> str:
    root = Path(search.folder.path).expanduser()
    return next((entry.name for entry in sorted(root.iterdir()) if entry.is_dir()), "cat") if root.is_dir() else "cat"


INFO = SourceInfo(
    name="folder",
    factory=Folder,
    summary="Your own pictures: a folder with one subfolder per keyword.",
    limits="none; nothing leaves this machine",
    licenses=False,
    settings=("path",),
    probe=_probe_keyword,
)
