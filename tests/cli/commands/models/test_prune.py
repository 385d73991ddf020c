"""`prune`: which models go, what of their runs stays, and what the next commands say."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from workspace.clock import utc_now
from workspace.resolve import open_workspace
from workspace.storage.champion import Decision, record_decision, roll_back
from workspace.storage.paths import Workspace


@pytest.fixture
def nights(tmp_path) -> Workspace:
    """Six nights: a to d went live one after the other, e and f did not; f is the latest run."""
    workspace, _ = open_workspace(tmp_path / "w", ["cat", "dog"])
    for run_id in "abcdef":
        run = workspace.run(run_id)
        run.model.mkdir(parents=True)
        for file in (run.card_file, run.weights_file, run.model / "extra" / "deep.bin", run.report_file):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"x" * 1000)
        live = run_id in "abcd"
        action, champion = ("published", run_id) if live else ("kept_champion", "d")
        record_decision(workspace, Decision(run_id, action, champion, "why", utc_now()))
    workspace.point_to("f")
    return workspace


def prune(workspace: Workspace, *words: str) -> dict[str, object]:
    done = CliRunner().invoke(app, ["prune", "-w", str(workspace.root), "--json", *words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(("keep", "gone"), [("0", "abce"), ("2", "ae"), ("9", "e")])
def test_all_go_but_the_live_one_the_latest_and_those_that_were_live_last(nights, keep, gone) -> None:
    shown = prune(nights, "--keep", keep, "--dry-run")
    assert shown == {"workspace": str(nights.root), "changed": False, "runs": [*gone], "bytes": 3000 * len(gone)}
    assert nights.run("a").has_model
    assert prune(nights, "--keep", keep) == shown | {"changed": True}
    for run_id in "abcdef":
        run = nights.run(run_id)
        assert run.model.exists() == run.has_model == (run_id not in gone), run_id
        assert run.report_file.is_file()
    assert prune(nights, "--keep", keep)["runs"] == []
    if keep != "0":
        assert roll_back(nights).champion == "c"


def test_without_decisions_only_the_latest_run_keeps_its_model(nights) -> None:
    (nights.root / "models" / "decisions.jsonl").unlink()
    (nights.root / "models" / "champion.json").unlink()
    assert prune(nights)["runs"] == [*"abcde"]
