"""A service's answers against the test pictures' of a run: from its files to a table and a sentence."""

import json
from pathlib import Path

import pytest

from training.evaluation.drift import drift_markdown, read_drift, tally_of_test
from workspace.served.answers import AnswerWindow
from workspace.storage.metrics import Metrics
from workspace.storage.paths import Workspace

CLASSES = ("ape|x", "<b>ee")


def _share(value: float) -> dict:
    return {"value": value, "interval": [value, value]}


def _scores(n: int, probability: float) -> dict:
    predictions = [
        {
            "sha256": f"{number:064}",
            "label": CLASSES[number % 2],
            "predicted": CLASSES[number % 2],
            "probability": probability + number % 10 / 100,
            "probabilities": [0.5, 0.5],
        }
        for number in range(n)
    ]
    one = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": n // 2}
    shares = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), _share(1.0))
    return {"n": n, "groups": n, "effective_n": n, **shares, "standard_error": 0, "log_loss": 0} | {
        "per_class": dict.fromkeys(CLASSES, one),
        "confusion": [[n // 2, 0], [0, n // 2]],
        "predictions": predictions,
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A run with 80 test pictures, 4 of them answered none, at distances around 0.3."""
    workspace, n = Workspace(tmp_path), 80
    limits = {"accept": 0.95, "min_probability": 0.5, "max_distance": 0.5}
    row = limits | {"held_out_share": 0.95, "test_answered": n - 4, "test_share": 0.95, "test_accuracy": 1.0}
    rejection = {"default": limits, "n": n, "held_out_n": n, "table": [row | {"accept": 0.99}, row]}
    rejection |= {"own_scores": {"probability": [0.9], "distance": [0.3]}}
    rejection |= {"test_distance": [0.25 + number % 10 / 100 for number in range(n)]}
    values = {"version": 1, "format": 2, "run_id": "r1", "classes": CLASSES, "leads": "test", "notes": []}
    values |= {"baseline": {"label": CLASSES[0], "accuracy": 0.5}, "interval": "", "splits": {"test": _scores(n, 0.85)}}
    values |= {"test_cleaned": None, "cross_validation": None, "calibration": None, "rejection": rejection}
    run = workspace.run("r1")
    run.model.mkdir(parents=True)
    run.metrics_file.write_text(json.dumps(values))
    run.calibration_file.write_text("{}")
    return workspace


def serve(workspace: Workspace, count: int, *, none_every: int = 20, far: float = 0.0, run_id: str = "r1") -> None:
    window = AnswerWindow(workspace.answers_file, run_id, CLASSES, 2000)
    for number in range(count):
        probability, distance = 0.85 + number % 10 / 100, 0.25 + number % 10 / 100 + far
        window.add(CLASSES[number % 2], probability, distance, number % none_every == 0)
    window.save()


def test_the_test_pictures_are_tallied_with_their_distances_and_refusals(workspace) -> None:
    tally = tally_of_test(workspace.run("r1"))
    assert (tally.n, tally.none, tally.classes.tolist()) == (80, 4, [40, 40])
    assert tally.distance.sum() == 80 and tally.distance[:12].sum() == 0
    old = Metrics.read(workspace.run("r1").metrics_file).model_dump(exclude_unset=True)
    del old["rejection"]["test_distance"]  # written before it was noted
    workspace.run("r1").metrics_file.write_text(json.dumps(old))
    assert tally_of_test(workspace.run("r1")).distance.sum() == 0
    serve(workspace, 200)
    found = read_drift(workspace, "r1", 0.01)
    assert found is not None and "distance" not in found.tests


def test_answers_like_those_to_the_test_pictures_have_not_drifted(workspace) -> None:
    serve(workspace, 400)
    found = read_drift(workspace, "r1", 0.01)
    assert found is not None and found.drifted == ()
    assert set(found.tests) == {"classes", "confidence", "none", "distance"}
    assert "are like those to the 80 test pictures" in found.sentence()


def test_what_has_moved_is_named_in_the_sentence_and_the_table(workspace) -> None:
    serve(workspace, 400, none_every=2, far=0.3)
    found = read_drift(workspace, "r1", 0.01)
    assert found is not None and found.drifted == ("none", "distance")
    assert found.sentence() == "the latest 400 answers are unlike those to the 80 test pictures in none, distance"
    table = drift_markdown(found)
    assert "| ape\\|x | 50.0% | 50.0% |" in table and r"\<b\>ee" in table
    assert "| answered none | 5.0% | 50.0% |" in table and table.count("**yes**") == 2


def test_few_answers_or_those_of_another_model_are_not_compared(workspace) -> None:
    assert read_drift(workspace, "r1", 0.01) is None
    serve(workspace, 49)
    assert read_drift(workspace, "r1", 0.01) is None
    serve(workspace, 400, run_id="r0")
    assert read_drift(workspace, "r1", 0.01) is None
