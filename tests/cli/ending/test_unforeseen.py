"""The net under every command: whatever was not foreseen is one sentence, with the place of its traceback."""

import errno
import os
import re
import tempfile
from pathlib import Path

import pytest

from cli import main as program
from cli.app import app

FAULTS = {
    "No space left on device; free some space, then": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/x"),
    "/deep/name: File name too long; use a shorter name": OSError(
        errno.ENAMETOOLONG, "File name too long", "/deep/name"
    ),
    "Permission denied; give yourself the permission": PermissionError(errno.EACCES, "Permission denied", "/x"),
    "a fault of this program, ValueError: embedded null byte; please report it": ValueError("embedded null byte"),
    "a fault of this program, RuntimeError: a file or a stream ended too early: No data left": EOFError("No data left"),
    "UnicodeDecodeError: 'utf-8' codec": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "not enough memory; end other programs": MemoryError(),
    "KeyError: 'a [red] key'; please report it": KeyError("a [red] key"),
    "ZeroDivisionError: without a text": ZeroDivisionError(),
}


@pytest.fixture
def fail(monkeypatch, capsys):
    """Run a command that raises; returns what it printed."""

    def run(error: BaseException) -> str:
        def status(*_: object) -> None:
            raise error

        monkeypatch.setattr("workspace.resolve.open_workspace", status)
        monkeypatch.setattr("sys.argv", ["collect-and-train", "status", "-w", "/nowhere"])
        with pytest.raises(SystemExit) as ended:
            program.main()
        assert ended.value.code == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        return shown.err

    return run


@pytest.mark.parametrize("words", FAULTS)
def test_it_is_one_line_and_the_traceback_is_in_a_file(fail, tmp_path, monkeypatch, words) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shown = fail(FAULTS[words])
    assert words in shown and shown.count("\n") == 1
    file = Path(re.search(r"the traceback is in (\S+)", shown).group(1))  # type: ignore[union-attr]
    assert "Traceback (most recent call last)" in file.read_text()


def test_where_the_traceback_cannot_be_written_its_last_line_is_named(fail, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    shown = fail(OSError(errno.ENOSPC, "No space left on device", "/full/x"))
    assert re.search(r"it came from line \d+ of .*test_unforeseen.py \(the traceback could not be written", shown)


def test_a_person_s_ctrl_c_is_no_fault(monkeypatch, capsys) -> None:
    def status(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workspace.resolve.open_workspace", status)
    with pytest.raises(SystemExit):
        app(["status", "-w", "/nowhere"])
    assert "Traceback" not in capsys.readouterr().err
