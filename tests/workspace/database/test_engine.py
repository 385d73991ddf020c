"""A catalogue on a disk that cannot be written, and what the database complains of in words."""

import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from workspace.catalog.catalog import Catalog
from workspace.catalog.records import Hit
from workspace.errors import WorkspaceError
from workspace.storage.lock import lock_owner
from workspace.storage.paths import Workspace

HIT = Hit("cat", "cat", "s", 0, "http://a/1")


@pytest.fixture
def read_only(tmp_path, monkeypatch) -> Workspace:
    """A workspace on a disk that answers every wish to write with a no, its last rows still in the write-ahead log."""
    workspace = Workspace(tmp_path / "ws")
    writer = workspace.open_catalog()
    writer.put([HIT])
    with writer.engine.connect() as kept:  # so that the log is not folded in
        kept.execute(sa.text("SELECT 1"))
        before = {file.name: file.read_bytes() for file in workspace.root.iterdir()}
    writer.close()
    for name, data in before.items():
        (workspace.root / name).write_bytes(data)
    monkeypatch.setattr(os, "access", lambda path, _mode: not Path(path).is_relative_to(workspace.root))
    return workspace


def test_what_stands_in_the_log_is_read_and_nothing_is_written_there(read_only) -> None:
    before = {file.name: file.read_bytes() for file in read_only.root.iterdir()}
    assert before["catalog.sqlite-wal"]
    with read_only.open_catalog() as catalog:
        assert catalog.all(Hit) == [HIT]
        with pytest.raises(WorkspaceError, match=r"ws/catalog.sqlite refused a write: attempt to write a readonly"):
            catalog.put([HIT])
        copy = Path(str(catalog.engine.url.database))
    assert not copy.exists()
    assert {file.name: file.read_bytes() for file in read_only.root.iterdir()} == before


def test_an_older_catalogue_is_brought_up_to_date_in_the_copy(read_only) -> None:
    with sqlite3.connect(read_only.catalog_file) as connection:
        connection.execute("DROP TABLE images")
        connection.execute("DROP TABLE alembic_version")  # as before the revisions
        connection.execute("UPDATE schema_version SET version = 3")
    connection.close()
    with read_only.open_catalog() as catalog:
        assert catalog.files_to_examine() == []


def test_a_lock_can_be_asked_for_where_nothing_can_be_written(read_only) -> None:
    read_only.lock_file.write_bytes(b"")
    read_only.lock_file.chmod(0o444)
    assert lock_owner(read_only) is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError, match=r"cannot open the catalogue .*file/catalog.sqlite: "):
        Catalog(tmp_path / "file" / "catalog.sqlite")


@pytest.mark.parametrize("ask", [lambda c: c.all(Hit), lambda c: c.put([HIT]), lambda c: c.hits_per_label()])
def test_a_catalogue_that_is_damaged_while_it_is_open_is_one_line_with_a_remedy(tmp_path, ask) -> None:
    file = tmp_path / "catalog.sqlite"
    Catalog(file).close()
    with Catalog(file) as catalog:
        catalog.close()
        data = file.read_bytes()
        file.write_bytes(data[:100] + os.urandom(len(data) - 100))
        with pytest.raises(WorkspaceError, match=r"catalog.sqlite is damaged: .*; restore it from a copy") as caught:
            ask(catalog)
    assert "\n" not in str(caught.value)


def test_a_catalogue_that_another_program_keeps_locked_is_no_matter_of_free_space(tmp_path) -> None:
    file = tmp_path / "catalog.sqlite"
    with Catalog(file) as catalog:
        sa.event.listen(catalog.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=10"))
        catalog.engine.dispose()
        with sqlite3.connect(file, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(
                WorkspaceError, match="refused a write: database is locked; another program has it open"
            ):
                catalog.put([HIT])
            other.execute("ROLLBACK")
        other.close()
        catalog.put([HIT])
