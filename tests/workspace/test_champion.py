import pytest

from workspace.arrays import latest_features
from workspace.champion import Decision, read_champion, read_decisions, record_decision
from workspace.errors import WorkspaceError
from workspace.paths import Workspace


def test_decisions_are_kept_in_order_and_only_a_change_moves_the_champion(tmp_path) -> None:
    place = Workspace(tmp_path)
    assert read_champion(place) is None
    assert read_decisions(place) == []
    first = Decision("a", "published", "a", "the first", "2026-11-25T00:00:00Z")
    second = Decision("b", "kept_champion", "a", "not better", "2026-11-26T00:00:00Z", {"p": 0.4})
    for decision in (first, second):
        record_decision(place, decision)
    assert read_champion(place) == first
    assert read_decisions(place) == [first, second]


def test_features_that_are_not_there_name_the_command_that_makes_them(tmp_path) -> None:
    with pytest.raises(WorkspaceError, match="collect-and-train features"):
        latest_features(Workspace(tmp_path))
