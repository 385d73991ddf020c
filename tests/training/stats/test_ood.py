import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.stats.ood import NegativeScores, OodLimits, far_out, fit_limits, neighbour_distances, own_distances

SHARES = st.floats(0.5, 1.0)
SCORES = arrays(np.float32, st.integers(1, 80), elements=st.floats(0, 1, width=32))


@given(SCORES, SHARES, st.integers(0, 2**32))
def test_own_pictures_pass_with_the_share_that_was_asked_for(probability, accept, seed):
    distance = np.random.default_rng(seed).choice(probability, len(probability))  # with ties
    passed = fit_limits(probability, distance, accept).accepts(probability, distance)
    assert passed.mean() >= accept or passed.all()


@given(st.integers(40, 300), st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.integers(0, 2**32))
def test_without_ties_no_more_pass_than_must(count, accept, seed):
    rng = np.random.default_rng(seed)
    probability, distance = rng.permutation(count).astype(np.float32), rng.permutation(count).astype(np.float32)
    alone = fit_limits(probability, None, accept).accepts(probability, None)
    assert alone.sum() == np.ceil((count + 1) * accept - 1e-9)
    both = fit_limits(probability, distance, accept).accepts(probability, distance)
    assert np.ceil((count + 1) * accept - 1e-9) <= both.sum() <= np.ceil((count + 1) * accept) + 1


def test_a_new_own_picture_passes_as_often_as_promised_and_the_odd_one_in_either_score_does_not():
    rng = np.random.default_rng(0)

    def own(count):
        return rng.beta(8, 2, count).astype(np.float32), rng.gamma(4, 0.05, count).astype(np.float32)

    passed = []
    for _ in range(200):
        limits = fit_limits(*own(60), 0.95)
        passed.append(limits.accepts(*own(200)).mean())
    assert np.mean(passed) == pytest.approx(0.95, abs=0.01)
    odd = limits.accepts(np.float32([0.9, 0.05, 0.9]), np.float32([0.2, 0.2, 1.1]))
    assert odd.tolist() == [True, False, False]


def test_the_reason_names_the_score_and_its_limit():
    limits = OodLimits(0.95, 0.6, 0.4)
    assert limits.why_none("cat", 0.7, 0.3) == ""
    assert limits.why_none("cat", 0.5, 0.3) == "unsure: cat 0.50, own pictures have at least 0.60"
    far = limits.why_none("cat", 0.7, 0.5)
    assert far.endswith("distance 0.50, own ones have at most 0.40; best class: cat, 0.70")
    assert "distance 0.402, own ones have at most 0.400" in limits.why_none("cat", 0.7, 0.402)
    assert limits.why_none("cat", 0.59996, 0.3) == "unsure: cat 0.59996, own pictures have at least 0.60000"
    assert OodLimits(0.95, 0.6, None).why_none("cat", 0.7, 1.9) == ""


def test_not_a_number_gets_no_class_and_a_reason():
    limits = OodLimits(0.95, 0.6, 0.4)
    for probability, distance in ((np.nan, 0.1), (0.9, np.nan), (np.nan, np.nan)):
        assert not limits.accepts(np.float32([probability]), np.float32([distance])).any()
        assert limits.why_none("cat", probability, distance)


def test_far_out_is_judged_within_each_class():
    rng = np.random.default_rng(0)
    narrow, wide = rng.normal(0.2, 0.02, 40), rng.normal(0.8, 0.1, 12)
    distances = np.float32([*narrow, *wide, 0.6, 0.9])
    classes = np.array([*["narrow"] * 40, *["wide"] * 12, "narrow", "wide"])
    assert np.flatnonzero(far_out(distances, classes)).tolist() == [52]
    assert not far_out(np.float32([0.1, 1.9]), np.array(["a", "a"])).any()
    assert not far_out(np.float32([0.1, 1.9]), np.array(["a", "b"])).any()


