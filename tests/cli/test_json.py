"""--json: every command that has it prints its document, with the keys of its model, and nothing else on stdout."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError
from typer.main import get_command

from cli import main as program
from cli.documents.base import Failure
from cli.documents.registry import DOCUMENTS
from workspace.catalog.records import StepCounts
from workspace.errors import WorkspaceError
from workspace.terminal import CONSOLE

FIXTURE = Path(__file__).parents[1] / "fixtures" / "workspace_f6f4cc8"
RUN_ID = "ca92016b5032"
COMMANDS: dict[str, Any] = get_command(program.app).commands  # type: ignore[attr-defined]
# In an order in which each finds what it needs: split makes a run without a model the latest one.
WORDS: dict[str, str] = {
    **dict.fromkeys(("search", "download", "clean", "features", "curate"), "-w workspace"),
    **dict.fromkeys(("train", "evaluate", "report", "publish"), "-w workspace"),
    "collect": "-w workspace",
    "status": "-w workspace",
    "models": "-w workspace",
    "run": "-w workspace",
    "demo": "-w workspace",
    "retrain": "-w workspace",
    "watch": "-w workspace",
    "export": "-w workspace --to imagefolder --out exported",
    "init": "-w new",
    "sources": "",
    "retry": "-w workspace",
    "leaks": "-w workspace --against pictures",
    "forget": "-w workspace --license nc --dry-run",
    "rename": "-w workspace circle disc",
    "estimate": "-w workspace",
    "prune": "-w workspace --dry-run",
    "move": "-w workspace --to local",
    "deploy": "",
    "split": "-w workspace",
}
EXIT_CODES = {"leaks": 3}

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch, capfd) -> Call:
    """Call the command line as a program does; what it writes on standard output, by whatever way, comes back."""

    def run(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        monkeypatch.setattr("sys.argv", ["collect-and-train", *words])
        with pytest.raises(SystemExit) as ended:
            program.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, capfd.readouterr().out

    return run


@pytest.fixture
def old(tmp_path, monkeypatch) -> None:
    with tarfile.open(FIXTURE / "workspace.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)


def without_prefect(monkeypatch) -> None:
    """Flows that find their work done; what they print is Prefect's, and a test of its own runs one for real."""
    counts = {name: StepCounts(name, reused=1) for name in ("search", "clean", "publish")}
    monkeypatch.setattr("flows.server.local.prepare_server", lambda: None)
    monkeypatch.setattr("flows.collect_and_train.collect_and_train", lambda **_: counts)
    monkeypatch.setattr("flows.retrain.retrain", lambda **_: counts)
    monkeypatch.setattr("flows.watch.watch", lambda workspace: {workspace: 3})
    monkeypatch.setattr("flows.server.local.server_that_answers", lambda: "http://127.0.0.1:4200/api")
    monkeypatch.setattr("flows.server.deployments.register", lambda *_: None)


def document_of(name: str, text: str) -> dict[str, Any]:
    value = json.loads(text)
    DOCUMENTS[name].model_validate(value)
    return value


def test_every_command_answers_with_its_document_alone(old, call, monkeypatch) -> None:
    without_prefect(monkeypatch)
    found = {}
    for name, words in WORDS.items():
        code, text = call(name, *words.split(), "--json")
        assert code == EXIT_CODES.get(name, 0), (name, text)
        found[name] = document_of(name, text)
    assert found.keys() | {"predict", "rollback"} == DOCUMENTS.keys()
    assert found["clean"]["counts"]["kept"] == 42
    assert found["evaluate"]["run_id"] == found["run"]["run_id"] == RUN_ID
    assert found["evaluate"]["scores"]["test"]["pictures"] == 6
    assert found["run"]["scores"] == found["status"]["last_run"]["scores"] != None  # noqa: E711
    assert found["publish"]["live_model"] == found["models"]["live_model"] == found["status"]["live_model"]["run_id"]
    assert found["status"]["classes"]["circle"]["kept"] > 0
    assert found["watch"] == {"new": {"workspace": 3}}
    assert found["leaks"]["leaks"][0].keys() == {"kind", "label", "sha256", "outside"}
    assert found["rename"]["notes"]
    assert Path(found["init"]["file"]).is_file()


def test_predict_prints_a_document_for_each_picture(old, call) -> None:
    code, text = call("predict", "-w", "workspace", "pictures", "--json")
    lines = [document_of("predict", line) for line in text.splitlines()]
    assert code == 1 and len(lines) > 3
    assert {"error" in line for line in lines} == {True, False}


