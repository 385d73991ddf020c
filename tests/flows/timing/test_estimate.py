"""Estimates: measured on this machine or absent, and made of the work that is left."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from flows.inputs import open_inputs
from flows.step_table import Phase, find_step, steps_of
from flows.timing.estimate import StepEstimate, estimate_steps
from flows.timing.rates import keep_rate, rates_file, read_rate
from flows.timing.work import Work, work_done
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.progress import Silent
from workspace.storage.paths import Workspace
from workspace.storage.run import open_run

FIXTURE = Path(__file__).parents[2] / "fixtures" / "workspace_f6f4cc8" / "workspace.tar.xz"
STEPS = steps_of(Phase.COLLECT, Phase.DATASET, Phase.RUN)


class Told(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(autouse=True)
def no_rates(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COLLECT_AND_TRAIN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def opened(tmp_path) -> tuple[Workspace, WorkspaceConfig]:
    """A new workspace of 2 classes with 10 photographs each, and a note that is no picture."""
    for label in ("ape", "bee"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(10):
            noise = np.random.default_rng((number, ord(label[0]))).integers(0, 256, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((160, 120)).save(folder / f"{number}.png")
        (folder / "notes.txt").write_text("no picture")
    settings = {"train.epochs": 4, "train.folds": 5, "split.train": 0.6, "split.val": 0.2, "split.test": 0.2}
    inputs = open_inputs(tmp_path / "w", (), tmp_path / "photos", settings)
    return inputs.workspace, inputs.config


def estimated(opened: tuple[Workspace, WorkspaceConfig]) -> dict[str, StepEstimate]:
    return {one.step: one for one in estimate_steps(STEPS, *opened)}


def test_what_was_never_measured_is_unknown_and_says_so(opened) -> None:
    found = estimated(opened)
    assert {name: one.work.left for name, one in found.items()} == {
        **dict.fromkeys(("search", "download", "clean", "features", "curate", "evaluate", "report"), 20),
        "train": 13 * 4 + 16,  # of 16 pictures to learn from, 13 in the first part
        "publish": 0,
    }
    assert {name for name, one in found.items() if one.seconds is not None} == {"publish"}
    assert found["features"].basis == "no `features` with resnet50 on auto was measured on this machine yet"


def test_what_waits_in_the_inbox_is_counted_and_needs_no_search(opened, tmp_path) -> None:
    workspace, config = opened
    for name in ("1", "2", "3"):
        file = workspace.inbox / "ape" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tmp_path / "photos" / "ape" / f"{name}.png", file)
    found = estimated(opened)
    assert [found[name].work.left for name in ("search", "download", "clean", "features")] == [20, 20, 23, 23]
    few = config.model_copy(update={"search": config.search.model_copy(update={"per_class": 10})})
    found = estimated((workspace, few))
    assert [found[name].work.left for name in ("search", "download", "clean")] == [17, 17, 20]
    find_step("inbox").run(workspace, few)
    found = estimated((workspace, few))
    assert [found[name].work.left for name in ("search", "download", "clean")] == [17, 17, 20]


def test_a_step_is_measured_and_its_rate_counts_for_other_workspaces(opened) -> None:
    workspace, config = opened
    for name in ("search", "download", "clean"):
        assert find_step(name).run(workspace, config).done == 20, name
        rate = read_rate(f"{name} {'workers=0' if name == 'clean' else 'folder'}")
        assert rate is not None and rate.units == 20 and rate.seconds > 0
    found = estimated(opened)
    assert [found[name].work.left for name in ("search", "download", "clean", "features")] == [0, 0, 0, 20]
    assert found["clean"].seconds == 0
    new = estimated((Workspace(workspace.root / "other"), config))
    rate = read_rate("clean workers=0")
    assert rate is not None and new["clean"].seconds == pytest.approx(20 * rate.seconds / 20)
    assert "measured here until" in new["clean"].basis and "over 20" in new["clean"].basis
    before = rates_file().read_text()
    assert find_step("clean").run(workspace, config).done == 0  # nothing was done, so nothing is measured
    assert rates_file().read_text() == before


def test_a_rate_of_another_network_is_none_of_this_one(opened) -> None:
    keep_rate("features efficientnet_lite0 on auto", 100, 10)
    assert estimated(opened)["features"].seconds is None
    keep_rate("features resnet50 on auto", 100, 10)
    assert estimated(opened)["features"].seconds == pytest.approx(2)


def test_older_measurements_count_half_and_a_damaged_file_counts_as_none() -> None:
    keep_rate("clean", 100, 100)
    keep_rate("clean", 100, 10)
    rate = read_rate("clean")
    assert rate is not None and rate.seconds_per_unit == pytest.approx(60 / 150)
    rates_file().write_text("{")
    assert read_rate("clean") is None
    rates_file().write_text(json.dumps({"format": 1, "rates": {"clean": {"units": "x"}}}))
    assert read_rate("clean") is None
    keep_rate("clean", 10, 5)
    assert read_rate("clean") is not None


def test_many_small_runs_do_not_drown_a_large_one() -> None:
    """Of a run of two pictures nearly all is the start of a process."""
    keep_rate("clean", 1000, 35)
    for _ in range(10):
        keep_rate("clean", 2, 8)
    rate = read_rate("clean")
    assert rate is not None and rate.seconds_per_unit < 0.2


def test_rates_that_cannot_be_written_stop_nothing(monkeypatch, tmp_path, opened) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COLLECT_AND_TRAIN_CACHE", str(tmp_path / "file" / "below"))
    assert find_step("search").run(*opened).done == 20


def test_a_long_step_says_before_how_long_it_will_take_and_a_short_one_nothing(opened) -> None:
    workspace, config = opened
    for seconds, said in ((9.0, []), (200.0, ["search: 20 hits, about 3 min"])):
        rates_file().unlink(missing_ok=True)
        keep_rate("search folder", 20, seconds)
        told = Told()
        find_step("search").run(Workspace(workspace.root / f"{seconds}"), config, told)
        assert [text.partition(" (")[0] for text in told.said if text.startswith("search")] == said


def test_a_trained_workspace_has_nothing_left_and_a_new_setting_has_training_left(tmp_path, monkeypatch) -> None:
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["estimate", "-w", "workspace", "--json", "--set", "train.folds=3"])
    steps = {step["step"]: step for step in json.loads(result.stdout)["steps"]}
    assert steps["train"]["units"] > 0 and steps["train"]["seconds"] is None
    assert json.loads(result.stdout)["complete"] is False
    unknown = steps["train"]["basis"].removeprefix("no `train` with ").removesuffix(" was measured on this machine yet")
    keep_rate(f"train {unknown}", 10, 1)
    text = CliRunner().invoke(app, ["estimate", "-w", "workspace", "--set", "train.folds=3"]).output
    assert "10 views of pictures/s, measured here until" in text
    assert "and what is unknown" in text


@pytest.mark.parametrize(("fine_tuned", "units"), [(True, 100), (False, 0)])
def test_a_training_that_fine_tuned_nothing_says_nothing_of_views_per_second(tmp_path, fine_tuned, units) -> None:
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    workspace = Workspace(tmp_path / "workspace")
    file = open_run(workspace).folder.history_file
    history = json.loads(file.read_text())
    epochs = [{"epoch": 1, "stage": "stage", "lr": 0.1, "train_loss": 0.1, "val_loss": 0.1, "val_accuracy": 0.9}]
    file.write_text(json.dumps(history | {"finetune": history["finetune"] or epochs if fine_tuned else []}))
    planned = Work("views of pictures", "network", 100)
    assert work_done("train", workspace, planned, StepCounts("train", done=1)) == units


def test_a_step_is_not_stopped_by_a_folder_that_its_estimate_alone_would_read(opened, monkeypatch) -> None:
    workspace, config = opened
    negatives = config.negatives.model_copy(update={"folder": "/nowhere/at-all"})
    monkeypatch.setattr("training.train.run", lambda *_: StepCounts("train", 1, 0))
    assert find_step("train").run(workspace, config.model_copy(update={"negatives": negatives})).done == 1
