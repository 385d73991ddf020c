"""The model that answers now; another one takes its place while requests go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.evaluation.drift import tally_of_test
from training.inference.classifier import Classifier
from training.network.weights_origin import Origin
from workspace.errors import CollectAndTrainError, ModelError
from workspace.served.answers import Tally
from workspace.storage.run_folder import CALIBRATION_NAME, CARD_NAME, WEIGHTS_NAME, RunFolder

_LOG = logging.getLogger("collect_and_train")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model in memory.

    Attributes:
        run_id: of its run, or the name of its folder.
        classifier: answers.
        test: its answers to its test images; None where they are not known.
        notes: sentences on the weights that its training began with.
    """

    run_id: str
    classifier: Classifier
    test: Tally | None
    notes: tuple[str, ...]

    @property
    def refuses(self) -> bool:
        """Whether it answers `none` to an image unlike its classes."""
        return self.classifier.calibration is not None


class LiveModel:
    """The model of a folder, loaded again when the folder or its files are others.

    A request keeps the model that it began with, so none is dropped. A new model that cannot be loaded leaves the
    present one, and is tried again when its files change.

    Args:
        choose: names the folder of the model that should answer now; a run's, or any model folder.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        CollectAndTrainError: there is no model to begin with.
    """

    def __init__(self, choose: Callable[[], Path], device: str = "auto") -> None:
        self._choose, self._device = choose, device
        self._one_at_a_time = threading.Lock()
        self.problem = ""
        folder = choose()
        self._stamp = _stamp(folder)
        self.current = _load(folder, device)

    def refresh(self) -> bool | None:
        """Load the model anew where it has changed: True when that is done, False when it failed, None otherwise."""
        with self._one_at_a_time:
            try:
                folder = self._choose()
                if (stamp := _stamp(folder)) == self._stamp:
                    return None
                self._stamp = stamp
                self.current = _load(folder, self._device)
            except Exception as error:  # a GPU without room for a second model, a file that goes while it is read, ...
                if str(error) != self.problem:
                    is_foreseen = isinstance(error, CollectAndTrainError)
                    trace = None if is_foreseen else error
                    _LOG.warning("%s goes on answering: %s", self.current.run_id, error, exc_info=trace)
                self.problem = str(error)
                return False
            self.problem = ""
            _LOG.warning("%s answers now", self.current.run_id)
            return True


def _load(folder: Path, device: str) -> LoadedModel:
    run = RunFolder(folder.parent)
    is_run = run.model == folder and run.metrics_file.is_file()
    classifier = Classifier.load(folder, device)
    try:
        test = tally_of_test(run) if is_run else None
    except ModelError as error:  # it answers all the same
        _LOG.warning("drift is not watched: %s", error)
        test = None
    if test and len(test.classes) != len(classifier.classes):
        test = None
    notes = Origin.from_card(classifier.card).notes()
    return LoadedModel(run.run_id if is_run else folder.resolve().name, classifier, test, notes)


def _stamp(folder: Path) -> tuple[object, ...]:
    files = (folder / name for name in (CARD_NAME, WEIGHTS_NAME, CALIBRATION_NAME))
    return (folder, *(file.stat().st_mtime_ns if file.is_file() else 0 for file in files))
