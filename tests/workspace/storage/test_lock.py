import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from filelock import lock_descriptor

from workspace.errors import WorkspaceError
from workspace.storage.lock import WorkspaceBusy, _boot, hold, lock_owner
from workspace.storage.paths import Workspace

CHECKOUT = Path(__file__).resolve().parents[3]
HOLD = (
    "import sys, time, pathlib\n"
    "from workspace.storage.lock import hold\nfrom workspace.storage.paths import Workspace\n"
    "with hold(Workspace(pathlib.Path(sys.argv[1])), 'retrain'): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def other(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
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


def test_a_second_writer_is_told_who_is_at_work_until_that_one_is_gone_however_it_went(tmp_path, other) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(WorkspaceBusy, match=f"in use by `retrain` .process {other.pid} on .*wait for it") as caught:
        hold(workspace, "run").__enter__()
    assert caught.value.owner == lock_owner(workspace)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert lock_owner(workspace) is None
    with hold(workspace, "run"):
        assert lock_owner(workspace).what == "run"  # type: ignore[union-attr]
    assert lock_owner(workspace) is None


HOLD_WITH_A_CHILD = (
    "import subprocess, sys, time, pathlib\n"
    "from workspace.storage.lock import hold\nfrom workspace.storage.paths import Workspace\n"
    "with hold(Workspace(pathlib.Path(sys.argv[1])), 'retrain'):\n"
    "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False)\n"
    "    print(child.pid, flush=True); time.sleep(60)"
)


def test_a_child_process_that_outlives_its_killed_parent_does_not_keep_the_lock(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD_WITH_A_CHILD, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    try:
        assert lock_owner(workspace).pid == parent.pid  # type: ignore[union-attr]
        parent.kill()
        parent.wait()
        assert child.is_running()
        assert lock_owner(workspace) is None
        with hold(workspace, "run"):
            pass
    finally:
        child.kill()
        parent.stdout.close()


def test_whoever_only_looks_at_the_lock_stops_nobody(tmp_path, monkeypatch) -> None:
    looks = iter([False])  # somebody looks at this very moment

    def taken_for_an_instant(handle: int, *, blocking: bool) -> bool:
        return next(looks, True) and lock_descriptor(handle, blocking=blocking)

    monkeypatch.setattr("workspace.storage.lock.lock_descriptor", taken_for_an_instant)
    with hold(Workspace(tmp_path), "run"):
        assert lock_owner(Workspace(tmp_path)).what == "run"  # type: ignore[union-attr]


def test_its_owner_can_be_read_without_the_first_byte_which_windows_locks(tmp_path) -> None:
    with hold(Workspace(tmp_path), "run"):
        written = Workspace(tmp_path).lock_file.read_bytes()
    assert written[:1] == b" " and json.loads(written[1:])["what"] == "run"


def test_waiting_takes_the_lock_as_soon_as_it_is_free(tmp_path, other) -> None:
    other.terminate()
    with hold(Workspace(tmp_path), "run", wait_s=30):
        pass


def test_an_owner_of_another_machine_that_did_not_sign_off_counts_as_alive(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    owner = {"what": "retrain", "host": "elsewhere", "pid": 1, "started": "2026-01-01T00:00:00+00:00"}
    workspace.lock_file.write_text(json.dumps(owner))
    with pytest.raises(WorkspaceBusy, match=f"on another machine.*delete {workspace.lock_file}"):
        hold(workspace, "run").__enter__()
    workspace.lock_file.unlink()
    with hold(workspace, "run"):
        pass


def test_a_killed_container_of_this_machine_does_not_keep_the_lock_though_the_next_one_has_another_name(
    tmp_path, other, monkeypatch
) -> None:
    workspace = Workspace(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "the-next-container")
    with pytest.raises(WorkspaceBusy, match=r"in use by `retrain`"):
        hold(workspace, "run").__enter__()
    other.kill()
    other.wait()
    assert lock_owner(workspace) is None
    with hold(workspace, "run"):
        pass


def test_a_mac_whose_name_follows_the_network_is_the_same_machine(tmp_path, monkeypatch) -> None:
    program = tmp_path / "bin" / "sysctl"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$*" = "-n kern.bootsessionuuid" ] && echo 5C71\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _boot.__wrapped__() == "5C71"
    program.unlink()
    monkeypatch.setenv("PATH", str(program.parent))
    assert _boot.__wrapped__() == ""


def test_a_half_written_lock_is_nobody_s(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    workspace.lock_file.write_text('{"what": "ret')
    with hold(workspace, "run"):
        pass


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="file is a file, not a folder; name another"):
        hold(Workspace(tmp_path / "file" / "below"), "run").__enter__()


def test_a_disk_that_is_full_to_the_last_byte_is_an_error_with_a_remedy(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(WorkspaceError, match=r"cannot write .*lock.json: No space left on device; free some space"):
        hold(Workspace(tmp_path), "run").__enter__()
    monkeypatch.undo()
    with hold(Workspace(tmp_path), "run"):
        pass


def test_a_disk_without_locks_is_no_other_process(tmp_path, monkeypatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("workspace.storage.lock.lock_descriptor", none)
    with pytest.raises(WorkspaceError, match="cannot write .*No locks available"):
        hold(Workspace(tmp_path), "run", wait_s=60).__enter__()
