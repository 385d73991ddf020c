"""The database of a catalogue: SQLite's settings, its errors in words, a copy where the disk cannot be written."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from workspace.errors import WorkspaceError

_CACHE = "cache_size=-65536"  # KiB: joins of a million rows take half the time that they take with SQLite's 2 MB
_DAMAGED = ("malformed", "not a database")


class Database:
    """An engine, whose every failure is a WorkspaceError.

    A SQLite file that cannot be written, as on a read-only disk, is read from a temporary copy: SQLite wants to write
    beside a file even to read it, and what another process wrote last may still stand in the write-ahead log.

    Args:
        location: a file for SQLite, or a SQLAlchemy URL.

    Raises:
        WorkspaceError: the folder cannot be made, or the copy not be written.
    """

    def __init__(self, location: Path | str) -> None:
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        url, name = (
            str(location),
            sa.make_url(location).render_as_string() if isinstance(location, str) else str(location),
        )
        if isinstance(location, Path):
            try:
                url = f"sqlite:///{self._writable(location)}"
            except OSError as error:
                raise WorkspaceError(
                    f"cannot open the catalogue {name}: {error.strerror}; make its folder writable"
                ) from error
        else:
            name = sa.make_url(url).render_as_string(hide_password=True)
        self.engine = sa.create_engine(url)
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
        sa.event.listen(self.engine, "handle_error", lambda context: _in_words(name, context))

    def refuse_writes_to_a_copy(self) -> None:
        """From now on a write fails where it would be lost with the copy."""
        if self._copy is not None:
            self.engine.dispose()
            sa.event.listen(self.engine, "connect", _refuse_writes)

    def close(self) -> None:
        """Close every connection, and delete the copy."""
        self.engine.dispose()
        if self._copy is not None:
            self._copy.cleanup()

    def _writable(self, file: Path) -> Path:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("ab").close()  # SQLite would make it with mode 0644 whatever the umask
        if os.access(file, os.W_OK) and os.access(file.parent, os.W_OK):
            return file
        self._copy = tempfile.TemporaryDirectory(prefix="collect-and-train-")
        for part in (file, file.with_name(f"{file.name}-wal")):
            if part.exists():
                shutil.copyfile(part, Path(self._copy.name) / part.name)
        return Path(self._copy.name) / file.name


def _in_words(name: str, context: sa.engine.ExceptionContext) -> None:
    if not isinstance(context.sqlalchemy_exception, sa.exc.DatabaseError):
        return
    error = context.original_exception
    if any(word in str(error) for word in _DAMAGED):
        raise WorkspaceError(
            f"the catalogue {name} is damaged: {error}; restore it from a copy, or move it away and collect again"
        ) from error
    what = "a read" if (context.statement or "").lstrip().upper().startswith(("SELECT", "PRAGMA")) else "a write"
    raise WorkspaceError(
        f"the catalogue {name} refused {what}: {error}; free some space or make the folder writable, then run the same "
        "command again"
    ) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # WAL lets the report read while a step writes; NORMAL survives kill -9 (only a power cut may lose the last rows).
    _set(connection, "journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", _CACHE)


def _refuse_writes(connection: Any, _record: Any) -> None:
    _set(connection, "query_only=ON")


def _set(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
