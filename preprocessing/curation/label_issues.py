"""Find label errors by confident learning, from out-of-fold probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.curation.outliers import Floats, Ints

FOLDS = 5

INVERSE_PENALTY = 10.0
"""scikit-learn's C for unit vectors: of 1, 10 and 100 the best balance of errors and log loss."""

_ITERATIONS, _TOLERANCE = 200, 1e-3


@dataclass(frozen=True, slots=True)
class LabelIssues:
    """Result of confident learning.

    Attributes:
        confidence: the probability of the given label, out of fold, in [0, 1], [n]; 1 where it could not be judged.
        suspect: the label is likely wrong, [n] bool.
        suggested: the likeliest class, [n].
    """

    confidence: Floats
    suspect: npt.NDArray[np.bool_]
    suggested: Ints


def find_label_issues(vectors: Floats, labels: Ints, groups: Ints, seed: int) -> LabelIssues:
    """Judge every label by a logistic regression that was fitted without the image's group.

    Confident learning (Northcutt et al., JAIR 2021) by cleanlab: a label is suspect when the image clears another
    class's own mean confidence. A class with fewer than 2 groups is left out, as there is nothing to learn it from.

    Args:
        vectors: unit vectors, [n, dim].
        labels: class numbers, [n].
        groups: numbers of groups that are never parted, [n].
        seed: shuffles the folds.
    """
    issues = LabelIssues(np.ones(len(labels), np.float32), np.zeros(len(labels), np.bool_), labels.copy())
    sizes = {int(label): len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    classes = [label for label, size in sizes.items() if size >= 2]
    rows = np.flatnonzero(np.isin(labels, classes))
    if len(classes) < 2:
        return issues
    targets = np.searchsorted(classes, labels[rows])
    folds = min(FOLDS, *(sizes[label] for label in classes))
    probabilities = _out_of_fold(vectors[rows], targets, groups[rows], classes, folds, seed)
    own = probabilities[np.arange(len(rows)), targets]
    # 0 where a class of few groups was missing from the training part of a fold: these images cannot be judged.
    judged = own > 0
    issues.confidence[rows[judged]] = own[judged]
    issues.suggested[rows[judged]] = np.asarray(classes)[probabilities[judged].argmax(axis=1)]
    issues.suspect[rows[judged]] = _suspects(targets[judged], probabilities[judged])
    return issues


def _out_of_fold(
    vectors: Floats, targets: Ints, groups: Ints, classes: Sequence[int], folds: int, seed: int
) -> npt.NDArray[np.float64]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    probabilities = np.zeros((len(targets), len(classes)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, held_out in splitter.split(vectors, targets, groups):
        present = np.unique(targets[train])
        if len(present) < 2 or not len(held_out):
            continue
        model = LogisticRegression(
            C=INVERSE_PENALTY, class_weight="balanced", max_iter=_ITERATIONS, tol=_TOLERANCE, random_state=seed
        )
        # The solver's small products wait for each other's threads: one is at least twice as fast.
        with warnings.catch_warnings(), threadpool_limits(limits=1, user_api="blas"):
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that stops a little early ranks the same
            model.fit(vectors[train], targets[train])
        probabilities[np.ix_(held_out, present)] = model.predict_proba(vectors[held_out])
    return probabilities


def _suspects(targets: Ints, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    from cleanlab.filter import find_label_issues as confident_learning

    suspects: npt.NDArray[np.bool_] = confident_learning(
        targets, probabilities, filter_by="confident_learning", n_jobs=1, min_examples_per_class=0
    )
    return suspects
