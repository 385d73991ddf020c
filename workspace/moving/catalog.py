"""Move the catalogue between catalog.sqlite and a database: copy the rows, compare them, clear the old place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from workspace.catalog.catalog import METADATA, NUL, TABLES, Catalog
from workspace.config.storage import StorageConfig
from workspace.database.address import Address, address_in
from workspace.database.engine import Database
from workspace.database.schema import drop_tables
from workspace.database.shared import is_same_database, is_shared
from workspace.errors import WorkspaceError
from workspace.progress import Progress
from workspace.storage.location.catalog import claim, require_unclaimed, write_note
from workspace.storage.paths import Workspace
from workspace.text.counts import counted

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class CatalogMover:
    """Moves the rows of a catalogue, table by table, each in one transaction.

    Attributes:
        workspace: whose rows.
        source: where they are, as storage.catalog: a variable's name, or empty for catalog.sqlite.
        target: where they go, likewise.
    """

    workspace: Workspace
    source: str
    target: str

    @classmethod
    def of(cls, workspace: Workspace, source: StorageConfig, target: StorageConfig) -> CatalogMover | None:
        """Make a mover; None where the rows stay where they are."""
        return None if source.catalog == target.catalog else cls(workspace, source.catalog, target.catalog)

    def check(self) -> None:
        """Refuse a database that cannot be reached, or is another workspace's.

        Raises:
            WorkspaceError: names the remedy.
        """
        for variable in filter(None, (self.source, self.target)):
            address = address_in(variable)
            with Catalog(address) as catalog, catalog.engine.connect() as connection:
                require_unclaimed(self.workspace, connection, address)

    def copy(self, progress: Progress) -> None:
        """Copy the tables whose rows differ: all, or after a kill those that it left."""
        if self.target:
            address = address_in(self.target)
            with Catalog(address) as catalog, catalog.transaction() as connection:
                claim(self.workspace, connection, address)
        if self._is_renamed():
            return
        with self._both() as (old, new):
            progress.begin("Copying rows", sum(_count(old, table) for table in TABLES.values()))
            for kind, table in TABLES.items():
                if not _is_equal(old, new, table):
                    _copy(old, new, kind)
                progress.advance(_count(old, table))

    def compare(self, progress: Progress) -> str:
        """Compare the number and the digest of the rows of every table.

        Raises:
            WorkspaceError: they differ.
        """
        if self._is_renamed():
            return "the name of the database"
        with self._both() as (old, new):
            rows = sum(_count(old, table) for table in TABLES.values())
            progress.begin("Comparing rows", rows)
            for table in TABLES.values():
                if not _is_equal(old, new, table):
                    raise WorkspaceError(
                        f"the table {table.name} has other rows in {new.name} than in {old.name} after it was copied; "
                        "nothing was switched or deleted: end whatever else writes there, then give the same command "
                        "again"
                    )
                progress.advance(_count(old, table))
            new.sync()  # the old place is cleared next
        return f"{counted(rows, 'row')}"

    def clear(self) -> None:
        """Note the new place, and drop the tables of the old one: whoever still has it open must not write there."""
        if not self._is_renamed():
            self._drop_tables()
            if not self.source:
                for ending in ("", "-wal", "-shm"):  # a later catalogue must not find the log of this one
                    file = self.workspace.catalog_file
                    file.with_name(f"{file.name}{ending}").unlink(missing_ok=True)
        write_note(self.workspace, self.target)

    def _drop_tables(self) -> None:
        location = self._location(self.source)
        database = Database(location)
        try:
            if isinstance(location, Address):
                with database.engine.connect() as connection:
                    if is_shared(connection):
                        require_unclaimed(self.workspace, connection, location)
            drop_tables(database, METADATA)
        finally:
            database.close()

    def _is_renamed(self) -> bool:
        """Return whether a database has only got another name: copied onto itself, it would be emptied."""
        return bool(self.source and self.target) and is_same_database(address_in(self.source), address_in(self.target))

    @contextmanager
    def _both(self) -> Iterator[tuple[Catalog, Catalog]]:
        with Catalog(self._location(self.source)) as old, Catalog(self._location(self.target)) as new:
            yield old, new

    def _location(self, variable: str) -> Path | Address:
        return address_in(variable) if variable else self.workspace.catalog_file


def _copy(old: Catalog, new: Catalog, kind: type[Any]) -> None:
    """Replace the rows of one kind by the old ones, in one transaction."""
    table = TABLES[kind]
    with new.transaction() as connection:
        connection.execute(table.delete())
        for batch in _batches(_rows(old, table)):
            new.insert(connection, kind, batch)


def _count(catalog: Catalog, table: sa.Table) -> int:
    with catalog.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _rows(catalog: Catalog, table: sa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield the rows in the order of their key, which both databases sort alike."""
    query = sa.select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_BATCH)
    with catalog.engine.connect() as connection:
        for row in connection.execute(query):
            yield tuple(value.replace(NUL, "") if isinstance(value, str) else value for value in row)


def _batches(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    batch: list[tuple[Any, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _is_equal(old: Catalog, new: Catalog, table: sa.Table) -> bool:
    """Compare the rows of a table by their number, and if that is the same by their digest."""
    return _count(old, table) == _count(new, table) and _digest(old, table) == _digest(new, table)


def _digest(catalog: Catalog, table: sa.Table) -> str:
    hashed = hashlib.sha256()
    for batch in _batches(_rows(catalog, table)):
        hashed.update("".join(f"{row!r}\n" for row in batch).encode())
    return hashed.hexdigest()
