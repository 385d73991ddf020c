import pytest

from workspace.clock import utc_now
from workspace.errors import ConfigError, ModelError, WorkspaceError
from workspace.storage.arrays import latest_features
from workspace.storage.champion import (
    CHAMPION,
    Decision,
    answering_run,
    finish_decision,
    read_champion,
    read_decisions,
    record_decision,
    roll_back,
)
from workspace.storage.paths import Workspace


def test_decisions_are_kept_in_order_and_only_a_change_moves_the_champion(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    assert read_champion(workspace) is None
    assert read_decisions(workspace) == []
    first = Decision("a", "published", "a", "the first", "2026-11-25T00:00:00Z")
    second = Decision("b", "kept_champion", "a", "not better", "2026-11-26T00:00:00Z", {"p": 0.4})
    for decision in (first, second):
        record_decision(workspace, decision)
    assert read_champion(workspace) == first
    assert read_decisions(workspace) == [first, second]


def test_features_that_are_not_there_name_the_command_that_makes_them(tmp_path) -> None:
    with pytest.raises(WorkspaceError, match="collect-and-train features"):
        latest_features(Workspace(tmp_path))


def published(workspace: Workspace, run_id: str) -> None:
    model = workspace.run(run_id).model
    model.mkdir(parents=True)
    (model / "card.json").write_text("{}")
    record_decision(workspace, Decision(run_id, "published", run_id, "better", utc_now()))


def test_rollback_goes_back_step_by_step_and_forward_by_name(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(ModelError, match="published no model yet"):
        roll_back(workspace)
    for run_id in ("a", "b", "c"):
        published(workspace, run_id)
    assert roll_back(workspace).champion == "b"
    assert roll_back(workspace).champion == "a"
    with pytest.raises(ModelError, match="a is live; other models that were decided on: b, c; there is nothing"):
        roll_back(workspace)
    with pytest.raises(ModelError, match="x is not among them"):
        roll_back(workspace, "x")
    assert roll_back(workspace, "c").champion == "c"
    assert answering_run(workspace).run_id == "c"
    assert answering_run(workspace, "b").run_id == "b"
    with pytest.raises(ConfigError, match="no run 'x'; there are: a, b, c"):
        answering_run(workspace, "x")
    (workspace.run("a").model / "card.json").unlink()
    with pytest.raises(ModelError, match="has no model any more"):
        roll_back(workspace, "a")
    assert [decision.action for decision in read_decisions(workspace)] == ["published"] * 3 + ["rolled_back"] * 3


def test_a_person_may_publish_a_model_that_was_kept_out_and_go_back_from_it(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    for run_id in ("a", "b"):
        published(workspace, run_id)
    (workspace.run("kept").model).mkdir(parents=True)
    (workspace.run("kept").model / "card.json").write_text("{}")
    record_decision(workspace, Decision("kept", "kept_champion", "b", "not better", utc_now()))
    with pytest.raises(ModelError, match=r"decided on: a, kept \(never live\); x is not"):
        roll_back(workspace, "x")
    forward = roll_back(workspace, "kept")
    assert (forward.action, forward.champion) == ("published", "kept")
    assert forward.why == "a person published it in place of b"
    assert roll_back(workspace).champion == "b"


def test_a_kill_between_the_history_and_the_pointer_is_made_good(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    published(workspace, "a")
    before = (workspace.root / CHAMPION).read_bytes()
    published(workspace, "b")
    (workspace.root / CHAMPION).write_bytes(before)
    finish_decision(workspace)
    assert answering_run(workspace).run_id == "b"


def test_before_anything_is_published_the_latest_run_answers(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    workspace.point_to("r")
    assert answering_run(workspace).run_id == "r"
