"""A workspace that an earlier version made opens, answers as it did and goes on (tests/fixtures/workspace_f6f4cc8)."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

FIXTURE = Path(__file__).parents[1] / "fixtures" / "workspace_f6f4cc8"
RUN_ID = "ca92016b5032"
RUN = Path("workspace/runs") / RUN_ID
CLEANED = "kept 42, same_bytes 0, truncated 1, too_small 1, near_copy 1"
ANSWERED_AT = 0.7  # the --accept of the recorded answers


@pytest.fixture(autouse=True)
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacks it into the current folder, which its settings are relative to."""
    with tarfile.open(FIXTURE / "workspace.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)


def run(command: str, *words: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, [command, "--workspace", "workspace", *words])
    assert result.exit_code == exit_code, f"{command}: {result.output}"
    return result.stdout


def test_status_tells_what_is_there(capfd: pytest.CaptureFixture[str]) -> None:
    text = run("status") + capfd.readouterr().out
    assert f"{RUN_ID}, 41 pictures, test accuracy 0.667 on 6" in text
    assert "other settings" not in text  # a former default counts as today's


def test_predict_answers_as_it_did() -> None:
    recorded = [json.loads(line) for line in (FIXTURE / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    printed = run("predict", "--format", "json", "--accept", str(ANSWERED_AT), "pictures", exit_code=1)
    answers = [json.loads(line) for line in printed.splitlines()]
    assert [answer["picture"] for answer in answers] == [answer["picture"] for answer in recorded]
    for now, then in zip(answers, recorded, strict=True):
        assert ("error" in now) == ("error" in then)
        if "error" not in then:
            assert (now["label"], now["best"]) == (then["label"], then["best"])
            assert now["probabilities"] == pytest.approx(then["probabilities"], abs=1e-4)
            assert now["distance"] == pytest.approx(then["distance"], abs=1e-4)
    assert {"none", "circle", "square", "triangle"} <= {answer["label"] for answer in answers if "label" in answer}


def test_every_step_goes_on_where_the_old_version_stopped() -> None:
    model = (RUN / "model/model.safetensors").read_bytes()
    assert run("search").startswith("search: 0 done")
    assert run("download").startswith("download: 0 done")
    assert CLEANED in run("clean")
    assert "pictures 41" in run("features")
    run("curate")
    assert run("train").startswith("train: 0 done")
    assert run("evaluate").startswith("evaluate: 6 done")  # it measures otherwise than that version
    assert run("evaluate").startswith("evaluate: 0 done")
    assert run("publish").startswith("publish: 0 done")
    assert "pictures credited 41" in run("report")
    assert run("split").startswith("split: 41 done")  # the recipe is another: a new run of the same pictures
    assert Path("workspace/runs/latest").read_text().strip() != RUN_ID
    assert json.loads(Path("workspace/models/champion.json").read_text())["champion"] == RUN_ID  # it goes on answering
    assert (RUN / "model/model.safetensors").read_bytes() == model


def test_a_report_is_written_from_the_files_of_the_old_run() -> None:
    run("clean")
    (RUN / "report.html").unlink()
    (RUN / "model/README.md").unlink()
    assert run("report").startswith("report: 1 done")
    page = (RUN / "report.html").read_text(encoding="utf-8")
    card = (RUN / "model/README.md").read_text(encoding="utf-8")
    assert json.loads((RUN / "regime.json").read_text())["regime"] in page
    assert "circle" in card
    assert "timm:test_convnext" in card


def test_the_old_run_is_measured_and_published_anew() -> None:
    run("clean")
    before = json.loads((RUN / "metrics.json").read_text())
    (RUN / "metrics.json").unlink()
    run("evaluate")
    after = json.loads((RUN / "metrics.json").read_text())
    for part in (lambda read: read["splits"]["test"], lambda read: read["cross_validation"]):
        assert part(after)["accuracy"]["value"] == pytest.approx(part(before)["accuracy"]["value"])
    shutil.rmtree("workspace/models")
    assert "published 1" in run("publish")
    assert json.loads(Path("workspace/models/champion.json").read_text())["champion"] == RUN_ID
