"""Cross-validation that keeps groups whole, and its answers: each picture's by a model that never saw it."""

from __future__ import annotations

import dataclasses
import io
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from training.stats.calibration import cross_fitted
from training.stats.scores import Floats, Labels, balanced_accuracy, log_loss, softmax
from workspace.errors import WorkspaceError
from workspace.storage.paths import write_atomic

_DRAWS = 4  # of other folds, before fewer of them are tried


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """What a recipe answers to pictures that it did not learn from.

    Attributes:
        sha256: the pictures, n of them; where a fine-tuned copy ships, those of the folds that its members left out.
        labels: int64 [n], places among the model's sorted classes.
        logits: float32 [n, classes], of the model that was trained without the picture's fold.
        fold: int64 [n], from 0; a group is in one fold alone.
        distance: to the nearest pictures that the fold's model learnt from (training/stats/ood.py), float32 [n], in
            files of programs that trained the backbone in place; else None, for then it follows from the features.
    """

    sha256: tuple[str, ...]
    labels: Labels
    logits: Floats
    fold: Labels
    distance: Floats | None = None

    @property
    def balanced_accuracy(self) -> float:
        """Mean over the classes of the share that is answered right; in [0, 1]."""
        return balanced_accuracy(self.logits, self.labels)

    @property
    def log_loss(self) -> float:
        """In nats."""
        return log_loss(softmax(self.logits), self.labels)

    def probabilities(self) -> Floats:
        """Calibrate each fold's answers on the other folds: float32 [n, classes]."""
        return cross_fitted(self.logits, self.labels, self.fold)

    def part(self, rows: npt.NDArray[np.bool_]) -> OutOfFold:
        """Those of the pictures where `rows` is true."""
        sha256 = tuple(np.array(self.sha256)[rows].tolist())
        return OutOfFold(sha256, self.labels[rows], self.logits[rows], self.fold[rows])

    def answering(self, logits: Floats) -> OutOfFold:
        """The same pictures with other answers, float32 [n, classes]."""
        return dataclasses.replace(self, logits=logits)

    def write(self, path: Path) -> None:
        """Save as a .npz of these arrays, whole or not at all.

        Raises:
            WorkspaceError: the disk is full or the folder cannot be written.
        """
        buffer = io.BytesIO()
        distance = {} if self.distance is None else {"distance": self.distance}
        np.savez(
            buffer,
            sha256=np.array(self.sha256),
            labels=self.labels,
            logits=self.logits,
            fold=self.fold,
            allow_pickle=False,
            **distance,
        )
        write_atomic(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> OutOfFold | None:
        """What `write` saved; None where there is no such file: the pictures could not be parted into folds.

        Raises:
            WorkspaceError: it is damaged.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                names = tuple(str(name) for name in arrays["sha256"])
                return cls(names, arrays["labels"], arrays["logits"], arrays["fold"], arrays.get("distance"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise WorkspaceError(f"{path} is damaged ({error}); delete its run's model/ and train again") from error


def grouped_folds(labels: Labels, groups: npt.NDArray[np.str_], seed: int, most: int = 5) -> Labels | None:
    """Part pictures into stratified folds so that no group is torn, and each fold can be answered from the others.

    Args:
        labels: int64 [n].
        groups: [n], what must not be torn apart.
        seed: of the draw.
        most: how many folds, where the groups allow them.

    Returns:
        The fold of every picture, int64 [n]; None when a class would be missing from what a fold learns from,
        whatever the folds: it has a single group.
    """
    if min(len(set(groups[labels == label])) for label in np.unique(labels)) < 2:
        return None
    for count in range(min(most, len(set(groups)), int(np.bincount(labels).max())), 1, -1):
        for draw in range(_DRAWS):
            splitter = StratifiedGroupKFold(count, shuffle=True, random_state=(seed + draw) % 2**32)
            fold = np.full(len(labels), -1, dtype=np.int64)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The least populated class")  # it may be absent from a fold
                for number, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
                    fold[held_out] = number
            if _serves(labels, fold, count):
                return cast(Labels, fold)
    return None


def _serves(labels: Labels, fold: Labels, count: int) -> bool:
    every = set(labels.tolist())
    return all((fold == number).any() and set(labels[fold != number].tolist()) == every for number in range(count))
