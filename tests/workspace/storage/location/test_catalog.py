"""The catalogue of a workspace is where workspace.toml says, is this workspace's own, and nobody sees the password."""

import json
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from cli.main import app
from pages.review_data import ReviewData
from workspace.catalog.catalog import TABLES, row_of
from workspace.catalog.overrides import Change
from workspace.catalog.records import Hit, Search, Verdict
from workspace.config.model import WorkspaceConfig, load_config, parse_config
from workspace.config.template import render_config
from workspace.errors import ConfigError, WorkspaceError
from workspace.resolve import open_workspace
from workspace.storage.lock import hold
from workspace.storage.paths import Workspace
from workspace.storage.run import model_settings

HIT = Hit("cat", "cat", "s", 0, "http://a/1")
TOML = '[classes]\ncat = "cat"\ndog = "dog"\n\n[storage]\ncatalog = "{}"\n'


def make(root: Path, variable: str = "CATALOG") -> Workspace:
    root.mkdir()
    (root / "workspace.toml").write_text(TOML.format(variable))
    return Workspace(root)


@pytest.fixture
def workspace(tmp_path, empty_database, monkeypatch) -> Workspace:
    monkeypatch.setenv("CATALOG", empty_database)
    return make(tmp_path / "pandas")


def refused(workspace: Workspace) -> str:
    with pytest.raises(WorkspaceError) as caught:
        workspace.open_catalog()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.cluster
def test_rows_go_into_the_database_and_none_into_the_folder(workspace) -> None:
    assert not workspace.has_catalog()
    with workspace.open_catalog() as catalog:
        catalog.put([HIT])
    with workspace.open_catalog() as catalog:
        assert catalog.all(Hit) == [HIT]
    assert workspace.has_catalog()
    assert sorted(file.name for file in workspace.root.iterdir()) == ["catalog.json", "workspace.toml"]


@pytest.mark.cluster
def test_the_stamp_changes_with_every_write_of_any_process_and_with_nothing_else(workspace) -> None:
    with workspace.open_catalog() as writer, workspace.open_catalog() as other:
        stamps = [workspace.catalog_stamp()]
        for catalog in (writer, other, writer):
            catalog.put([HIT])
            stamps.append(workspace.catalog_stamp())
            catalog.all(Hit)
            assert workspace.catalog_stamp() == stamps[-1]
        with writer.transaction() as connection:  # committed later than one that began later
            other.put([Search("a", "a", "s", "open")])
            stamps.append(workspace.catalog_stamp())
            connection.exec_driver_sql("DELETE FROM hits")
        stamps.append(workspace.catalog_stamp())
    assert len(set(stamps)) == len(stamps)


@pytest.mark.cluster
def test_a_database_belongs_to_one_workspace(workspace, tmp_path) -> None:
    workspace.open_catalog().close()
    assert "holds the catalogue of another workspace" in refused(make(tmp_path / "bears"))
    with workspace.open_catalog() as catalog:
        catalog.put([HIT])
    shutil.copytree(workspace.root, tmp_path / "elsewhere")  # the same workspace, seen from another machine
    with Workspace(tmp_path / "elsewhere").open_catalog() as catalog:
        assert catalog.all(Hit) == [HIT]


@pytest.mark.cluster
def test_two_schemas_of_a_database_hold_two_workspaces(workspace, tmp_path, database_server, monkeypatch) -> None:
    import psycopg

    with workspace.open_catalog() as catalog:
        catalog.put([HIT])
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA bears")
        monkeypatch.setenv("BEARS", f"{database_server}?options=-csearch_path%3Dbears")
        with make(tmp_path / "bears", "BEARS").open_catalog() as catalog:
            assert catalog.all(Hit) == []
        connection.execute("DROP SCHEMA bears CASCADE")


@pytest.mark.cluster
def test_a_database_that_lost_the_rows_is_not_filled_anew(workspace, database_server, monkeypatch) -> None:
    import psycopg

    workspace.open_catalog().close()
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA fresh")
        monkeypatch.setenv("CATALOG", f"{database_server}?options=-csearch_path%3Dfresh")
        assert "is empty, though the catalogue of" in refused(workspace)
        connection.execute("DROP SCHEMA fresh CASCADE")


