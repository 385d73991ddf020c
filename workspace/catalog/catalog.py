"""The catalogue: searches, hits, downloads, image facts, verdicts and decisions, in tables.

SQLAlchemy Core throughout: SQLite in the workspace folder, or PostgreSQL. The columns are the fields of
workspace/catalog/records.py; see data/README.md for a description of each. How the tables of an earlier version become
these: workspace/migrations.
"""

from __future__ import annotations

import dataclasses
import operator
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from workspace.catalog.records import Cluster, Download, Hit, ImageFacts, Override, Search, Verdict, Withdrawal
from workspace.catalog.standing import DROP, effective_verdicts, staying, worst
from workspace.database.address import Address
from workspace.database.engine import Database
from workspace.database.schema import prepare_schema
from workspace.database.shared import record_change

Record = TypeVar("Record", Search, Hit, Download, ImageFacts, Verdict, Override, Cluster, Withdrawal)

_PARAMETERS = 500  # values in one statement; old versions of SQLite take 999

KEYS: dict[type[Any], tuple[str, tuple[str, ...]]] = {
    Search: ("searches", ("label", "keyword", "source")),
    Hit: ("hits", ("label", "source", "image_url")),
    Download: ("downloads", ("image_url",)),
    ImageFacts: ("images", ("sha256",)),
    Verdict: ("verdicts", ("sha256", "label", "stage")),
    Override: ("overrides", ("sha256", "label")),
    Cluster: ("clusters", ("sha256", "label")),
    Withdrawal: ("withdrawals", ("kind", "value")),
}

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")  # by code points, as SQLite and Python sort
_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # whose integers have 64 bits already
_COLUMN_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "str": _TEXT,
    "str | None": _TEXT,
    "int": _INTEGER,
    "int | None": _INTEGER,
    "float": sa.Float(),
}

_WIDE = (Hit, ImageFacts)
"""Tables whose rows are many times their key. SQLite keeps the others in the order of their key, without an index."""

METADATA = sa.MetaData()
TABLES: dict[type[Any], sa.Table] = {
    record: sa.Table(
        name,
        METADATA,
        *(
            sa.Column(
                field.name,
                _COLUMN_TYPES[str(field.type)],
                primary_key=field.name in key,
                nullable="None" in str(field.type),
            )
            for field in dataclasses.fields(record)
        ),
        sqlite_with_rowid=record in _WIDE,
    )
    for record, (name, key) in KEYS.items()
}

INDEXES: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "hits_by_url": (Hit, ("image_url", "label", "source", "rank")),
    "downloads_by_sha256": (Download, ("sha256", "status")),
    "images_by_error": (ImageFacts, ("error", "sha256", "width", "height", "note")),
}
"""Indexes that hold all that a query reads of every row, so that it leaves the wide rows alone."""

for _name, (_kind, _columns) in INDEXES.items():
    sa.Index(_name, *(TABLES[_kind].c[column] for column in _columns))

NUL = "\0"
"""No text has it: PostgreSQL does not store it, and a decoder's or a server's complaint may hold one."""


