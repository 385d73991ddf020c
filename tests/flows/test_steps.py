"""The steps as commands."""

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.opening import open_workspace
from workspace.errors import ConfigError
from workspace.paths import Workspace, write_atomic
from workspace.template import render_config


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
    assert "not trained and evaluated yet" in str(done.exception)
