"""The engine of a catalogue: connections to SQLite or PostgreSQL, and a copy where the disk cannot be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from workspace.database.address import Address, parse_address
from workspace.database.complaints import sentence
from workspace.errors import WorkspaceError, os_failure

_CACHE = "cache_size=-65536"  # KiB: joins of a million rows take half the time that they take with SQLite's 2 MB

_PATIENCE_S = 30
"""Seconds that a process waits for another one that writes to the same file."""

_CONNECTION = {
    "application_name": "collect-and-train",
    "connect_timeout": 10,  # seconds; without it an address that does not answer is waited for as long as TCP does
    "keepalives_idle": 30,  # seconds of silence: a router that forgets the connection is noticed, not waited for
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}
"""Parameters of libpq; those that the url has itself win."""


class Database:
    """An engine, whose every failure is a WorkspaceError.

    A SQLite file that cannot be written, as on a read-only disk, is read from a temporary copy: SQLite wants to write
    beside a file even to read it, and what another process wrote last may still stand in the write-ahead log.

    Args:
        location: a file for SQLite, the address of a database on PostgreSQL, or a SQLAlchemy URL of either.

    Attributes:
        name: where it is, for messages; without a password.

    Raises:
        WorkspaceError: the folder cannot be made, the copy not be written, or the URL not be used.
    """

    def __init__(self, location: Path | Address | str) -> None:
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        if isinstance(location, str) and not location.startswith("sqlite:"):
            location = parse_address(location)
        self.name = str(location)
        if isinstance(location, Address):
            missing = {name: value for name, value in _CONNECTION.items() if name not in location.url.query}
            self.engine = sa.create_engine(location.url, connect_args=missing)
        else:
            self.engine = sa.create_engine(location if isinstance(location, str) else self._url_of(location))
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
        sa.event.listen(self.engine, "handle_error", self._in_words)

    @property
    def is_postgresql(self) -> bool:
        """Whether several machines may be at it at once."""
        return self.engine.dialect.name == "postgresql"

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

    def _url_of(self, file: Path) -> sa.URL:
        try:
            return sa.URL.create("sqlite", database=str(self._writable(file)))
        except OSError as error:
            raise WorkspaceError(
                f"cannot open the catalogue {file}: {os_failure(error, file, 'make its folder writable')}"
            ) from error

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

    def _in_words(self, context: sa.engine.ExceptionContext) -> None:
        if isinstance(context.sqlalchemy_exception, sa.exc.DBAPIError):
            raise WorkspaceError(sentence(self.name, context)) from context.original_exception


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # WAL lets the report read while a step writes; NORMAL survives kill -9 (only a power cut may lose the last rows).
    _set(connection, f"busy_timeout={_PATIENCE_S * 1000}", _CACHE)
    _use_wal(connection)
    _set(connection, "synchronous=NORMAL")


def _use_wal(connection: Any) -> None:
    """Turn the write-ahead log on; of several processes that do so at once SQLite refuses some without waiting."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _set(connection, "journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _refuse_writes(connection: Any, _record: Any) -> None:
    _set(connection, "query_only=ON")


def _set(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
