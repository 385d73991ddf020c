"""Catalogues of earlier versions are brought up to date by the revisions; one of a later version is refused."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from collectors.url_identity import canonical_url
from workspace.catalog.catalog import METADATA, Catalog
from workspace.catalog.counts import appearances, best_ranks, creators, licensed_files
from workspace.catalog.records import Cluster, Download, Hit, ImageFacts, Override, Search, Verdict, Withdrawal
from workspace.database.migrate import is_known
from workspace.errors import WorkspaceError
from workspace.migrations import HEAD

CHECKOUT = Path(__file__).resolve().parents[3]
OLD = CHECKOUT / "tests" / "fixtures" / "catalogues"  # written by the versions that they are named after


def sql(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def make_former(file: Path, *changes: str) -> None:
    """Turn a catalogue into one of the last version before the revisions, with these changes."""
    sql(
        file,
        "drop table alembic_version",
        "update schema_version set version = 3",
        "create table measures_version (version integer primary key)",
        "insert into measures_version values (1)",
        *changes,
    )


def schema(file: Path) -> dict[str, object]:
    with closing(sqlite3.connect(file)) as connection:
        tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        columns = {name: connection.execute(f"pragma table_info({name})").fetchall() for name in tables}
    return {name: sorted((row[1], row[2], row[3], row[5]) for row in rows) for name, rows in columns.items()}


def layout(file: Path) -> dict[str, str | bool]:
    """The text of each index, and of each table whether it is stored by its key."""
    with closing(sqlite3.connect(file)) as connection:
        made = connection.execute("select name, type, sql from sqlite_master where sql is not null").fetchall()
    return {name: text if kind == "index" else "WITHOUT ROWID" in text for name, kind, text in made}


def make_earlier(file: Path, name: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((OLD / f"{name}.sql").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [file.stem for file in sorted(OLD.glob("*.sql"))])
def test_a_catalogue_of_every_earlier_version_keeps_its_rows_and_gets_todays_tables(tmp_path, name) -> None:
    file = tmp_path / "catalog.sqlite"
    make_earlier(file, name)
    for _ in range(2):
        with Catalog(file) as catalog:
            assert [row.found for row in catalog.all(Search)] == [2]
            assert [(row.image_url, row.title, row.width) for row in catalog.all(Hit)] == [
                ("https://a/1", "고양이", 640),
                ("https://a/2", "", None),
            ]
            assert [(row.status, row.sha256, row.preferences) for row in catalog.all(Download)] == [
                ("ok", "aa", ""),
                ("failed", "", ""),
            ]
            assert [(row.stage, row.score) for row in catalog.all(Verdict)] == [("check", 0.5)]
            assert [row.action for row in catalog.all(Override)] == ["keep"]
            facts = catalog.all(ImageFacts)
            assert [row.sha256 for row in facts] == ["aa"] * len(facts)
            assert catalog.files_to_examine() == ([] if facts else ["aa"])
            assert catalog.all(Cluster) == catalog.all(Withdrawal) == []
    Catalog(tmp_path / "new.sqlite").close()
    assert schema(file) == schema(tmp_path / "new.sqlite")
    assert layout(file) == layout(tmp_path / "new.sqlite")


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
    make_former(file, change)
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
    make_former(file, "alter table downloads drop column preferences", "alter table hits drop column width")
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
    make_former(file, "drop table measures_version")
    with Catalog(file) as catalog:
        assert catalog.all(ImageFacts) == [ImageFacts("aa", sharpness=0.5)]


@pytest.mark.parametrize(
    "changes",
    [
        ["update alembic_version set version_num = 'a7'"],
        ["drop table alembic_version", "update schema_version set version = 5"],
    ],
)
def test_a_catalogue_of_a_later_version_is_refused_and_untouched(tmp_path, changes) -> None:
    file = tmp_path / "catalog.sqlite"
    with Catalog(file) as catalog:
        catalog.put([Download("u", "ok", sha256="aa")])
    sql(file, *changes)
    before = schema(file)
    with pytest.raises(WorkspaceError, match="use the program's version that wrote it") as caught:
        Catalog(file)
    assert "\n" not in str(caught.value)
    assert schema(file) == before
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("select count(*) from downloads").fetchone() == (1,)


def test_a_program_from_before_the_revisions_refuses_a_catalogue_of_today(tmp_path) -> None:
    Catalog(tmp_path / "catalog.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection:
        assert connection.execute("select version from schema_version").fetchall() == [(4,)]


def test_a_migration_that_is_cut_off_leaves_the_catalogue_as_it_was(tmp_path, monkeypatch) -> None:
    file = tmp_path / "catalog.sqlite"
    with Catalog(file) as catalog:
        catalog.put([Download("u", "ok", sha256="aa", preferences="said")])
    make_former(file, "alter table hits drop column width", "drop table withdrawals")
    before = schema(file)
    monkeypatch.setattr(sa.Table, "create", lambda *_args, **_named: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Catalog(file)
    monkeypatch.undo()
    assert schema(file) == before
    with Catalog(file) as catalog:
        assert catalog.all(Download) == [Download("u", "ok", sha256="aa", preferences="said")]


def test_tables_that_are_being_moved_when_it_is_cut_off_keep_their_rows(tmp_path, monkeypatch) -> None:
    file = tmp_path / "catalog.sqlite"
    make_earlier(file, "version_3_ea7a758")
    before = schema(file), layout(file)
    monkeypatch.setattr("alembic.op.create_index", lambda *_args, **_named: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Catalog(file)
    assert (schema(file), layout(file)) == before
    monkeypatch.undo()
    with Catalog(file) as catalog:
        assert [row.status for row in catalog.all(Download)] == ["ok", "failed"]


def test_todays_tables_are_what_the_revisions_make(tmp_path) -> None:
    """Where this fails, a table was changed without a revision: workspace/migrations."""
    assert is_known(HEAD)
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        pass
    make_former(tmp_path / "catalog.sqlite")
    with Catalog(tmp_path / "catalog.sqlite") as catalog, catalog.engine.connect() as connection:
        named = {"alembic_version", "schema_version"}
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or name not in named},
        )
        assert compare_metadata(context, METADATA) == []


def test_a_catalogue_of_today_is_opened_without_alembic(tmp_path) -> None:
    code = (
        "import sys, pathlib\nfrom workspace.catalog.catalog import Catalog\n"
        "for _ in range(2): Catalog(pathlib.Path(sys.argv[1])).close()\n"
        "print([name for name in sys.modules if name.startswith('alembic')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "catalog.sqlite"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_an_address_too_long_for_an_index_gets_the_form_that_a_search_would_give_it(tmp_path) -> None:
    file, url = tmp_path / "catalog.sqlite", "https://a.example/" + "é1" * 1000
    with Catalog(file) as catalog:
        catalog.put([Hit("cat", "cat", "s", 0, url), Hit("dog", "dog", "s", 0, url), Hit("cat", "cat", "s", 1, "u")])
        catalog.put([Download(url, "ok", sha256="aa")])
    make_former(file)
    with Catalog(file) as catalog:
        assert {hit.image_url for hit in catalog.all(Hit)} == {canonical_url(url), "u"}
        assert [(row.image_url, row.sha256) for row in catalog.all(Download)] == [(canonical_url(url), "aa")]
        assert [(sha, hit.label) for sha, hit in appearances(catalog)] == [("aa", "cat"), ("aa", "dog")]


def test_hits_are_joined_to_downloads_by_their_key_whatever_an_earlier_version_left(tmp_path) -> None:
    file = tmp_path / "catalog.sqlite"
    Catalog(file).close()
    make_former(file, "CREATE INDEX downloads_by_file ON downloads (status, sha256)")
    asked: list[tuple[str, tuple[str, ...]]] = []
    with Catalog(file) as catalog:
        sa.event.listen(catalog.engine, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
        assert not [*appearances(catalog), *best_ranks(catalog), *creators(catalog), *licensed_files(catalog)]
    with closing(sqlite3.connect(file)) as connection:
        for query, values in asked:
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            assert any("(image_url=?)" in step for step in steps), steps  # else: every row with every other
    assert len(asked) == 4
