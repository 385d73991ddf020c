"""The scheduled flows over all workspaces: one that is broken or in use keeps no other waiting."""

import json
import logging
from pathlib import Path

import pytest

from flows import watch
from flows.service import drift
from workspace.catalog.records import StepCounts
from workspace.clock import utc_now
from workspace.errors import ConfigError, WorkspaceError
from workspace.resolve import open_workspace
from workspace.storage.champion import CHAMPION, DECISIONS, Decision, record_decision
from workspace.storage.lock import hold
from workspace.storage.paths import Workspace


def _published(name: str) -> Workspace:
    workspace, _ = open_workspace(Path("data") / name, ["cat", "dog"])
    record_decision(workspace, Decision("r1", "published", "r1", "the first model", utc_now()))
    return workspace


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    """No Prefect server, and no step: what is looked at is the loop."""
    monkeypatch.chdir(tmp_path)
    for module in (watch, drift):
        monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(watch, "step_task", lambda name: lambda _workspace, _config: StepCounts(name))


@pytest.mark.parametrize("broken", [["workspace.toml"], [CHAMPION, DECISIONS]], ids=["settings", "champion"])
@pytest.mark.parametrize("flow", [watch.watch, drift.drift], ids=["watch", "drift"])
def test_a_broken_workspace_is_told_and_the_others_are_looked_at(flow, broken, caplog) -> None:
    caplog.set_level("INFO")
    for name in ("a", "b", "c"):
        _published(name)
    for file in broken:
        (Path("data") / "b" / file).write_text("{")
    told = r"1 of 3 workspaces failed, the others were looked at: data/b: [^\n]*" + broken[-1]
    with pytest.raises(WorkspaceError, match=told):
        flow.fn()
    told = "\n".join(record.getMessage() for record in caplog.records if record.levelname == "INFO")
    assert "a: " in told and "c: " in told  # each that is not broken
    assert "Traceback" not in caplog.text


def test_an_unforeseen_failure_ends_no_other_workspace_and_leaves_its_traceback(caplog, monkeypatch) -> None:
    for name in ("a", "b"):
        _published(name)
    look = watch.count_new_images

    def count(workspace, config):
        if workspace.root.name == "a":
            raise ZeroDivisionError("a fault of this program")
        return look(workspace, config)

    monkeypatch.setattr(watch, "count_new_images", count)
    with pytest.raises(WorkspaceError, match="1 of 2 workspaces failed"):
        watch.watch.fn()
    assert "ZeroDivisionError" in caplog.text


def test_a_workspace_in_use_waits_for_the_next_time(caplog) -> None:
    caplog.set_level("INFO")
    _published("a")
    with hold(_published("b"), "a test"):
        assert set(watch.watch.fn()) == {"data/a"}
    assert "data/b is in use by `a test`" in caplog.text
    assert set(watch.watch.fn()) == {"data/a", "data/b"}


def test_a_lock_that_may_never_be_given_back_is_told_with_the_remedy(caplog) -> None:
    workspace = _published("a")
    owner = {"what": "run", "host": "before the restart", "pid": 1, "started": "2026-01-01T00:00:00+00:00"}
    workspace.lock_file.write_text(json.dumps(owner))
    assert watch.watch.fn() == {}
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"delete {workspace.lock_file} and run the same command again" in told


def test_a_named_workspace_fails_in_its_own_words(tmp_path) -> None:
    with pytest.raises(ConfigError, match="collect-and-train init"):
        watch.watch.fn(str(tmp_path / "none"))
