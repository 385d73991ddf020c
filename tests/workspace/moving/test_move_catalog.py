"""`move` copies the rows, compares them and switches; a kill at any moment loses nothing, and it goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from cli.main import app
from workspace.catalog.catalog import KEYS, Catalog
from workspace.catalog.records import Cluster, Download, Hit, ImageFacts, Override, Search, Verdict, Withdrawal
from workspace.errors import WorkspaceError
from workspace.storage.lock import WorkspaceBusy, hold
from workspace.storage.paths import Workspace

CHECKOUT = Path(__file__).resolve().parents[3]
TOML = '# mine\n[classes]\ncat = "cat"  # tabby\ndog = "dog"\n'
ROWS = [
    *(Search(label, "고양이", "openverse", "open", "2", 3_000_000_000) for label in ("cat", "Ärger", "a b")),
    *(
        Hit("cat", "cat", "s", n, f"https://a/{n:05}", title=f"{n} \t\\N \n ü😀", width=None, height=n)
        for n in range(2500)
    ),
    *(Download(f"https://a/{n:05}", "ok", bytes=n, sha256=f"{n:064x}", http_status=None) for n in range(1000)),
    *(ImageFacts(f"{n:064x}", brightness=1 / (n + 3), thumb="00ff" * 50) for n in range(3)),
    Verdict("aa", "cat", "check", "flag", score=0.1 + 0.2, group="bb"),
    Override("aa", "cat", "keep", made_at="1"),
    Cluster("aa", "cat", 3),
    Withdrawal("creator", "Jane \\Doe"),
]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    workspace = Workspace(tmp_path / "pandas")
    workspace.root.mkdir()
    workspace.config_file.write_text(TOML)
    with workspace.open_catalog() as catalog:
        for kind in KEYS:
            catalog.put([row for row in ROWS if type(row) is kind])
    return workspace


def rows(workspace: Workspace) -> dict[str, list[object]]:
    with workspace.open_catalog() as catalog:
        return {kind.__name__: list(catalog.all(kind)) for kind in KEYS}


def move(workspace: Workspace, catalog: str) -> str:
    done = CliRunner().invoke(app, ["move", "-w", str(workspace.root), "--catalog", catalog], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def settings(workspace: Workspace) -> tuple[str, str]:
    return workspace.storage.catalog, json.loads(workspace.catalog_note.read_text())["catalog"]


@pytest.mark.cluster
def test_there_and_back_every_row_is_the_same(workspace, empty_database, monkeypatch) -> None:
    monkeypatch.setenv("CATALOG", empty_database)
    before = rows(workspace)
    assert f"{len(ROWS):,} rows now in CATALOG" in move(workspace, "CATALOG")
    assert workspace.config_file.read_text().startswith(TOML)
    assert settings(workspace) == ("CATALOG", "CATALOG")
    assert not list(workspace.root.glob("catalog.sqlite*"))
    assert rows(workspace) == before
    assert "already" in move(workspace, "CATALOG")
    with workspace.open_catalog() as catalog:
        catalog.put([Search("new", "new", "s", "open")])
        catalog.delete(Hit, "image_url", ["https://a/00000"])
    before = rows(workspace)
    move(workspace, "sqlite")
    assert settings(workspace) == ("", "")
    monkeypatch.delenv("CATALOG")
    assert rows(workspace) == before
    monkeypatch.setenv("CATALOG", empty_database)
    move(workspace, "CATALOG")
    assert rows(workspace) == before


@pytest.mark.cluster
def test_who_still_has_the_old_one_open_is_told_and_writes_nothing_that_is_lost(
    workspace, empty_database, monkeypatch
) -> None:
    monkeypatch.setenv("CATALOG", empty_database)
    for to in ("CATALOG", "sqlite"):
        with workspace.open_catalog() as of_page:
            move(workspace, to)
            with pytest.raises(WorkspaceError, match="refused a write: .*it was moved to another place meanwhile"):
                of_page.put([Override("bb", "cat", "keep")])
        assert len(rows(workspace)["Override"]) == 1


KILLED = (
    "import importlib, os, sys, pathlib\n"
    "from workspace.config.storage import changed_storage\n"
    "from workspace.moving.move import move\n"
    "from workspace.storage.lock import hold\n"
    "from workspace.storage.paths import Workspace\n"
    "place, name = sys.argv[3].split(':')\n"
    "module, _, inside = place.partition('/')\n"
    "owner = importlib.import_module(module)\n"
    "owner = getattr(owner, inside) if inside else owner\n"
    "before, calls = getattr(owner, name), []\n"
    "def killed(*args, **named):\n"
    "    calls.append(1)\n"
    "    if len(calls) == int(sys.argv[4]): os.kill(os.getpid(), 9)\n"
    "    return before(*args, **named)\n"
    "setattr(owner, name, killed)\n"
    "workspace = Workspace(pathlib.Path(sys.argv[1]))\n"
    "with hold(workspace, 'move'): move(workspace, changed_storage(workspace.storage, catalog=sys.argv[2]))\n"
)
MOMENTS = [
    ("workspace.catalog.catalog/Catalog:insert", 3),
    ("workspace.moving.catalog:_digest", 4),
    ("workspace.moving.move:_switch", 1),
    ("workspace.moving.catalog:drop_tables", 1),
    ("workspace.moving.catalog:write_note", 1),
]


@pytest.mark.cluster
@pytest.mark.parametrize("way", ["there", "back"])
@pytest.mark.parametrize(("moment", "call"), MOMENTS, ids=[moment.rpartition(":")[2] for moment, _ in MOMENTS])
def test_a_kill_loses_nothing_and_the_same_command_goes_on(
    workspace, empty_database, monkeypatch, way, moment, call
) -> None:
    monkeypatch.setenv("CATALOG", empty_database)
    to = "CATALOG"
    if way == "back":
        move(workspace, "CATALOG")
        to = "sqlite"
    before = rows(workspace)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, workspace.root, to.removeprefix("sqlite"), moment, str(call)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert rows(workspace) == before
    move(workspace, to)
    assert rows(workspace) == before
    assert settings(workspace) == (("CATALOG",) * 2 if to == "CATALOG" else ("", ""))
    assert not workspace.move_file.exists()


@pytest.mark.cluster
def test_an_interrupted_move_can_be_turned_back(workspace, empty_database, monkeypatch) -> None:
    monkeypatch.setenv("CATALOG", empty_database)
    before = rows(workspace)
    subprocess.run(
        [sys.executable, "-c", KILLED, workspace.root, "CATALOG", "workspace.moving.move:_switch", "1"],
        cwd=CHECKOUT, capture_output=True, check=False,
    )  # fmt: skip
    move(workspace, "sqlite")
    assert rows(workspace) == before
    assert settings(workspace) == ("", "")


@pytest.mark.cluster
def test_rows_that_differ_after_copying_are_an_error_and_nothing_is_switched(
    workspace, empty_database, monkeypatch
) -> None:
    monkeypatch.setenv("CATALOG", empty_database)
    whole = Catalog.insert

    def lossy(self, connection, kind, rows) -> None:
        whole(self, connection, kind, rows[1:] if kind is Download else rows)

    with patch.object(Catalog, "insert", lossy), pytest.raises(WorkspaceError, match="table downloads has other rows"):
        move(workspace, "CATALOG")
    assert workspace.config_file.read_text() == TOML
    assert len(rows(workspace)["Download"]) == 1000


@pytest.mark.cluster
def test_another_name_for_the_same_database_moves_no_row(workspace, empty_database, monkeypatch) -> None:
    monkeypatch.setenv("CATALOG", empty_database)
    monkeypatch.setenv("OTHER", empty_database.replace("127.0.0.1", "localhost"))
    before = rows(workspace)
    move(workspace, "CATALOG")
    assert "the name of the database now in OTHER" in move(workspace, "OTHER")
    assert settings(workspace) == ("OTHER", "OTHER")
    assert rows(workspace) == before


@pytest.mark.cluster
def test_from_one_database_to_another(workspace, empty_database, database_server, monkeypatch) -> None:
    import psycopg

    before = rows(workspace)
    monkeypatch.setenv("CATALOG", empty_database)
    move(workspace, "CATALOG")
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA third")
        monkeypatch.setenv("THIRD", f"{database_server}?options=-csearch_path%3Dthird")
        move(workspace, "THIRD")
        monkeypatch.delenv("CATALOG")
        assert rows(workspace) == before
        connection.execute("DROP SCHEMA third CASCADE")


@pytest.mark.cluster
def test_a_workspace_in_use_or_a_database_of_another_is_refused(
    workspace, empty_database, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("CATALOG", empty_database)
    with hold(workspace, "run"), pytest.raises(WorkspaceBusy, match="in use by `run`"):
        move(workspace, "CATALOG")
    move(workspace, "CATALOG")
    other = Workspace(tmp_path / "bears")
    other.root.mkdir()
    other.config_file.write_text(TOML)
    with pytest.raises(WorkspaceError, match="holds the catalogue of another workspace"):
        move(other, "CATALOG")
    assert other.config_file.read_text() == TOML
    assert not other.move_file.exists()
