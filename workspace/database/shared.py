"""What processes and machines that share a database on PostgreSQL know of each other: whose it is, who writes, changes.

In a workspace folder the file lock.json and the times of catalog.sqlite serve for the same.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from workspace.database.address import Address
from workspace.database.engine import Database
from workspace.errors import WorkspaceError

SHARED = sa.MetaData()
_WORKSPACE = sa.Table(
    "workspace",
    SHARED,
    sa.Column("row", sa.Integer, primary_key=True),  # 1: there is one row
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("writer", sa.Text, nullable=False, server_default=""),
    sa.Column("backend", sa.Integer, nullable=False, server_default="0"),
)
_CHANGES = sa.Table("changes", SHARED, sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True))

_KEY = "hashtextextended('collect-and-train:' || current_schema() || ':' || :id, 0)"
_TRY = sa.text(f"SELECT pg_try_advisory_lock({_KEY}), pg_backend_pid()")
_FREE = sa.text(f"SELECT pg_advisory_unlock({_KEY})")
# How PostgreSQL shows a lock's key of 64 bits: its documentation, "pg_locks".
_HELD = sa.text(
    "SELECT writer FROM workspace JOIN pg_locks ON pid = backend WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND objsubid = 1 "
    f"AND (classid::bigint << 32) | objid::bigint = {_KEY}"
)
# A machine that vanishes says no goodbye: the server asks it every so often, and frees its locks if there is no answer.
_WATCHED = ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3")
_NO_END = "idle_session_timeout = 0"
_NO_END_SINCE = (14,)


@dataclass(frozen=True, slots=True)
class Occupant:
    """The workspace that a database belongs to: its id, and the folder that it had when the database was new."""

    id: str
    folder: str


def is_shared(connection: sa.Connection) -> bool:
    """Return whether the database holds a catalogue, or what a move has not yet cleared of one."""
    return sa.inspect(connection).has_table(_WORKSPACE.name)


def occupant(connection: sa.Connection) -> Occupant | None:
    """Read whose database it is; None: nobody's yet."""
    row = connection.execute(sa.select(_WORKSPACE.c.id, _WORKSPACE.c.folder)).one_or_none()
    return Occupant(*row) if row else None


def occupy(connection: sa.Connection, by: Occupant) -> None:
    """Make it this workspace's database, unless it is another's already."""
    connection.execute(postgresql.insert(_WORKSPACE).values(row=1, id=by.id, folder=by.folder).on_conflict_do_nothing())


def record_change(connection: sa.Connection) -> None:
    """Note in a transaction that it changes something; a row of its own, so that no writer waits for another."""
    connection.execute(_CHANGES.insert())


def changes(connection: sa.Connection) -> tuple[float, ...]:
    """Return a value that every committed transaction changes, in whichever order they commit."""
    query = sa.select(sa.func.coalesce(sa.func.max(_CHANGES.c.id), 0), sa.func.count())
    last, count = connection.execute(query).one()
    return float(last), float(count)


def is_same_database(a: Address, b: Address) -> bool:
    """Return whether two addresses, however they are written, lead to one schema of one database."""
    key = uuid.uuid4().hex
    with AdvisoryLock(a, key) as one, AdvisoryLock(b, key) as other:
        return one.try_silently() and not other.try_silently()


class AdvisoryLock:
    """The lock of one writer, which PostgreSQL holds for as long as a connection lives; a context manager.

    Args:
        address: the database.
        id: of the workspace.

    Raises:
        WorkspaceError: it cannot be reached.
    """

    def __init__(self, address: Address, id: str) -> None:  # noqa: A002 (the column's name)
        self._id = {"id": id}
        self._database = Database(address)
        self._connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def __enter__(self) -> AdvisoryLock:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._database.close()

    def try_take(self, writer: str) -> bool:
        """Take the lock and leave word whose it is, unless another has it."""
        taken, backend = self._connection.execute(_TRY, self._id).one()
        if taken:
            no_end = (_NO_END,) if (self._connection.dialect.server_version_info or ()) >= _NO_END_SINCE else ()
            for setting in (*_WATCHED, *no_end):
                self._connection.execute(sa.text(f"SET {setting}"))
            last = sa.select(sa.func.max(_CHANGES.c.id)).scalar_subquery()
            self._connection.execute(_CHANGES.delete().where(_CHANGES.c.id < last))
            self._sign(writer, backend)
        return bool(taken)

    def try_silently(self) -> bool:
        """Take the lock for as long as the connection lives, without a word, unless another has it."""
        return bool(self._connection.execute(_TRY, self._id).one()[0])

    def writer(self) -> str:
        """Return the word that the present holder left; empty: nobody holds it, or has not left it yet."""
        return str(self._connection.execute(_HELD, self._id).scalar() or "")

    def free(self) -> None:
        """Give the lock back.

        Raises:
            WorkspaceError: the connection was lost on the way, and the lock with it.
        """
        try:
            self._connection.execute(_FREE, self._id)  # and the word on whose it is counts no more
        except WorkspaceError as error:
            raise WorkspaceError(
                f"the connection that held the lock of {self._database.name} was lost, so another process may have "
                f"written meanwhile; run the same command again: it goes on where this one stopped ({error})"
            ) from error

    def _sign(self, writer: str, backend: Any) -> None:
        self._connection.execute(_WORKSPACE.update().values(writer=writer, backend=backend))