class Catalog:
    """The catalogue of one workspace; a context manager that closes its connections.

    Example:
        >>> with Catalog("sqlite://") as catalog:  # in memory; a workspace's own: workspace.open_catalog()
        ...     catalog.add_new([Hit("cat", "cat", "openverse", rank=0, image_url="https://example.org/1.jpg")])
        ...     catalog.hits_per_label()
        {'cat': 1}

    Args:
        location: a file for SQLite, the address of a database on PostgreSQL, or a SQLAlchemy URL of either.

    Raises:
        WorkspaceError: it cannot be opened, or was written by a later version.
    """

    def __init__(self, location: Path | Address | str) -> None:
        self._database = Database(location)
        self.engine = self._database.engine
        try:
            prepare_schema(self._database, METADATA)
        except BaseException:
            self.close()
            raise
        self._database.refuse_writes_to_a_copy()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def put(self, records: Iterable[Record]) -> None:
        """Insert rows of one kind, or replace those with the same key; all of them or none.

        Raises:
            WorkspaceError: the database refused, for example because the disk is full.
        """
        with self.transaction() as connection:
            self._upsert(connection, list(records))

    def add_new(self, records: Sequence[Record]) -> None:
        """Insert rows of one kind; a row whose key exists stays as it is, so a hit keeps its first and best rank."""
        if records:
            with self.transaction() as connection:
                statement = self.dialect.insert(TABLES[type(records[0])]).on_conflict_do_nothing()
                connection.execute(statement, [row_of(record) for record in records])

    def insert(self, connection: sa.Connection, kind: type[Any], rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows of one kind, whose values are in the order of its fields, as fast as the database takes them."""
        table = TABLES[kind]
        if not self._database.is_postgresql:
            connection.execute(table.insert(), [dict(zip(table.columns.keys(), row, strict=True)) for row in rows])
            return
        preparer = self.engine.dialect.identifier_preparer
        names = ", ".join(preparer.quote(column.name) for column in table.columns)
        with connection.connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def sync(self) -> None:
        """Wait until every row is on the disk, as PostgreSQL does after each transaction."""
        if not self._database.is_postgresql:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def name(self) -> str:
        """Where it is, for messages; without a password."""
        return self._database.name

    def delete(self, kind: type[Any], column: str, values: Collection[str]) -> None:
        """Delete the rows of one kind whose `column` has one of these values, all of them or none."""
        table = TABLES[kind]
        with self.transaction() as connection:
            for batch in batched(sorted(values)):
                connection.execute(table.delete().where(table.c[column].in_(batch)))

    def replace_verdicts(self, stages: Sequence[str], verdicts: Sequence[Verdict]) -> None:
        """Make these the only verdicts of these stages, in one transaction."""
        table = TABLES[Verdict]
        with self.transaction() as connection:
            connection.execute(table.delete().where(table.c.stage.in_(stages)))
            self._upsert(connection, list(verdicts))

    def all(self, kind: type[Record]) -> list[Record]:
        """Read every row of one kind, in the order of its key."""
        return list(self.each(kind))

    def each(self, kind: type[Record]) -> Iterator[Record]:
        """Yield every row of one kind, in the order of its key; for tables that may not fit into memory."""
        table = TABLES[kind]
        query = sa.select(table).order_by(*table.primary_key.columns).execution_options(yield_per=1000)
        names = table.columns.keys()
        with self.engine.connect() as connection:
            for row in connection.execute(query):
                yield kind(**dict(zip(names, row, strict=True)))

    def search_state(self, label: str, keyword: str, source: str) -> Search | None:
        """Look up how far a search has come; None when it was never made."""
        table = TABLES[Search]
        question = sa.and_(table.c.label == label, table.c.keyword == keyword, table.c.source == source)
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(table).where(question)).one_or_none()
            return Search(**row._mapping) if row else None

    def hits_per_label(self) -> dict[str, int]:
        """Count the distinct URLs of each label."""
        table = TABLES[Hit]
        query = sa.select(table.c.label, sa.func.count(sa.distinct(table.c.image_url))).group_by(table.c.label)
        with self.engine.connect() as connection:
            return {str(label): int(count) for label, count in connection.execute(query)}

    def files_to_examine(self) -> list[str]:
        """List the sha256 of every downloaded file that has no row in images, in order."""
        downloads, images = TABLES[Download], TABLES[ImageFacts]
        query = (
            sa.select(downloads.c.sha256)
            .distinct()
            .outerjoin(images, downloads.c.sha256 == images.c.sha256)
            .where(downloads.c.status == "ok", images.c.sha256.is_(None))
            .order_by(downloads.c.sha256)
        )
        with self.engine.connect() as connection:
            return [str(sha) for sha in connection.execute(query).scalars()]

    def kept(self, ignoring: Collection[str] = ()) -> list[tuple[str, str]]:
        """List (sha256, label) of every image that stays, by label and sha256.

        A relabelled picture appears under its new label. The verdicts of the stages in `ignoring` do not count.
        """
        verdicts = TABLES[Verdict]
        query = self.undecided(verdicts.c.sha256, verdicts.c.label).having(worst(verdicts, ignoring) < DROP)
        with self.engine.connect() as connection:
            stays = [(str(sha), sys.intern(label)) for sha, label in connection.execute(query)]
        stays += staying(effective_verdicts(self.decided(), ignoring), self.all(Override))
        return sorted(stays, key=operator.itemgetter(1, 0))

    def undecided(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """Select these columns of the verdicts, a row for each (sha256, label), of images no person has decided on."""
        verdicts = TABLES[Verdict]
        by_people = sa.select(TABLES[Override].c.sha256)
        pair = verdicts.c.sha256, verdicts.c.label
        return sa.select(*columns).where(verdicts.c.sha256.not_in(by_people)).group_by(*pair)

    def decided(self) -> list[Verdict]:
        """Read the verdicts on images that a person has decided on, under any label: all but those of `undecided`."""
        verdicts = TABLES[Verdict]
        query = sa.select(verdicts).where(verdicts.c.sha256.in_(sa.select(TABLES[Override].c.sha256)))
        with self.engine.connect() as connection:
            return [Verdict(*row) for row in connection.execute(query)]

    def _upsert(self, connection: sa.Connection, records: list[Any]) -> None:
        if not records:
            return
        table = TABLES[type(records[0])]
        statement = self.dialect.insert(table)
        keys = [column.name for column in table.primary_key.columns]
        others = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
        upsert = statement.on_conflict_do_update(index_elements=keys, set_=others)
        for batch in (records[start : start + 1000] for start in range(0, len(records), 1000)):
            connection.execute(upsert, [row_of(record) for record in batch])

    @property
    def dialect(self) -> Any:
        """SQLAlchemy's dialect module, which has this database's `insert`."""
        return postgresql if self.engine.dialect.name == "postgresql" else sqlite

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a transaction, committed at the end of the block, or not at all where the block fails.

        Raises:
            WorkspaceError: the database refused, for example because the disk is full.
        """
        with self.engine.begin() as connection:
            yield connection
            if self._database.is_postgresql:
                record_change(connection)


def row_of(record: Any) -> dict[str, Any]:
    """Convert a record to a row; a text loses its NUL characters, which not every database stores."""
    row = dataclasses.asdict(record)
    for name, value in row.items():
        if isinstance(value, str) and NUL in value:
            row[name] = value.replace(NUL, "")
    return row


def batched(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split values into batches that fit into one statement."""
    return (values[start : start + _PARAMETERS] for start in range(0, len(values), _PARAMETERS))
