"""The look at drift: an artifact each time, and an event once when the answers leave their bands."""

import logging

import numpy as np
import pytest

from flows.service import drift
from training.evaluation.drift import Drift, compare_answers
from workspace.resolve import open_workspace
from workspace.served.answers import Tally

CLASSES = ("cat", "dog")


def _tally(cats: int, dogs: int) -> Tally:
    tally = Tally.empty(2)
    for number in range(cats + dogs):
        tally.add(int(number >= cats), 0.9, None, False)
    return tally


def _drift(run_id: str, cats: int, dogs: int) -> Drift:
    found = compare_answers(run_id, CLASSES, _tally(40, 40), _tally(cats, dogs), False, 0.01)
    assert found is not None
    return found


@pytest.fixture
def looked(tmp_path, monkeypatch):
    """Looks at a comparison; returns the events and the artifacts so far."""
    workspace, _ = open_workspace(tmp_path / "pets", CLASSES)
    workspace.run("r1").root.mkdir(parents=True)
    workspace.point_to("r1")
    events, artifacts = [], []
    monkeypatch.setattr(drift, "emit_event", lambda **event: events.append(event))
    monkeypatch.setattr(drift, "create_markdown_artifact", lambda **artifact: artifacts.append(artifact))

    def look(found: Drift | None):
        monkeypatch.setattr(drift, "read_drift", lambda *_args: found)
        drift._look(workspace.root, logging.getLogger("test"))
        return events, artifacts

    return look


def test_the_event_is_sent_once_and_again_after_the_answers_had_come_back(looked) -> None:
    events, artifacts = looked(_drift("r1", 100, 100))
    assert (len(events), len(artifacts)) == (0, 1)
    for _ in range(2):
        looked(_drift("r1", 190, 10))
    assert len(events) == 1 and len(artifacts) == 3
    assert events[0]["event"] == "answers.drifted"
    assert events[0]["resource"]["prefect.resource.id"] == "collect-and-train.workspace.pets"
    assert events[0]["payload"]["drifted"] == ["classes"] and events[0]["payload"]["answers"] == 200
    assert "| cat | 50.0% | 95.0% |" in artifacts[1]["markdown"] and artifacts[1]["key"] == "drift"
    looked(_drift("r1", 100, 100))
    looked(_drift("r1", 190, 10))
    assert len(events) == 2
    looked(_drift("r2", 190, 10))  # another model has a band of its own
    assert len(events) == 3


def test_an_event_that_could_not_be_sent_is_sent_at_the_next_look(looked, monkeypatch) -> None:
    def fails(**_event: object) -> None:
        raise ConnectionError("the server is away")

    events, _ = looked(None)
    with monkeypatch.context() as broken:
        broken.setattr(drift, "emit_event", fails)
        with pytest.raises(ConnectionError):
            looked(_drift("r1", 190, 10))
    looked(_drift("r1", 190, 10))
    assert [event["event"] for event in events] == ["answers.drifted"]


def test_a_service_that_has_answered_too_little_shows_nothing(looked) -> None:
    assert looked(None) == ([], [])
    few = compare_answers("r1", CLASSES, _tally(40, 40), _tally(10, 10), False, 0.01)
    assert few is None
    assert np.array_equal(_tally(2, 3).classes, [2, 3])
