"""A scratch folder of a process that ended is deleted by the next one."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from workspace.files.scratch import scratch_folder


def test_only_folders_of_processes_that_ended_are_deleted_and_no_signal_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(process: int, number: int) -> None:
        raise AssertionError(f"signal {number} to {process}: on Windows 0 is Ctrl-C ({signal.SIGINT.name})")

    monkeypatch.setattr(psutil, "pid_exists", lambda process: process == 222)
    monkeypatch.setattr(os, "kill", refused)
    for name in ("111-abc", "222-abc", "notes"):
        (tmp_path / name).mkdir()
    folder = scratch_folder(tmp_path)
    assert folder.is_dir() and folder.name.startswith(f"{os.getpid()}-")
    assert {path.name for path in tmp_path.iterdir()} == {"222-abc", "notes", folder.name}
