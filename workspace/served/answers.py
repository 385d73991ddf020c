"""Counts of the latest answers of a service, served/answers.json: no picture, no name, only sums."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workspace.clock import utc_now
from workspace.errors import ModelError
from workspace.storage.artefact import Artefact, Part

CONFIDENCE_BINS, DISTANCE_BINS = 50, 100
"""Equal bins of the probability of the answer over [0, 1], and of the cosine distance over [0, 2]."""

_BLOCKS = 20  # the window loses its oldest answers a block at a time

_LOG = logging.getLogger("collect_and_train")

Counts = npt.NDArray[np.int64]


@dataclass(slots=True)
class Tally:
    """Counts of answers.

    Attributes:
        classes: by the most probable class, int64 [classes].
        confidence: by the probability of that class, int64 [CONFIDENCE_BINS].
        distance: by the distance to the training images, int64 [DISTANCE_BINS]; of those that have one.
        none: answers that were none of the classes.
    """

    classes: Counts
    confidence: Counts = field(default_factory=lambda: np.zeros(CONFIDENCE_BINS, np.int64))
    distance: Counts = field(default_factory=lambda: np.zeros(DISTANCE_BINS, np.int64))
    none: int = 0

    @classmethod
    def empty(cls, classes: int) -> Tally:
        """Return a tally of no answer."""
        return cls(np.zeros(classes, np.int64))

    @property
    def n(self) -> int:
        """The number of answers."""
        return int(self.classes.sum())

    def add(self, best: int, probability: float, distance: float | None, is_none: bool) -> None:
        """Count one answer; `best` is the index of its most probable class."""
        self.classes[best] += 1
        self.confidence[min(CONFIDENCE_BINS - 1, int(probability * CONFIDENCE_BINS))] += 1
        if distance is not None:
            self.distance[min(DISTANCE_BINS - 1, int(distance / 2 * DISTANCE_BINS))] += 1
        self.none += is_none

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.classes + other.classes,
            self.confidence + other.confidence,
            self.distance + other.distance,
            self.none + other.none,
        )


class Block(Part):
    """Counts of some answers in a row."""

    began: str = Field(description="Time of the first, UTC ISO 8601.")
    classes: tuple[int, ...] = Field(description="Answers by their most probable class, in the order of `classes`.")
    confidence: tuple[int, ...] = Field(
        description="Answers by the probability of that class: 50 equal bins of 0 to 1."
    )
    distance: tuple[int, ...] = Field(description="By the distance to the training images: 100 equal bins of 0 to 2.")
    none: int = Field(description="Answers that were none of the classes.")


class AnswersFile(Artefact):
    """served/answers.json: the latest answers of one model, as counts."""

    COMMAND: ClassVar[str] = "collect-and-train serve --api"
    REPAIR: ClassVar[str] = "delete it; the service begins anew"

    run_id: str = Field(description="The run whose model answered; another one begins a new window.")
    classes: tuple[str, ...]
    blocks: tuple[Block, ...] = Field(description="The oldest first.")

    def tally(self) -> Tally:
        """Add the blocks up."""
        return sum_tallies((_tally(block) for block in self.blocks), len(self.classes))


class AnswerWindow:
    """The latest answers of one model, rolling; safe to use from several threads.

    Args:
        file: is read where it is of the same model, and written by `save`; None: the counts stay in memory.
        run_id: of the model.
        classes: of the model.
        size: answers in the window; it may hold a twentieth less.
    """

    def __init__(self, file: Path | None, run_id: str, classes: Sequence[str], size: int) -> None:
        self._file, self._run_id, self._classes = file, run_id, tuple(classes)
        self._per_block = max(1, size // _BLOCKS)
        self._blocks: deque[tuple[str, Tally]] = deque(self._read(), maxlen=_BLOCKS)
        self._lock, self._saving = threading.Lock(), threading.Lock()
        self._counted = self._saved = 0  # answers since the start, and those of them that the file has

    def _read(self) -> list[tuple[str, Tally]]:
        try:
            found = AnswersFile.read_if_present(self._file) if self._file else None
        except ModelError as error:
            _LOG.warning("%s; its counts are lost", error)
            return []
        if found is None or (found.run_id, found.classes) != (self._run_id, self._classes):
            return []
        return [(block.began, _tally(block)) for block in found.blocks]

    def add(self, label: str, probability: float, distance: float | None, is_none: bool) -> None:
        """Count one answer; `label` is its most probable class."""
        with self._lock:
            if not self._blocks or self._blocks[-1][1].n >= self._per_block:
                self._blocks.append((utc_now(), Tally.empty(len(self._classes))))
            self._blocks[-1][1].add(self._classes.index(label), probability, distance, is_none)
            self._counted += 1

    def tally(self) -> Tally:
        """Add the window up."""
        with self._lock:
            return sum_tallies((tally for _, tally in self._blocks), len(self._classes))

    def save(self) -> None:
        """Write the file, if anything was counted since it was last written.

        Raises:
            WorkspaceError: it cannot be written; the next call tries again.
        """
        with self._saving:  # so that an earlier state never replaces a later one
            with self._lock:
                counted = self._counted
                if counted == self._saved or self._file is None:
                    return
                blocks = tuple(_block(began, tally) for began, tally in self._blocks)
            AnswersFile(version=1, run_id=self._run_id, classes=self._classes, blocks=blocks).write(self._file)
            self._saved = counted


def sum_tallies(tallies: Iterable[Tally], classes: int) -> Tally:
    """Add tallies of the same classes up."""
    return sum(tallies, start=Tally.empty(classes))


def _block(began: str, tally: Tally) -> Block:
    return Block(
        began=began,
        classes=tuple(tally.classes.tolist()),
        confidence=tuple(tally.confidence.tolist()),
        distance=tuple(tally.distance.tolist()),
        none=tally.none,
    )


def _tally(block: Block) -> Tally:
    return Tally(
        np.array(block.classes, np.int64),
        np.array(block.confidence, np.int64),
        np.array(block.distance, np.int64),
        block.none,
    )
