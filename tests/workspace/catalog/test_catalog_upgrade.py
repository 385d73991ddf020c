import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from workspace.catalog.catalog import SCHEMA_VERSION, Catalog
from workspace.catalog.counts import appearances, best_ranks, creators, licensed_files
from workspace.catalog.records import Download, Hit, ImageFacts, Override, Verdict
from workspace.errors import WorkspaceError


def test_a_catalogue_of_version_1_keeps_all_but_the_facts_that_are_measured_again(tmp_path) -> None:
    file = tmp_path / "catalog.sqlite"
    rows = [Download("u", "ok", sha256="aa"), Verdict("aa", "cat", "check", "keep"), Override("aa", "cat", "drop")]
    with Catalog(file) as catalog:
        for row in rows:
            catalog.put([row])
    with sqlite3.connect(file) as old:
        old.execute("drop table images")
        old.execute("create table images (sha256 text primary key, error text not null)")
        old.execute("insert into images values ('aa', '')")
        old.execute("update schema_version set version = 1")
    old.close()
    with Catalog(file) as catalog:
        assert [catalog.all(type(row)) for row in rows] == [[row] for row in rows]
        assert catalog.all(ImageFacts) == []
        assert catalog.files_to_examine() == ["aa"]
        catalog.put([ImageFacts("aa", text=0.25)])
    with Catalog(file) as catalog:
        assert catalog.all(ImageFacts) == [ImageFacts("aa", text=0.25)]


def sql(file: Path, *statements: str) -> None:
    with sqlite3.connect(file) as old:
        for statement in statements:
            old.execute(statement)
    old.close()


@pytest.mark.parametrize(
    "change",
    [
        "alter table images drop column sharpness",  # as before a measure was added
        "alter table images add column gone float",
        "update measures_version set version = 0",
    ],
)
def test_facts_that_were_measured_otherwise_are_made_again_and_the_rest_stays(tmp_path, change: str) -> None:
    file = tmp_path / "catalog.sqlite"
    with Catalog(file) as catalog:
        catalog.put([Download("u", "ok", sha256="aa")])
        catalog.put([ImageFacts("aa", sharpness=0.5)])
    Catalog(file).close()
    with Catalog(file) as catalog:
        assert catalog.all(ImageFacts) == [ImageFacts("aa", sharpness=0.5)]
    sql(file, change)
    for _ in range(2):
        with Catalog(file) as catalog:
            assert catalog.files_to_examine() == ["aa"]
    with Catalog(file) as catalog:
        catalog.put([ImageFacts("aa", sharpness=0.25)])
    with Catalog(file) as catalog:
        assert catalog.all(ImageFacts) == [ImageFacts("aa", sharpness=0.25)]


def test_columns_that_an_earlier_version_did_not_have_are_added_with_their_defaults(tmp_path) -> None:
    file = tmp_path / "catalog.sqlite"
    rows = [Download("u", "ok", sha256="aa", preferences="said"), Hit("cat", "cat", "folder", 0, "u", width=3)]
    with Catalog(file) as catalog:
        for row in rows:
            catalog.put([row])
    sql(file, *(f"alter table {column}" for column in ("downloads drop column preferences", "hits drop column width")))
    for _ in range(2):
        with Catalog(file) as catalog:
            assert catalog.all(Download) == [Download("u", "ok", sha256="aa")]
            assert catalog.all(Hit) == [Hit("cat", "cat", "folder", 0, "u")]
    with Catalog(file) as catalog:
        for row in rows:
            catalog.put([row])
            assert catalog.all(type(row)) == [row]


def test_a_catalogue_from_before_the_measures_had_a_version_keeps_its_facts(tmp_path) -> None:
    file = tmp_path / "catalog.sqlite"
    with Catalog(file) as catalog:
        catalog.put([ImageFacts("aa", sharpness=0.5)])
    sql(file, "drop table measures_version")
    with Catalog(file) as catalog:
        assert catalog.all(ImageFacts) == [ImageFacts("aa", sharpness=0.5)]


def test_a_catalogue_of_a_later_version_is_refused(tmp_path) -> None:
    file = tmp_path / "catalog.sqlite"
    Catalog(file).close()
    with sqlite3.connect(file) as later:
        later.execute("update schema_version set version = ?", (SCHEMA_VERSION + 1,))
    later.close()
    with pytest.raises(WorkspaceError, match="use the program's version that wrote it"):
        Catalog(file)


def test_hits_are_joined_to_downloads_by_their_key_whatever_an_earlier_version_left(tmp_path) -> None:
    file = tmp_path / "catalog.sqlite"
    Catalog(file).close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE INDEX downloads_by_file ON downloads (status, sha256)")
    asked: list[str] = []
    with Catalog(file) as catalog:
        sa.event.listen(catalog.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        assert not [*appearances(catalog), *best_ranks(catalog), *creators(catalog), *licensed_files(catalog)]
    with closing(sqlite3.connect(file)) as connection:
        for query in asked:
            values = ("ok", "")[: query.count("?")]
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            assert any("(image_url=?)" in step for step in steps), steps  # else: every row with every other
    assert len(asked) == 4
