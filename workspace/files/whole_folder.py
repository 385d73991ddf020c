"""Write a folder of many files whole: the files of an earlier export go, the files of a person stay."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workspace.errors import WorkspaceError, os_failure
from workspace.files.scratch import scratch_folder

_UNFINISHED = ".unfinished"
"""In the folder itself, so that its files can be renamed into place; readers of data sets skip hidden folders."""


@contextmanager
def whole_folder(folder: Path, own: str) -> Iterator[Path]:
    """Yield an empty folder, whose files take the place of those of an earlier export when the block ends.

    Until then the earlier files stay as they are; after an error nothing is left of the new ones.

    Args:
        folder: the target; created if missing.
        own: regular expression of all paths below it, with slashes, that an export of this kind may write. Earlier
            files that match are deleted where this export has not written them; any other file is a person's.

    Raises:
        WorkspaceError: it cannot be written.
    """
    created = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = scratch_folder(folder / _UNFINISHED)
        try:
            yield fresh
            _replace(folder, fresh, re.compile(own))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            _remove_empty([folder / _UNFINISHED])
    except BaseException as error:
        _remove_empty(created)
        if isinstance(error, OSError):
            raise WorkspaceError(
                f"cannot write {folder}: {os_failure(error, folder, 'make it writable')}, or name another with --out"
            ) from error
        raise


def _replace(folder: Path, fresh: Path, own: re.Pattern[str]) -> None:
    """Delete what is out of date, then rename the new files into place, README.md and the like last.

    A kill in between leaves fewer files than either export had, never a file of the earlier one that is none of this.
    """
    files = {file.relative_to(fresh) for file in fresh.rglob("*") if file.is_file()}
    for file in list(folder.rglob("*")):
        path = file.relative_to(folder)
        if path not in files and own.fullmatch(path.as_posix()) and file.is_file():
            file.unlink()
            _remove_empty(folder / parent for parent in path.parents if parent.name)
    for path in sorted(files, key=lambda path: (-len(path.parts), path)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (fresh / path).replace(folder / path)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, as long as they hold nothing."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