@pytest.mark.cluster
def test_a_kill_between_the_note_and_the_claim_leaves_the_database_to_this_workspace(workspace) -> None:
    workspace.open_catalog().close()
    note = json.loads(workspace.catalog_note.read_text())
    workspace.catalog_note.write_text(json.dumps(note | {"catalog": None}))
    with workspace.open_catalog() as catalog:
        assert catalog.all(Hit) == []
    assert json.loads(workspace.catalog_note.read_text()) == note


def test_a_setting_changed_by_hand_opens_no_empty_catalogue(tmp_path) -> None:
    workspace = make(tmp_path / "pandas", "")
    with workspace.open_catalog() as catalog:
        catalog.put([HIT])
    workspace.config_file.write_text(TOML.format("CATALOG"))
    assert f"move -w {workspace.root} --catalog CATALOG" in refused(workspace)
    workspace.config_file.write_text(TOML.format(""))
    workspace.catalog_note.write_text('{"id": "a", "catalog": "CATALOG"}')
    assert 'the rows are in the database that CATALOG names; write "CATALOG" again' in refused(workspace)
    assert f"move -w {workspace.root} --catalog sqlite" in refused(workspace)
    workspace.config_file.write_text(TOML.format("OTHER"))
    assert f"move -w {workspace.root} --catalog OTHER" in refused(workspace)


def test_a_variable_that_is_not_set_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("CATALOG", raising=False)
    assert "export CATALOG=postgresql://" in refused(make(tmp_path / "pandas"))


def test_an_address_in_place_of_the_variables_name_is_refused_unseen(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"storage.catalog.*name of an environment variable") as caught:
        parse_config(TOML.format("postgresql://ann:s3cret@db/x"), "workspace.toml")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match="name of an environment variable") as caught:
        make(tmp_path / "pandas", "postgresql://ann:s3cret@db/x").open_catalog()
    assert "s3cret" not in str(caught.value)


def test_where_the_rows_are_is_no_setting_of_one_run(tmp_path) -> None:
    make(tmp_path / "pandas", "")
    with pytest.raises(ConfigError, match=r"are not set for one run; .*: .*move -w .*pandas --catalog"):
        open_workspace(tmp_path / "pandas", (), {"storage.catalog": "CATALOG"})
    _, config = open_workspace(tmp_path / "new", ["cat", "dog"], {"storage.catalog": "CATALOG"})
    assert config.storage.catalog == "CATALOG"
    open_workspace(tmp_path / "new", ["cat", "dog"], {"storage.catalog": "CATALOG"})  # as `run` does twice
    assert 'catalog = "CATALOG"' in (tmp_path / "new" / "workspace.toml").read_text()


def test_where_the_rows_are_takes_no_part_in_a_runs_id() -> None:
    values = {"classes": {"cat": ("cat",), "dog": ("dog",)}}
    here = WorkspaceConfig.model_validate(values)
    there = WorkspaceConfig.model_validate(values | {"storage": {"catalog": "CATALOG"}})
    assert model_settings(here) == model_settings(there)
    assert parse_config(render_config(there), "x") == there


@pytest.mark.cluster
def test_no_command_and_no_file_shows_the_password(workspace, capfd) -> None:
    password = urlsplit(os.environ["CATALOG"]).password
    texts = [CliRunner().invoke(app, [command, "-w", str(workspace.root)]).output for command in ("status", "models")]
    with workspace.open_catalog() as catalog:
        texts += [repr(catalog.engine), repr(catalog), catalog.name]
    texts += [file.read_text() for file in workspace.root.iterdir() if file.is_file()]
    texts += capfd.readouterr()
    assert password
    assert password not in "".join(texts)


@pytest.mark.cluster
def test_a_page_sees_what_a_run_writes_beside_it_and_a_run_what_a_person_decides(workspace) -> None:
    config = load_config(workspace.config_file)
    with workspace.open_catalog() as of_run, workspace.open_catalog() as of_page:
        page = ReviewData(workspace, config, of_page)
        assert page.snapshot().verdicts == {}
        with hold(workspace, "run"), of_run.transaction() as connection:  # a long one does not stop a click
            connection.execute(TABLES[Verdict].insert(), [row_of(Verdict("aa", "cat", "check", "keep"))])
            assert page.decide([Change("aa", "cat", "drop")])[0].made
        assert list(page.snapshot().verdicts) == [("aa", "cat")]
        assert of_run.kept() == []
