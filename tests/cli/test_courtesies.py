"""What every command line of today has: a version, quiet, no colours where none are wanted, exit codes, completion."""

import logging
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main as program
from cli.app import app
from workspace.catalog.records import StepCounts
from workspace.progress import Progress
from workspace.resolve import open_workspace
from workspace.terminal import CONSOLE, LogProgress, be_quiet, progress_reporter

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch) -> None:
    monkeypatch.setattr(CONSOLE, "quiet", False)
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "INFO")


def command_line(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    command = [sys.executable, "-m", "cli.main", *words]
    return subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=60)


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"collect-and-train {version('collect-and-train')}\n")


@pytest.mark.parametrize("word", ["-q", "--quiet"])
def test_quiet_leaves_out_what_is_said_beside_the_answers_and_prefects_log(word: str, tmp_path: Path) -> None:
    init = ["init", "-w", str(tmp_path / "loud")]
    assert "then: collect-and-train run" in CliRunner().invoke(app, init).stderr
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "INFO"
    result = CliRunner().invoke(app, ["init", "-w", str(tmp_path / "quiet"), word])
    assert (result.exit_code, result.output) == (0, f"Wrote {tmp_path / 'quiet' / 'workspace.toml'}.\n")
    assert (tmp_path / "quiet" / "workspace.toml").exists()
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "WARNING"
    answer = CliRunner().invoke(app, [word, "status", "-w", str(tmp_path / "quiet")])
    assert "red panda" in answer.stdout


def test_quiet_shows_no_bars_on_a_terminal_and_warns_all_the_same(monkeypatch, caplog) -> None:
    monkeypatch.setattr(CONSOLE, "_force_terminal", True)

    def kind_of_progress() -> type[Progress]:
        with progress_reporter(logging.getLogger("a step")) as progress:
            progress.warn("another network was used")
            return type(progress)

    assert kind_of_progress() is not LogProgress
    assert caplog.records == []
    be_quiet()
    assert kind_of_progress() is LogProgress
    assert [record.message for record in caplog.records] == ["another network was used"]


def test_a_step_says_in_lines_what_it_does_where_there_is_no_terminal(monkeypatch, capsys, tmp_path) -> None:
    def run(_workspace: object, _config: object, progress: Progress, **_: object) -> StepCounts:
        progress.say("regime frozen")
        progress.warn("random weights")
        return StepCounts("clean", 3, 0)

    monkeypatch.setattr("preprocessing.clean.run", run)
    open_workspace(tmp_path, ["cat", "dog"])

    def said(*words: str) -> tuple[str, list[str]]:
        monkeypatch.setattr("sys.argv", ["collect-and-train", "clean", "-w", str(tmp_path), *words])
        with pytest.raises(SystemExit):
            program.main()
        shown = capsys.readouterr()
        return shown.out, [line.partition(" | ")[2] for line in shown.err.splitlines()]

    result = StepCounts("clean", 3, 0).line() + "\n"
    assert said() == (result, ["INFO    | regime frozen", "WARNING | random weights"])
    assert said("-q") == (result, ["WARNING | random weights"])


def test_a_failure_is_told_to_who_wants_quiet(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["collect-and-train", "-q", "status", "-w", "/nowhere"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("Error:")


def test_no_color_leaves_out_colours(tmp_path: Path) -> None:
    words = ("status", "-w", str(tmp_path / "none"))
    assert COLOUR.search(command_line(*words, FORCE_COLOR="1").stderr)
    plain = command_line(*words, FORCE_COLOR="1", NO_COLOR="1").stderr
    assert "Error:" in plain and not COLOUR.search(plain)


def test_the_exit_codes_are_those_that_help_names(tmp_path: Path, monkeypatch) -> None:
    codes = CliRunner().invoke(app, ["--help"]).output.partition("Exit codes:")[2]
    assert set(map(int, re.findall(r"\b\d+\b", codes))) == {0, 1, 2, 3, 130, 143}

    def code_of(*words: str) -> int | str | None:
        monkeypatch.setattr("sys.argv", ["collect-and-train", *words])
        with pytest.raises(SystemExit) as ended:
            program.main()
        return ended.value.code

    assert code_of("init", "-w", str(tmp_path)) == 0
    assert code_of("status", "-w", str(tmp_path / "none")) == 1
    assert code_of("status", "--no-such-option") == 2

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workspace.resolve.open_workspace", stopped)
    assert code_of("status", "-w", str(tmp_path)) == 130


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_the_names_of_commands(shell: str) -> None:
    asked = {
        "_COLLECT_AND_TRAIN_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "collect-and-train pre",
        "COMP_CWORD": "1",
    }
    asked |= {"_TYPER_COMPLETE_ARGS": "collect-and-train pre", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    result = CliRunner().invoke(app, [], env=asked, prog_name="collect-and-train")
    assert "predict" in result.output and "publish" not in result.output


def test_help_says_how_completion_is_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output
