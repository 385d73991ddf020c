from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.stats.fold_comparison import compare, hopeless, slow_start, unpromising


def answers(labels: np.ndarray, wrong: list[int]) -> np.ndarray:
    logits = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels]
    logits[wrong] = np.roll(logits[wrong], 1, axis=1)
    return logits


LABELS = np.arange(40) % 2
ALONE = np.arange(40).astype(str)


def test_the_difference_and_its_error_are_those_of_paired_answers():
    done = compare(answers(LABELS, [0, 1, 2, 3, 4, 5]), answers(LABELS, [0, 6]), LABELS, ALONE)
    gains = np.zeros(40)
    gains[[1, 2, 3, 4, 5]], gains[6] = 1, -1
    assert (done.head, done.finetuned, done.n) == (pytest.approx(0.85), pytest.approx(0.95), 40)
    assert done.difference == pytest.approx(gains.mean())
    assert done.standard_error == pytest.approx(gains.std(ddof=1) / np.sqrt(40))
    assert done.passes


@pytest.mark.parametrize(("fixed", "broken", "passes"), [(0, 0, False), (2, 2, False), (2, 1, False), (5, 1, True)])
def test_only_a_gain_of_more_than_one_standard_error_passes(fixed, broken, passes):
    head = answers(LABELS, list(range(6)))
    tuned = answers(LABELS, [*range(fixed, 6), *range(10, 10 + broken)])
    assert compare(head, tuned, LABELS, ALONE).passes is passes


def test_a_gain_on_one_group_of_copies_counts_once():
    head, tuned = answers(LABELS, list(range(8))), answers(LABELS, [])
    together = ALONE.copy()
    together[:8] = "copies"
    alone, copies = compare(head, tuned, LABELS, ALONE), compare(head, tuned, LABELS, together)
    assert alone.difference == copies.difference
    assert copies.standard_error > 2 * alone.standard_error
    assert not compare(head, tuned, LABELS, np.full(40, "all")).passes


def test_classes_count_the_same_whatever_their_size():
    labels = np.array([0] * 30 + [1] * 10)
    done = compare(answers(labels, [0]), answers(labels, [30]), labels, np.arange(40).astype(str))
    assert done.difference == pytest.approx((1 / 30 - 1 / 10) / 2)


@given(st.sets(st.integers(0, 39)), st.sets(st.integers(0, 39)), st.integers(0, 40))
def test_what_is_called_hopeless_never_passes(head_wrong, tuned_wrong, known_until):
    head, tuned = answers(LABELS, sorted(head_wrong)), answers(LABELS, sorted(tuned_wrong))
    known = np.arange(40) < known_until
    if hopeless(head, LABELS, ALONE, tuned, known):
        assert not compare(head, tuned, LABELS, ALONE).passes
    elif known.all():
        assert compare(head, tuned, LABELS, ALONE).passes


def test_fine_tuning_that_is_not_ahead_is_given_up_and_that_is_ahead_never():
    head = answers(LABELS, [0, 1, 2, 3])
    behind = compare(head, answers(LABELS, range(8)), LABELS, ALONE)
    even = compare(head, answers(LABELS, [1, 2, 3, 4]), LABELS, ALONE)
    ahead = compare(head, answers(LABELS, [0, 1, 2]), LABELS, ALONE)
    assert [unpromising(behind, folds, 5) for folds in (1, 2, 4)] == [True, True, True]
    assert [unpromising(even, folds, 5) for folds in (1, 2, 4)] == [True, True, True]
    assert [unpromising(ahead, folds, 5) for folds in (1, 2, 4)] == [False, False, False]


def test_the_first_fold_is_looked_at_once_a_third_of_the_way():
    ahead = [slow_start(done, 12, 0.91, 0.9) for done in range(13)]
    level = [slow_start(done, 12, 0.9, 0.9) for done in range(13)]
    assert not any(ahead)
    assert [done for done, given_up in enumerate(level) if given_up] == [4]


def test_a_head_without_mistakes_needs_no_rival():
    head = answers(LABELS, [])
    assert hopeless(head, LABELS, ALONE, head, np.zeros(40, bool))
    head = answers(LABELS, [0, 1, 2])
    assert not hopeless(head, LABELS, ALONE, head, np.zeros(40, bool))
