import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.fit.choice import SHARES, USUAL_SHARE, Evidence, averaged, choose, choose_share
from training.stats.folds import OutOfFold


def answers(labels: np.ndarray, right: np.ndarray, confidence: float) -> np.ndarray:
    """Logits of 3 classes that are right where `right` says so."""
    best = np.where(right, labels, (labels + 1) % 3)
    return np.float32(confidence) * np.eye(3, dtype=np.float32)[best]


def test_without_held_out_images_the_share_is_the_usual_one() -> None:
    nothing = np.zeros((0, 3), np.float32)
    assert choose_share(nothing, nothing, np.zeros(0, np.int64)) == USUAL_SHARE


def test_few_images_leave_the_usual_share_and_many_move_it_to_the_better_part() -> None:
    def chosen(images: int, head_right: float, copy_right: float) -> float:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 3, images)
        head, copy = (answers(labels, rng.random(images) < share, 3) for share in (head_right, copy_right))
        return choose_share(head, copy, labels)

    assert chosen(20, 0.8, 0.85) == pytest.approx(USUAL_SHARE, abs=0.11)
    assert chosen(2000, 0.7, 0.95) > 0.6
    assert chosen(2000, 0.95, 0.6) < USUAL_SHARE


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.floats(0.1, 30))
def test_the_share_does_not_depend_on_the_order_of_images_nor_on_a_constant_of_their_logits(
    seed: int, images: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, images)
    head, copy = (rng.normal(0, scale, (images, 3)).astype(np.float32) for _ in range(2))
    share, order = choose_share(head, copy, labels), rng.permutation(images)
    assert share in SHARES
    assert choose_share(head[order], copy[order], labels[order]) == pytest.approx(share)


def test_held_out_answers_are_given_with_the_share_that_other_groups_chose() -> None:
    """Each answer must follow from images of other groups alone: changed labels of its own group do not move it."""
    rng = np.random.default_rng(1)
    labels, groups = np.tile([0, 1, 2], 200), np.repeat(np.arange(100), 6).astype(str)
    head = answers(labels, rng.random(600) < 0.7, 3)
    copy = answers(labels, rng.random(600) < np.where(np.arange(600) < 300, 0.95, 0.5), 3)
    names = tuple(f"{number:04}" for number in range(600))

    def answered(truth: np.ndarray) -> np.ndarray:
        evidence = Evidence(
            OutOfFold(names, truth, head, np.zeros(600, np.int64)), head, groups, copy, np.ones(600, bool)
        )
        found = choose(evidence, guard=False).out_of_fold
        assert found is not None
        return found.logits

    before, whole = answered(labels), choose_share(head, copy, labels)
    assert np.abs(before - averaged(head, copy, whole)).max() > 0  # not every part chooses what all together choose
    for group in ("0", "57", "99"):
        own, changed = groups == group, labels.copy()
        changed[own] = (labels[own] + 1) % 3
        np.testing.assert_array_equal(answered(changed)[own], before[own])
