"""The numbers against scikit-learn, against known intervals, and by properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from training.stats.metrics import Tally, bootstrap, confusion, effective_size, score, standard_error, wilson


@st.composite
def answered(draw):
    classes = draw(st.integers(2, 6))
    n = draw(st.integers(2, 40))
    numbers = st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)
    return classes, np.array(draw(numbers), dtype=np.int64), np.array(draw(numbers), dtype=np.int64)


@settings(max_examples=150)
@given(answered())
def test_measures_are_those_of_scikit_learn(case):
    classes, labels, predicted = case
    tally = Tally.of(labels, predicted, classes)
    everything = range(classes)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=everything, zero_division=np.nan
    )
    np.testing.assert_allclose(tally.precision(), precision)
    np.testing.assert_allclose(tally.recall(), recall)
    np.testing.assert_allclose(tally.f1(), f1)
    np.testing.assert_array_equal(tally.support, support)
    assert tally.accuracy() == pytest.approx(reference.accuracy_score(labels, predicted))
    # scikit-learn's balanced_accuracy_score warns of answers that are no label; the mean recall of the labels is it.
    expected = reference.recall_score(labels, predicted, average="macro", labels=np.unique(labels))
    assert tally.balanced_accuracy() == pytest.approx(expected)
    assert tally.macro_f1() == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    np.testing.assert_array_equal(
        confusion(labels, predicted, classes), reference.confusion_matrix(labels, predicted, labels=everything)
    )


@settings(max_examples=60)
@given(answered(), st.integers(1, 5))
def test_an_interval_holds_its_value_lies_in_0_to_1_and_is_never_a_point(case, group_size):
    classes, labels, predicted = case
    groups = [f"g{place // group_size}" for place in range(len(labels))]
    scores = score(labels, predicted, groups, classes, draws=100, seed=3)
    for measure in (scores.accuracy, scores.balanced_accuracy, scores.macro_f1):
        low, high = measure.interval
        assert 0 <= low <= measure.value <= high <= 1
    for measure in (scores.accuracy, scores.balanced_accuracy):
        assert measure.interval[1] - measure.interval[0] > 0.02


@settings(max_examples=60)
@given(answered(), st.randoms())
def test_measures_and_analytic_parts_do_not_depend_on_the_order_of_pictures(case, random):
    classes, labels, predicted = case
    groups = [f"g{place % 4}" for place in range(len(labels))]
    order = list(range(len(labels)))
    random.shuffle(order)
    before = score(labels, predicted, groups, classes, draws=100, seed=1)
    after = score(labels[order], predicted[order], [groups[place] for place in order], classes, draws=100, seed=1)
    for one, other in (
        (before.accuracy, after.accuracy),
        (before.balanced_accuracy, after.balanced_accuracy),
        (before.macro_f1, after.macro_f1),
    ):
        assert one.value == pytest.approx(other.value)
        assert one.interval == pytest.approx(other.interval)


@given(st.integers(1, 500), st.integers(0, 500))
def test_wilson_solves_its_own_equation(n, right):
    share = min(right, n) / n
    low, high = wilson(share, n)
    for limit in (low, high):
        if 1e-9 < limit < 1 - 1e-9:  # the score test: a limit is 1.96 standard errors of its own from the share
            assert abs(share - limit) == pytest.approx(1.959964 * np.sqrt(limit * (1 - limit) / n), rel=1e-5)


def test_wilson_gives_the_known_limits():
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3: 81/263 and 0/20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_groups_of_one_are_worth_their_number_and_one_large_group_is_worth_one():
    assert effective_size(np.array(["a", "b", "c"])) == 3
    assert effective_size(np.array(["a"] * 7)) == pytest.approx(1)
    assert effective_size(np.array(["a", "a", "b", "c"])) == pytest.approx(16 / 6)


def test_pictures_that_hang_together_widen_the_interval():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 120)
    right = np.repeat(rng.random(20) < 0.8, 6)  # a group of six is wholly right or wholly wrong
    predicted = np.where(right, labels, (labels + 1) % 3)
    alone = score(labels, predicted, [str(place) for place in range(120)], 3, 1000, 0).accuracy.interval
    together = score(labels, predicted, [str(place // 6) for place in range(120)], 3, 1000, 0).accuracy.interval
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def test_all_right_does_not_claim_certainty():
    labels = np.arange(30) % 3
    scores = score(labels, labels, [str(place) for place in range(30)], 3, 500, 0)
    assert scores.accuracy.interval == pytest.approx((0.8865, 1), abs=1e-4)  # Wilson, 30 of 30
    assert scores.balanced_accuracy.interval[0] < 0.9
    assert scores.macro_f1.interval == scores.balanced_accuracy.interval


def test_the_bootstrap_agrees_with_resampling_pictures_by_hand():
    rng = np.random.default_rng(11)
    labels, groups = rng.integers(0, 4, 60), [f"g{number}" for number in rng.integers(0, 25, 60)]
    predicted = np.where(rng.random(60) < 0.7, labels, rng.integers(0, 4, 60))
    drawn = bootstrap(labels, predicted, groups, 4, 3000, 7)
    members = [np.flatnonzero(np.array(groups) == name) for name in sorted(set(groups))]
    by_hand = []
    for _ in range(3000):
        chosen = np.concatenate([members[place] for place in rng.integers(0, len(members), len(members))])
        by_hand.append(reference.f1_score(labels[chosen], predicted[chosen], average="macro"))
    assert np.percentile(drawn.macro_f1(), (2.5, 50, 97.5)) == pytest.approx(
        np.percentile(by_hand, (2.5, 50, 97.5)), abs=0.015
    )


def test_the_same_seed_draws_the_same_and_another_seed_does_not(monkeypatch):
    labels, predicted = np.arange(50) % 2, (np.arange(50) // 3) % 2
    groups = [str(place) for place in range(50)]
    first = bootstrap(labels, predicted, groups, 2, 200, 1).accuracy()
    np.testing.assert_array_equal(first, bootstrap(labels, predicted, groups, 2, 200, 1).accuracy())
    assert (first != bootstrap(labels, predicted, groups, 2, 200, 2).accuracy()).any()
    monkeypatch.setattr("training.stats.metrics._CELLS_AT_A_TIME", 500)  # in twenty pieces
    np.testing.assert_array_equal(first, bootstrap(labels, predicted, groups, 2, 200, 1).accuracy())


def test_accuracy_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(200):
        labels = rng.integers(0, 3, 40)
        predicted = np.where(rng.random(40) < 0.9, labels, (labels + 1) % 3)
        low, high = score(labels, predicted, [str(k) for k in range(40)], 3, 200, seed).accuracy.interval
        covered += low <= 0.9 <= high
    assert covered >= 185  # 0.925 of 200


def test_a_standard_error_is_not_zero_where_all_is_right():
    assert 0.01 < standard_error(1.0, 60) < 0.05
    assert standard_error(0.9, 10_000) == pytest.approx(0.003, rel=0.01)
