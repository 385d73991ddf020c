"""Compare the latest answers of a service with those to the test images of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.stats.drift import DriftTest, compare_all, largest_gap, total_variation
from workspace.errors import ModelError
from workspace.served.answers import AnswersFile, Tally
from workspace.storage.metrics import Metrics
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder
from workspace.text.markdown import escaped

FEWEST = 50
"""Answers of a service below which nothing is compared."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A comparison.

    Attributes:
        run_id: whose model answers.
        classes: of the model.
        test: the answers to the test images.
        served: the service's latest answers.
        tests: by measure: `classes`, `confidence`, and where the model can answer it `none`, and `distance`.
    """

    run_id: str
    classes: tuple[str, ...]
    test: Tally
    served: Tally
    tests: Mapping[str, DriftTest]

    @property
    def drifted(self) -> tuple[str, ...]:
        """The measures that are out of their bands."""
        return tuple(name for name, test in self.tests.items() if test.drifted)

    def sentence(self) -> str:
        """Say in a sentence what has drifted."""
        if not self.drifted:
            return f"the latest {self.served.n} answers are like those to the {self.test.n} test pictures"
        return (
            f"the latest {self.served.n} answers are unlike those to the {self.test.n} test pictures in "
            f"{', '.join(self.drifted)}"
        )


def tally_of_test(folder: RunFolder) -> Tally:
    """Tally a model's answers to its test images.

    Raises:
        ModelError: the run was not evaluated, or its metrics.json is damaged.
    """
    metrics = Metrics.read(folder.metrics_file)
    tally, rejection = Tally.empty(len(metrics.classes)), metrics.rejection
    predictions = metrics.test.predictions
    distances = rejection.test_distance if rejection else None
    for row, answer in enumerate(predictions):
        distance = distances[row] if distances is not None else None
        tally.add(metrics.classes.index(answer.predicted), answer.probability, distance, False)
    if rejection:
        default = next(row for row in rejection.table if row.accept == rejection.default.accept)
        tally.none = rejection.n - default.test_answered
    return tally


def compare_answers(
    run_id: str, classes: tuple[str, ...], test: Tally, served: Tally, refuses: bool, level: float
) -> Drift | None:
    """Compare two tallies; None while the service has fewer than FEWEST answers.

    Args:
        run_id: whose model answers.
        classes: of the model.
        test: the answers to its test images.
        served: the service's latest answers.
        refuses: whether the model answers `none` at all.
        level: the chance of finding drift where there is none.
    """
    if served.n < FEWEST or not test.n:
        return None
    measures = {
        "classes": (test.classes, served.classes, total_variation),
        "confidence": (test.confidence, served.confidence, largest_gap),
    }
    if refuses:
        measures["none"] = (_split(test), _split(served), total_variation)
    if test.distance.sum() and served.distance.sum():
        measures["distance"] = (test.distance, served.distance, largest_gap)
    return Drift(run_id, classes, test, served, compare_all(measures, level))


def read_drift(workspace: Workspace, run_id: str, level: float) -> Drift | None:
    """Compare what the service of a workspace has noted; None where it has too few answers of this run's model.

    Raises:
        ModelError: the run was not evaluated, or a file is damaged.
    """
    file = AnswersFile.read_if_present(workspace.answers_file)
    if file is None or file.run_id != run_id:
        return None
    folder = workspace.run(run_id)
    test = tally_of_test(folder)
    if len(test.classes) != len(file.classes):
        raise ModelError(
            f"{workspace.answers_file} is of other classes than {folder.metrics_file}; delete it, the service begins "
            "anew"
        )
    return compare_answers(run_id, file.classes, test, file.tally(), folder.calibration_file.is_file(), level)


def drift_markdown(drift: Drift) -> str:
    """Write a comparison as a table in Markdown: what is served, what the test images had, the band of each."""
    rows = ["| | test pictures | served | band | drifted |", "|---|---:|---:|---:|---|"]
    classes = drift.tests["classes"]
    for number, name in enumerate(drift.classes):
        low, high = classes.bands[number]
        share, expected = (tally.classes[number] / tally.n for tally in (drift.served, drift.test))
        rows.append(f"| {escaped(name)} | {expected:.1%} | {share:.1%} | {low:.1%} to {high:.1%} | |")
    rows.append(_row("all classes: total variation", "", classes))
    for name, words in _WORDS.items():
        if name in drift.tests:
            rows.append(_row(words, name, drift.tests[name], drift))
    return f"{drift.sentence().capitalize()}.\n\n" + "\n".join(rows) + "\n"


_WORDS = {
    "confidence": "probability of the answer: mean, largest gap",
    "none": "answered none",
    "distance": "distance to the training pictures: mean, largest gap",
}


def _row(words: str, name: str, test: DriftTest, drift: Drift | None = None) -> str:
    values = [_value(tally, name) for tally in (drift.test, drift.served)] if drift else ["", ""]
    said = "**yes**" if test.drifted else "no"
    return f"| {words} | {values[0]} | {values[1]} | {test.statistic:.3f}, at most {test.limit:.3f} | {said} |"


def _value(tally: Tally, name: str) -> str:
    if name == "none":
        return f"{tally.none / tally.n:.1%}"
    counts, widest = (tally.confidence, 1.0) if name == "confidence" else (tally.distance, 2.0)
    middles = (np.arange(len(counts)) + 0.5) / len(counts) * widest
    return f"{float(counts @ middles / counts.sum()):.2f}"


def _split(tally: Tally) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([tally.none, tally.n - tally.none])