def test_rollback_prints_the_decision(old, call, monkeypatch) -> None:
    from workspace.storage.champion import Decision

    back = Decision("r1", "rolled_back", "r1", "by hand", "2026-01-01T00:00:00+00:00")
    monkeypatch.setattr("workspace.storage.champion.roll_back", lambda *_: back)
    assert document_of("rollback", call("rollback", "-w", "workspace", "--json")[1])["live_model"] == "r1"


def test_without_it_every_command_answers_as_ever(old, call) -> None:
    assert call("clean", "-w", "workspace")[1].startswith("clean: ")
    assert "circle" in call("status", "-w", "workspace")[1]


@pytest.mark.parametrize("name", ["run", "retrain"])
def test_a_quiet_run_prints_its_result(name: str, old, call, monkeypatch) -> None:
    without_prefect(monkeypatch)
    monkeypatch.setattr(CONSOLE, "quiet", False)  # and so after the test
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "INFO")
    code, text = call(name, "-w", "workspace", "-q")
    assert code == 0 and "accuracy" in text


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTS if name not in {"sources", "init", "demo", "models", "deploy"}]
)
def test_a_failure_is_a_document_too_with_the_same_exit_code(name: str, tmp_path, call, monkeypatch) -> None:
    def fails(**_: object) -> None:
        raise WorkspaceError("no")

    monkeypatch.setattr("flows.server.local.prepare_server", lambda: None)
    monkeypatch.setattr("flows.watch.watch", fails)
    words = [word for word in WORDS.get(name, "-w workspace").split() if word not in {"-w", "workspace"}]
    folder = tmp_path / "none"
    folder.mkdir()
    words = [name, "-w", str(folder), *words, *(["x.jpg"] if name == "predict" else [])]
    plain, silent = call(*words)
    code, text = call(*words, "--json")
    assert (plain, silent) == (1, "")
    assert text.count("\n") == 1  # who reads predict's lines reads this one too
    failure = Failure.model_validate_json(text)
    assert (code, failure.exit_code) == (1, 1)
    assert failure.kind.endswith("Error") and failure.error


@pytest.mark.parametrize("name", DOCUMENTS)
def test_wrong_usage_is_a_document_with_exit_code_2(name: str, call) -> None:
    code, text = call(name, "--no-such-option", "--json")
    failure = Failure.model_validate_json(text)
    assert (code, failure.exit_code, failure.kind, text.count("\n")) == (2, 2, "UsageError", 1)
    assert "--no-such-option" in failure.error


def test_a_command_that_serves_a_page_refuses_it_in_json(call) -> None:
    code, text = call("serve", "--json")
    assert (code, json.loads(text)["exit_code"]) == (2, 2)


def test_ctrl_c_is_a_document_with_exit_code_130(call, monkeypatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workspace.resolve.open_workspace", stopped)
    code, text = call("status", "-w", "x", "--json")
    assert (code, Failure.model_validate_json(text).exit_code) == (130, 130)


def test_forget_asks_nobody_where_a_program_reads_the_answer(old, call) -> None:
    code, text = call("forget", "-w", "workspace", "--license", "nc", "--json")
    assert code == 2 and "--yes" in json.loads(text)["error"]


def test_all_commands_with_a_document_have_the_option_and_no_other() -> None:
    having = {name for name, command in COMMANDS.items() if any("--json" in param.opts for param in command.params)}
    assert having == DOCUMENTS.keys()
    assert COMMANDS.keys() - having == {"review", "serve", "gallery", "up"}


def test_the_help_says_which_command_prints_a_document_in_each_line() -> None:
    helps = {
        name: next(param.help for param in COMMANDS[name].params if "--json" in param.opts)  # type: ignore[attr-defined]
        for name in DOCUMENTS
    }
    assert {name for name, text in helps.items() if "one a line (JSON Lines)" in text} == {"predict"}
    assert all("one JSON document, and nothing else" in text for name, text in helps.items() if name != "predict")


def test_a_document_with_another_key_is_no_document_of_ours() -> None:
    with pytest.raises(ValidationError):
        Failure.model_validate({"error": "x", "kind": "y", "exit_code": 1, "more": 2})


def test_names_that_are_not_utf8_and_progress_leave_standard_output_json(tmp_path) -> None:
    """As a program of its own: what a library prints would be seen."""
    folder = tmp_path / "photos"
    for label in ("ape", "bee"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (80, 70), (number * 50, 90, 40)).save(folder / label / f"ä {number}.png")
    words = ["collect", "--photos", str(folder), "-w", str(tmp_path / "w"), "--json"]
    done = subprocess.run([sys.executable, "-m", "cli.main", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [step["step"] for step in document_of("collect", done.stdout)["steps"]] == ["search", "download", "clean"]
