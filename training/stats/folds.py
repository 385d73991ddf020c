"""Grouped cross-validation and its out-of-fold answers: each image's by a model that was trained without it."""

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
from training.stats.metrics import effective_size
from training.stats.parts import PARTS, random_parts
from training.stats.scores import Floats, Groups, Labels, balanced_accuracy, log_loss, softmax
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic

_DRAWS = 4  # random draws with one number of folds, before a smaller number is tried


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Out-of-fold answers of a recipe: logits for images that the answering model was not trained on.

    Attributes:
        sha256: of the n images; where a fine-tuned copy ships, those that it was held out from.
        labels: int64 [n], indices into the model's sorted classes.
        logits: float32 [n, classes], of the model that was trained without the image's fold.
        fold: int64 [n], from 0; every group is in a single fold.
        distance: to the nearest training images of the fold's model (training/stats/ood.py), float32 [n]; only in
            files of earlier programs, which trained the backbone in place. None: it is computed from the features.

    Example:
        >>> logits = np.array([[2, 0], [0, 1], [1, 0]], np.float32)
        >>> answers = OutOfFold(("a", "b", "c"), np.array([0, 1, 1]), logits, fold=np.array([0, 1, 0]))
        >>> answers.balanced_accuracy
        0.75
        >>> answers.part(answers.fold == 0).sha256
        ('a', 'c')
    """

    sha256: tuple[str, ...]
    labels: Labels
    logits: Floats
    fold: Labels
    distance: Floats | None = None

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes, in [0, 1]."""
        return balanced_accuracy(self.logits, self.labels)

    @property
    def log_loss(self) -> float:
        """Mean negative log-likelihood, in nats."""
        return log_loss(softmax(self.logits), self.labels)

    def probabilities(self, groups: Groups) -> Floats:
        """Calibrate each fold with a temperature fitted on the other folds: float32 [n, classes].

        A single fold, as a fine-tuned copy leaves out, is divided into parts for this.

        Args:
            groups: [n], what must not be torn apart.
        """
        parts = self.fold if len(np.unique(self.fold)) > 1 else random_parts(groups, PARTS)
        return cross_fitted(self.logits, self.labels, parts)

    def part(self, rows: npt.NDArray[np.bool_]) -> OutOfFold:
        """Select the images where `rows`, bool [n], is true."""
        sha256 = tuple(np.array(self.sha256)[rows].tolist())
        return OutOfFold(sha256, self.labels[rows], self.logits[rows], self.fold[rows])

    def answering(self, logits: Floats) -> OutOfFold:
        """Replace the logits, float32 [n, classes]; the images stay the same."""
        return dataclasses.replace(self, logits=logits)

    def write(self, path: Path) -> None:
        """Save the arrays as one .npz, whole or not at all.

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
        """Load what `write` saved; None without the file, which means that the images could not be divided into folds.

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


def grouped_folds(labels: Labels, groups: Groups, seed: int, most: int = 5) -> Labels | None:
    """Divide images into stratified folds that keep groups whole and leave every class in each training part.

    Args:
        labels: int64 [n].
        groups: [n], names of the groups.
        seed: of the random draw.
        most: number of folds; fewer where the groups do not allow them.

    Returns:
        The fold of each image, int64 [n]; None when a class has a single group, so that some fold's training part
        would lack it.
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
            if _is_usable(labels, fold, count):
                return cast(Labels, fold)
    return None


def most_certain_fold(labels: Labels, groups: Groups, fold: Labels) -> int:
    """Choose the fold on which balanced accuracy is the most certain.

    The variance of a class's recall goes with 1/m, where its images are worth m independent ones; here 1/(m + 1), so
    that a fold may lack a class. Fold 0 would often be the worst: scikit-learn's StratifiedGroupKFold places first,
    and so into fold 0, the most uneven group, such as a creator with many pictures of one class.

    Args:
        labels: int64 [n].
        groups: [n], names of the groups.
        fold: of `grouped_folds`, int64 [n].
    """

    def uncertainty(number: int) -> float:
        parts = [groups[(fold == number) & (labels == label)] for label in np.unique(labels)]
        return sum(1 / (1 + (effective_size(part) if len(part) else 0)) for part in parts)

    return min(range(int(fold.max()) + 1), key=uncertainty)


def _is_usable(labels: Labels, fold: Labels, count: int) -> bool:
    every = set(labels.tolist())
    return all((fold == number).any() and set(labels[fold != number].tolist()) == every for number in range(count))
