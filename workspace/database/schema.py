"""The schema of a catalogue: made where there is none, migrated where it is older, refused where it is newer.

A new database gets today's tables and is marked with the latest revision, an older one goes through the migrations of
workspace/migrations. Alembic, which runs these, is loaded only then: it takes longer than most commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from workspace.database.engine import Database
from workspace.database.shared import SHARED
from workspace.errors import WorkspaceError
from workspace.migrations import HEAD

_REVISION = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
_FORMER = sa.Table("schema_version", sa.MetaData(), sa.Column("version", sa.Integer, primary_key=True))
_TOO_NEW = 4  # for programs from before the revisions, which go by that table alone and refuse what is above 3
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('collect-and-train:schema', 0))")
_PATIENCE = "SET LOCAL lock_timeout = '60s'"  # for a page's question to end
_ENCODING = sa.text("SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()")


def prepare_schema(database: Database, metadata: sa.MetaData) -> None:
    """Make or migrate the tables, unless they are today's; of several processes one does it, and the others wait.

    Raises:
        WorkspaceError: the schema is newer than this program, or not one of its own.
    """
    with database.engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with _alone(database) as connection:
        revision = _revision(connection)
        if revision == HEAD:  # another process has just done it
            return
        if revision is None and not sa.inspect(connection).has_table(_FORMER.name):
            _create(database, connection, metadata)
        else:
            _migrate(database, connection, revision)


def drop_tables(database: Database, metadata: sa.MetaData) -> None:
    """Drop all that prepare_schema makes, in one transaction; what is not there is passed over."""
    with _alone(database) as connection:
        if database.is_postgresql:
            connection.exec_driver_sql(_PATIENCE)
        metadata.drop_all(connection)
        SHARED.drop_all(connection)
        for table in (_REVISION, _FORMER):
            table.drop(connection, checkfirst=True)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_REVISION.name):
        return None
    revision: str | None = connection.execute(sa.select(_REVISION.c.version_num)).scalar()
    return revision


def _create(database: Database, connection: sa.Connection, metadata: sa.MetaData) -> None:
    if database.is_postgresql:
        encoding = connection.execute(_ENCODING).scalar()
        if encoding != "UTF8":
            raise WorkspaceError(
                f"the database {database.name} stores texts as {encoding}, which does not hold every title; make one "
                "with: createdb --encoding=UTF8 --template=template0 NAME"
            )
        SHARED.create_all(connection)
    else:
        _FORMER.create(connection)
        connection.execute(_FORMER.insert().values(version=_TOO_NEW))
    metadata.create_all(connection)
    _REVISION.create(connection)
    connection.execute(_REVISION.insert().values(version_num=HEAD))


def _migrate(database: Database, connection: sa.Connection, revision: str | None) -> None:
    from workspace.database.migrate import is_known, upgrade

    if revision is not None and not is_known(revision):
        raise WorkspaceError(
            f"the catalogue {database.name} has the schema {revision}, this program knows none after {HEAD}; use the "
            "program's version that wrote it, or start a new workspace"
        )
    upgrade(connection)


@contextmanager
def _alone(database: Database) -> Iterator[sa.Connection]:
    """Open a transaction in which no other process makes or migrates the schema."""
    with database.engine.connect() as connection:
        if database.is_postgresql:
            connection.execute(_LOCK)
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver begins none before a CREATE TABLE
        yield connection
        connection.commit()