def test_distances_are_those_of_sorting_every_pair():
    rng = np.random.default_rng(3)
    bank, queries = rng.normal(size=(50, 7)), rng.normal(size=(9, 7))
    cosine = (queries @ bank.T) / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(bank, axis=1)
    np.testing.assert_allclose(neighbour_distances(bank, queries, 4), np.sort(1 - cosine, axis=1)[:, 3], atol=1e-5)
    np.testing.assert_allclose(neighbour_distances(bank[:2], queries, 4), np.max(1 - cosine[:, :2], axis=1), atol=1e-5)


def test_a_pictures_own_group_does_not_vouch_for_it():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(12, 5))
    features[1] = features[0]  # a copy
    groups = np.array(["a", "a", *"bcdefghijk"])
    far = own_distances(features, groups, 1)
    others = neighbour_distances(features[2:], features[:1], 1)
    assert far[0] == pytest.approx(others[0], abs=1e-6) and far[0] > 0.01
    alone = own_distances(features, np.arange(12).astype(str), 1)
    assert alone[0] == pytest.approx(0, abs=1e-6)


def own_and_negatives(rng, negatives: int) -> tuple[np.ndarray, np.ndarray, NegativeScores]:
    """Own pictures, and negatives of which the distance tells much and the probability nothing."""
    probability, distance = rng.beta(8, 2, 400).astype(np.float32), rng.gamma(4, 0.05, 400).astype(np.float32)
    sure, far = rng.beta(8, 2, negatives).astype(np.float32), 0.32 + rng.gamma(4, 0.05, negatives).astype(np.float32)
    return probability, distance, NegativeScores(sure, far, np.arange(negatives).astype(str))


def test_negatives_choose_the_score_that_refuses_them_and_own_pictures_pass_as_before():
    own, distance, known = own_and_negatives(np.random.default_rng(0), 300)
    _, _, unseen = own_and_negatives(np.random.default_rng(1), 2000)
    before, after = fit_limits(own, distance, 0.9), fit_limits(own, distance, 0.9, known)
    assert after.accepts(own, distance).mean() >= 0.9
    passed = [limits.accepts(unseen.probability, unseen.distance).mean() for limits in (before, after)]
    assert passed[1] < 0.8 * passed[0]
    assert after.max_distance < before.max_distance and after.min_probability < before.min_probability


@given(SCORES, SHARES, st.integers(0, 2**32))
def test_with_any_negatives_own_pictures_pass_with_the_share_that_was_asked_for(probability, accept, seed):
    rng = np.random.default_rng(seed)
    distance = rng.choice(probability, len(probability))
    known = NegativeScores(*rng.random((2, 12), np.float32), np.arange(12).astype(str))
    passed = fit_limits(probability, distance, accept, known).accepts(probability, distance)
    assert passed.mean() >= accept or passed.all()


def test_negatives_that_neither_score_tells_from_own_pictures_seldom_move_anything():
    """The level of the test is 5 %; a choice and a test on the same negatives moved the limits in 4 draws of 10."""
    moved = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        own, distance = rng.beta(8, 2, 400).astype(np.float32), rng.gamma(4, 0.05, 400).astype(np.float32)
        alike = rng.beta(8, 2, 300).astype(np.float32), rng.gamma(4, 0.05, 300).astype(np.float32)
        known = NegativeScores(*alike, np.arange(300).astype(str))
        moved += fit_limits(own, distance, 0.95, known) != fit_limits(own, distance, 0.95)
    assert moved <= 7


@pytest.mark.parametrize("groups", [["a"] * 60, ["a", "b", "c"], list("abcdefgh")])
def test_few_independent_negatives_move_nothing(groups):
    own, distance, known = own_and_negatives(np.random.default_rng(0), len(groups))
    few = NegativeScores(known.probability, known.distance, np.array(groups))
    assert fit_limits(own, distance, 0.95, few) == fit_limits(own, distance, 0.95)


def test_where_the_probability_alone_decides_negatives_change_nothing():
    own, _, known = own_and_negatives(np.random.default_rng(0), 50)
    assert fit_limits(own, None, 0.95, known) == fit_limits(own, None, 0.95)
