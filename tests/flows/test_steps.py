"""The steps, and each as a command."""

import importlib
import inspect
import logging

import pytest
from typer.testing import CliRunner

from cli.main import app
from flows.collecting import run_all_steps
from flows.step_table import STEPS, Phase, find_step, steps_of
from flows.steps import ForeseenFilter
from workspace.catalog.records import StepCounts
from workspace.config.template import render_config
from workspace.errors import CollectError, ConfigError, WeightsError
from workspace.files.atomic import write_atomic
from workspace.progress import Progress
from workspace.resolve import open_workspace
from workspace.storage.paths import Workspace
from workspace.terminal import LogProgress


@pytest.fixture
def frozen(tmp_path) -> Workspace:
    workspace, config = open_workspace(tmp_path, ["cat", "dog"], {"train.epochs": 12})
    write_atomic(workspace.run("r1").config_file, render_config(config).encode())
    workspace.point_to("r1")
    return workspace


@pytest.mark.parametrize("step", ["train", "evaluate", "report", "publish"])
def test_a_step_after_split_refuses_another_model_than_the_run_was_frozen_for(frozen, step) -> None:
    done = CliRunner().invoke(app, [step, "-w", str(frozen.root), "--set", "train.epochs=20"])
    assert isinstance(done.exception, ConfigError)
    assert "train.epochs = 20 comes too late: run r1 was frozen with 12" in str(done.exception)
    assert f"collect-and-train split -w {frozen.root} --set train.epochs=20" in str(done.exception)


@pytest.mark.parametrize("setting", ["train.epochs=12", "train.device=cpu", "retrain.publish_level=0.2"])
def test_a_step_after_split_takes_what_does_not_change_the_model(frozen, setting) -> None:
    done = CliRunner().invoke(app, ["publish", "-w", str(frozen.root), "--set", setting])
    assert "or make it with: collect-and-train train" in str(done.exception)


def test_every_step_is_a_module_with_a_run_that_takes_its_options() -> None:
    for step in STEPS:
        parameters = inspect.signature(importlib.import_module(step.module).run).parameters
        assert list(parameters)[:3] == ["workspace", "config", "progress"], step.name
        assert set(step.later_rounds) <= set(parameters), step.name


def test_every_step_of_the_path_has_a_command_with_its_words_and_records_where_it_asks_others() -> None:
    for step in STEPS:
        done = CliRunner().invoke(app, [step.name, "--help"], env={"COLUMNS": "200"})
        assert (done.exit_code == 0) == (step.phase is not Phase.ARRIVAL), step.name
        if done.exit_code == 0:
            assert step.help in done.output
            assert ("--replay" in done.output) == step.uses_network


def test_a_later_round_tells_a_step_not_to_ask_again_what_failed(monkeypatch, tmp_path) -> None:
    handed = []

    def run(*_: object, **options: object) -> StepCounts:
        handed.append(options)
        return StepCounts("search", 0, 0)

    monkeypatch.setattr("collectors.search.run", run)
    workspace, config = open_workspace(tmp_path, ["cat", "dog"])
    for number in (1, 2):
        find_step("search").run(workspace, config, round_number=number)
    assert handed == [{}, {"retry_failed": False}]


def test_every_note_of_a_step_is_told_once_also_where_the_step_tells_only_some(monkeypatch, tmp_path, caplog) -> None:
    def run(_workspace: object, _config: object, progress: Progress) -> StepCounts:
        progress.warn("a warning")
        return StepCounts("publish", 0, 1, notes=("a warning", "why it was not published"))

    monkeypatch.setattr("training.publish.run", run)
    workspace, config = open_workspace(tmp_path, ["cat", "dog"])
    with caplog.at_level(logging.INFO):
        find_step("publish").run(workspace, config, LogProgress(logging.getLogger("told")))
    assert [(row.levelname, row.message) for row in caplog.records] == [
        ("WARNING", "a warning"),
        ("INFO", "why it was not published"),
    ]


def test_the_steps_stand_in_the_order_of_the_path() -> None:
    assert steps_of(Phase.COLLECT) == ("search", "download", "clean")
    assert steps_of(Phase.DATASET, Phase.RUN) == (
        *("features", "curate", "split"),
        *("train", "evaluate", "report", "publish"),
    )


def test_missing_weights_are_found_before_the_first_step_begins(tmp_path) -> None:
    workspace, config = open_workspace(tmp_path, ["cat", "dog"], {"train.weights_file": str(tmp_path / "none.pth")})
    ran: list[str] = []
    with pytest.raises(WeightsError, match=r"none\.pth \(train\.weights_file\) is not a file"):
        run_all_steps(workspace, config, lambda name, _number: ran.append(name))  # type: ignore[arg-type,return-value]
    assert ran == []


def test_a_failure_that_was_foreseen_is_told_once_in_words_in_a_flows_log() -> None:
    told = ForeseenFilter()
    error = CollectError("the network is 'away':\nsay so")
    failed = (f"Task run failed with exception: {error!r} - Retries are exhausted", (), (type(error), error, None))
    lines = [
        ("Task run failed with %s: %r - Retry %s/%s will start %s", ("exception", error, 1, 2, "at once"), None),
        failed,
        (f"Finished in state Failed('Task run encountered an exception {error!r}')", (), None),
        ("Encountered exception during execution: %r", (error,), (type(error), error, None)),
        (f"Finished in state Failed('Flow run encountered an exception: {error!r}')", (), None),
    ]
    records = [logging.LogRecord("x", logging.ERROR, "", 1, message, args, info) for message, args, info in lines]
    assert [record.getMessage() for record in records if told.filter(record)] == [
        "Task run failed with exception: the network is 'away' - Retry 1/2 will start at once",
        str(error),
    ]
    assert all(record.exc_info is None for record in records[:2])
