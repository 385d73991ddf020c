"""The lock of a workspace whose catalogue is on PostgreSQL: the same words as with a file, for all machines."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workspace.errors import WorkspaceError
from workspace.storage.lock import WorkspaceBusy, hold, lock_owner
from workspace.storage.paths import Workspace

pytestmark = pytest.mark.cluster
CHECKOUT = Path(__file__).resolve().parents[3]
HOLD = (
    "import sys, time, pathlib\n"
    "from workspace.storage.lock import hold\nfrom workspace.storage.paths import Workspace\n"
    "with hold(Workspace(pathlib.Path(sys.argv[1])), 'retrain'): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def workspace(tmp_path, empty_database, monkeypatch) -> Workspace:
    monkeypatch.setenv("CATALOG", empty_database)
    (tmp_path / "workspace.toml").write_text('[storage]\ncatalog = "CATALOG"\n')
    return Workspace(tmp_path)


@pytest.fixture
def other(workspace):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, workspace.root],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_is_told_who_is_at_work_until_that_one_is_killed(workspace, other) -> None:
    with pytest.raises(WorkspaceBusy, match=f"in use by `retrain` .process {other.pid} on .*wait for it") as caught:
        hold(workspace, "run").__enter__()
    assert caught.value.owner == lock_owner(workspace)
    other.send_signal(signal.SIGKILL)
    other.wait()
    with hold(workspace, "run", wait_s=60):
        assert lock_owner(workspace).what == "run"  # type: ignore[union-attr]
    assert lock_owner(workspace) is None
    assert not workspace.lock_file.exists()


def test_waiting_says_for_whom_and_takes_the_lock_as_soon_as_it_is_free(workspace, other) -> None:
    said: list[str] = []

    def on_wait(text: str) -> None:
        said.append(text)
        other.terminate()

    with hold(workspace, "run", wait_s=30, on_wait=on_wait):
        assert len(said) == 1
        assert "`retrain`" in said[0]


def test_an_error_in_the_block_frees_the_lock(workspace) -> None:
    with pytest.raises(ZeroDivisionError), hold(workspace, "run"):
        raise ZeroDivisionError
    assert lock_owner(workspace) is None
    with hold(workspace, "run"):
        pass


def test_two_workspaces_do_not_wait_for_each_other(workspace, database_server, tmp_path, monkeypatch) -> None:
    import psycopg

    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA second")
        monkeypatch.setenv("SECOND", f"{database_server}?options=-csearch_path%3Dsecond")
        (tmp_path / "second").mkdir()
        (tmp_path / "second" / "workspace.toml").write_text('[storage]\ncatalog = "SECOND"\n')
        with hold(workspace, "run"), hold(Workspace(tmp_path / "second"), "run"):
            pass
        connection.execute("DROP SCHEMA second CASCADE")


def test_a_lock_that_was_lost_on_the_way_is_an_error_at_the_end(workspace, database_server) -> None:
    import psycopg

    with (
        pytest.raises(WorkspaceError, match="the lock of .* was lost, .*run the same command again") as caught,
        hold(workspace, "run"),
        psycopg.connect(database_server, autocommit=True) as connection,
    ):
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'collect-and-train'"
        )
    assert "\n" not in str(caught.value)


def test_the_server_looks_after_a_machine_that_has_vanished(workspace) -> None:
    from workspace.database.shared import AdvisoryLock
    from workspace.storage.location.catalog import catalog_address

    workspace.open_catalog().close()
    address = catalog_address(workspace)
    assert address is not None
    with AdvisoryLock(address, "x") as lock:
        assert lock.try_take("me")
        settings = [
            lock._connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
        ]
    assert settings == ["30", "10", "3"]
