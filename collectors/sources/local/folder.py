"""A folder of your own pictures, with one subfolder per keyword.

Its pictures have addresses such as `folder:red%20panda/1.jpg`: relative to the folder of the settings, and of a scheme
that no other reader of addresses knows. So the catalogue may move with the pictures, and an address from elsewhere,
be it `file:///etc/passwd` or `folder:../../x`, never reads anything but a regular file inside that one folder.
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
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jfif"})
_PAGE_SIZE = 500


class Folder:
    """The files below `folder/<keyword>/`, in the order of their names.

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
            SourceFailed: `unreachable`: the folder is not there, has no subfolder, or cannot be read.
        """
        try:
            names = _pictures(self._root, keyword)
        except OSError as error:
            raise SourceFailed("unreachable", f"search.folder.path = {str(self._root)!r}: {error.strerror}") from error
        following = [name for name in names if cursor is None or name > cursor]
        page = following[:_PAGE_SIZE]
        found = tuple(SearchHit(SCHEME + quote(name), title=Path(name).stem) for name in page)
        return ResultPage(found, page[-1] if len(following) > len(page) else None)


def read_local(folder: str, image_url: str, max_bytes: int) -> bytes:
    """The bytes of a `folder:` address.

    Args:
        folder: the folder of the settings (`search.folder.path`).
        image_url: an address that this source gave.
        max_bytes: the largest file.

    Raises:
        TransferFailed: `refused` when the address leads outside of the folder or to no regular file, or the file is
            too large; `failed` when it is not there or cannot be read.
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
    """Read a local file that is not larger than the limit.

    Raises:
        OSError: it is not there or cannot be read.
        TransferFailed: `too_large`.
    """
    with file.open("rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TransferFailed("refused", "too_large", f"larger than {max_bytes} bytes")
    return data


def _pictures(root: Path, keyword: str) -> list[str]:
    """Names relative to the root, with slashes, of every picture file below the keyword's subfolders, in order."""
    subfolders = sorted(entry for entry in root.iterdir() if entry.is_dir())
    if not subfolders:
        raise FileNotFoundError(0, "it has no subfolder; the pictures lie in one subfolder per keyword")
    names = []
    for subfolder in subfolders:
        if same_name(subfolder.name, keyword):
            for place, folders, files in os.walk(subfolder):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                names += [
                    (Path(place) / name).relative_to(root).as_posix()
                    for name in files
                    if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
                ]
    return sorted(names)


def _a_subfolder(search: SearchConfig) -> str:
    root = Path(search.folder.path).expanduser()
    return next((entry.name for entry in sorted(root.iterdir()) if entry.is_dir()), "cat") if root.is_dir() else "cat"


INFO = SourceInfo(
    name="folder",
    factory=Folder,
    summary="Your own pictures: a folder with one subfolder per keyword.",
    limits="none; nothing leaves this machine",
    licenses=False,
    settings=("path",),
    probe=_a_subfolder,
)
