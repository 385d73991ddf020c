"""Whose settings a retraining uses, and what status says of a workspace; the flow itself runs in test_operate.py."""

import pytest

from cli.status import read_status, status_text
from workspace.clock import utc_now
from workspace.config.model import load_config
from workspace.config.template import render_config
from workspace.errors import ConfigError
from workspace.files.atomic import write_atomic
from workspace.resolve import open_workspace, workspace_folder
from workspace.storage.champion import ChampionSettings, Decision, record_decision, settings_of_champion
from workspace.storage.paths import Workspace


def with_champion(folder, **settings) -> Workspace:
    workspace, config = open_workspace(folder, ["cat", "dog"], settings)
    run = workspace.run("r1")
    write_atomic(run.config_file, render_config(config).encode())
    record_decision(workspace, Decision("r1", "published", "r1", "the first model", utc_now()))
    return workspace


def change(workspace: Workspace, old: str, new: str) -> None:
    text = workspace.config_file.read_text()
    assert old in text
    workspace.config_file.write_text(text.replace(old, new))


def test_training_is_as_it_was_and_collection_as_it_is_today(tmp_path) -> None:
    workspace = with_champion(tmp_path, **{"train.epochs": 3, "search.per_class": 50})
    change(workspace, "epochs = 3", "epochs = 9")
    change(workspace, "per_class = 50", "per_class = 70")
    change(workspace, '"dog" = ["dog"]', '"dog" = ["dog", "puppy"]')
    today = load_config(workspace.config_file)
    settings = settings_of_champion(workspace, today)
    assert (settings.config.train.epochs, settings.config.search.per_class) == (3, 70)
    assert settings.config.classes["dog"] == ("dog", "puppy")
    assert (settings.differing, settings.missing) == (("train.epochs",), None)
    overrides = {"train.epochs": 5}
    today = load_config(workspace.config_file, overrides)
    assert settings_of_champion(workspace, today, overrides).config.train.epochs == 5


def test_where_and_how_fast_is_as_it_is_today(tmp_path) -> None:
    """The model was trained on another machine: what cannot be had here must not fail every retraining."""
    there = {"train.device": "cuda", "train.processes": 4, "features.batch_size": 512, "clean.workers": 64}
    workspace = with_champion(tmp_path, **there, **{"train.epochs": 3})
    for old, new in (('"cuda"', '"cpu"'), ("processes = 4", "processes = 1"), ("batch_size = 512", "batch_size = 8")):
        change(workspace, old, new)
    change(workspace, "workers = 64", "workers = 2")
    settings = settings_of_champion(workspace, load_config(workspace.config_file))
    config = settings.config
    assert (config.train.device, config.train.processes, config.features.batch_size) == ("cpu", 1, 8)
    assert (config.clean.workers, config.train.epochs, settings.differing) == (2, 3, ())


def test_without_a_champion_today_s_settings_count(tmp_path) -> None:
    workspace, today = open_workspace(tmp_path, ["cat", "dog"], {"train.epochs": 3})
    assert settings_of_champion(workspace, today) == ChampionSettings(today)


def test_without_the_champion_s_settings_those_of_today_count_and_status_says_so(tmp_path) -> None:
    workspace = with_champion(tmp_path, **{"train.epochs": 3})
    frozen = workspace.run("r1").config_file
    frozen.unlink()
    today = load_config(workspace.config_file)
    settings = settings_of_champion(workspace, today)
    assert (settings.config, settings.differing, settings.missing) == (today, (), frozen)
    assert f"{frozen} is missing; `retrain` would take all settings from workspace.toml" in status_text(
        read_status(workspace, today)
    )


def test_status_says_what_is_missing_and_what_has_changed(tmp_path) -> None:
    workspace, config = open_workspace(tmp_path / "new", ["cat", "dog"])
    text = status_text(read_status(workspace, config))
    assert "none yet: collect-and-train run" in text
    assert "none was published yet" in text
    workspace = with_champion(tmp_path / "old", **{"train.epochs": 3})
    change(workspace, "epochs = 3", "epochs = 9")
    text = status_text(read_status(workspace, load_config(workspace.config_file)))
    assert "r1, since" in text
    assert "workspace.toml has other settings: train.epochs" in text


def test_a_flow_without_a_workspace_takes_the_only_one_there_is(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="data/ has no workspace yet.*workspace=data/pandas"):
        workspace_folder("")
    open_workspace(tmp_path / "data" / "one", ["cat", "dog"])
    assert workspace_folder("").name == "one"
    open_workspace(tmp_path / "data" / "two", ["cat", "dog"])
    with pytest.raises(ConfigError, match="data/ has one, two"):
        workspace_folder("")
    assert str(workspace_folder("", ["red panda"])) == "data/red-panda"
    assert str(workspace_folder("x")) == "x"


def test_a_retraining_is_called_once_per_decision_and_again_when_none_came_for_long(tmp_path, monkeypatch) -> None:
    from flows import watch

    workspace = with_champion(tmp_path)
    assert not watch._told_before(workspace)
    assert watch._told_before(workspace)
    record_decision(workspace, Decision("r2", "kept_champion", "r1", "not better", utc_now()))
    assert not watch._told_before(workspace)
    assert watch._told_before(workspace)
    monkeypatch.setattr(watch, "_PATIENCE_S", 0.0)
    assert not watch._told_before(workspace)
