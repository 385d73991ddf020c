from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.stats.folds import OutOfFold, grouped_folds, most_certain_fold
from workspace.errors import WorkspaceError


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), min_size=6, max_size=60),
    st.integers(0, 2**40),
)
def test_folds_keep_groups_whole_and_can_be_answered_from_the_others(rows, seed):
    labels = np.unique([label for label, _ in rows], return_inverse=True)[1]
    groups = np.array([str(group) for _, group in rows])
    fold = grouped_folds(labels, groups, seed)
    if fold is None:
        # A class with a single group can never be answered from the others; with two of each it always can, unless
        # one group holds most of several classes.
        return
    assert fold.min() == 0
    assert set(fold.tolist()) == set(range(fold.max() + 1))
    assert all(len(set(fold[groups == group].tolist())) == 1 for group in set(groups))
    assert all(set(labels[fold != number]) == set(labels) for number in range(fold.max() + 1))


def test_plain_pictures_get_five_stratified_folds():
    labels = np.repeat([0, 1], 25)
    fold = grouped_folds(labels, np.arange(50).astype(str), seed=3)
    assert all(np.bincount(labels[fold == number]).tolist() == [5, 5] for number in range(5))
    assert np.array_equal(fold, grouped_folds(labels, np.arange(50).astype(str), seed=3))
    assert not np.array_equal(fold, grouped_folds(labels, np.arange(50).astype(str), seed=4))


def test_a_class_of_one_group_has_no_folds_and_two_groups_are_enough():
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert grouped_folds(labels, np.array(["a", "b", "c", "d", "d", "d"]), 0) is None
    assert grouped_folds(labels, np.array(["a", "b", "c", "d", "d", "e"]), 0) is not None


def test_the_fold_of_a_creator_with_many_pictures_is_not_the_one_to_measure_on():
    labels = np.repeat([0, 1, 2], 50)
    groups = np.array([f"creator of {row}" for row in range(150)])
    groups[:12] = "a creator of twelve"
    chosen = []
    for seed in range(10):
        fold = grouped_folds(labels, groups, seed)
        assert fold is not None
        chosen.append(most_certain_fold(labels, groups, fold) == fold[0])
    assert not any(chosen)


def test_the_fold_to_measure_on_shows_every_class():
    labels, fold = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 2])
    assert most_certain_fold(labels, np.arange(6).astype(str), fold) == 1


def test_of_folds_that_are_alike_the_first_is_measured_on():
    labels, fold = np.tile([0, 1], 10), np.repeat([0, 1, 2, 3, 4], 4)
    assert most_certain_fold(labels, np.arange(20).astype(str), fold) == 0


def test_answers_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "run" / "oof.npz"
    assert OutOfFold.read(path) is None
    logits = np.array([[2, 0], [1, 3], [2, 1], [0, 1]], np.float32)
    one = OutOfFold(("a" * 64, "b" * 64, "c" * 64, "d" * 64), np.array([0, 1, 1, 1]), logits, np.array([0, 1, 0, 1]))
    one.write(path)
    two = OutOfFold.read(path)
    assert two is not None
    assert two.sha256 == one.sha256
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("labels", "logits", "fold"))
    assert two.balanced_accuracy == pytest.approx((1 + 2 / 3) / 2)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WorkspaceError, match="damaged"):
        OutOfFold.read(path)
