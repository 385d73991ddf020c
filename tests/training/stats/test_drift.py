"""The comparison finds what has moved, and finds something where nothing has as rarely as it says."""

import numpy as np
import pytest

from training.stats.drift import compare, compare_all, largest_gap, total_variation


def test_what_has_moved_is_out_of_its_band_and_what_has_not_is_in_it() -> None:
    test = np.array([40, 40, 20])
    same = compare(test, np.array([205, 190, 105]), total_variation, 0.01)
    assert not same.drifted and same.statistic < same.limit and same.p > 0.1
    moved = compare(test, np.array([400, 50, 50]), total_variation, 0.01)
    assert moved.drifted and moved.statistic > moved.limit and moved.p <= 0.01
    low, high = moved.bands[0]
    assert low < 0.73 < high < 0.8  # the share of the first class, were both of one distribution
    shifted = compare(np.array([0, 10, 40, 50]), np.array([50, 200, 200, 50]), largest_gap, 0.01)
    assert shifted.drifted and shifted.statistic == pytest.approx(0.4)


def test_the_sampling_noise_of_few_test_pictures_widens_the_band() -> None:
    served = np.array([300, 200])
    few = compare(np.array([10, 10]), served, total_variation, 0.01)
    many = compare(np.array([1000, 1000]), served, total_variation, 0.01)
    assert few.limit > 3 * many.limit and many.drifted and not few.drifted


@pytest.mark.parametrize("level", [0.01, 0.001, 0.0001])
def test_what_is_far_off_is_found_at_any_level_that_can_be_set(level: float) -> None:
    measures = {str(each): (np.array([20, 20, 20]), np.array([1000, 0, 0]), total_variation) for each in range(4)}
    assert all(found.drifted for found in compare_all(measures, level).values())


def test_counts_of_one_kind_alone_are_no_drift() -> None:
    same = compare(np.array([0, 30]), np.array([0, 500]), total_variation, 0.01)
    assert not same.drifted and same.p == 1


def test_the_rate_of_false_alarms_is_at_most_the_level() -> None:
    """400 pairs of samples of one distribution, four measures each; the level is high, so that few draws show it."""
    rng, level, pairs = np.random.default_rng(1), 0.2, 400
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    alarms = 0
    for _ in range(pairs):
        test, served = (rng.multinomial(n, shares, size=4) for n in (60, 200))
        measures = {
            str(number): (test[number], served[number], (total_variation, largest_gap)[number % 2])
            for number in range(4)
        }
        alarms += any(found.drifted for found in compare_all(measures, level, draws=199).values())
    rate, error = alarms / pairs, np.sqrt(level * (1 - level) / pairs)
    assert 0.08 < rate < level + 2.5 * error
