import sqlite3

import pytest

from workspace.catalog import SCHEMA_VERSION, Catalog
from workspace.errors import WorkspaceError
from workspace.records import Download, ImageFacts, Override, Verdict


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


def test_a_catalogue_of_a_later_version_is_refused(tmp_path) -> None:
    file = tmp_path / "catalog.sqlite"
    Catalog(file).close()
    with sqlite3.connect(file) as later:
        later.execute("update schema_version set version = ?", (SCHEMA_VERSION + 1,))
    later.close()
    with pytest.raises(WorkspaceError, match="use the program's version that wrote it"):
        Catalog(file)
