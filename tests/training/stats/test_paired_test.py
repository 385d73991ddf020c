from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.stats.paired_test import Answer, compare


def answers(*pairs: tuple[bool, bool]) -> list[Answer]:
    return [Answer(str(place), *pair) for place, pair in enumerate(pairs)]


def test_the_test_is_the_exact_one_of_mcnemar() -> None:
    result = compare(answers(*[(False, True)] * 9, *[(True, False)] * 2, *[(True, True)] * 30, *[(False, False)] * 4))
    assert (result.pictures, result.champion_right, result.challenger_right) == (45, 32, 39)
    assert (result.wins, result.losses) == (9, 2)
    assert result.p_better == pytest.approx(sum(comb(11, k) for k in (9, 10, 11)) / 2**11)


def test_a_group_has_one_voice() -> None:
    result = compare([Answer("one", False, True)] * 20 + [Answer("two", True, False)] * 3)
    assert (result.wins, result.losses, result.groups, result.pictures) == (1, 1, 2, 23)
    assert compare([Answer("one", False, True), Answer("one", True, False)]).p_better == 1.0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.booleans()), max_size=60))
def test_exchanging_the_models_exchanges_the_result(rows) -> None:
    there = compare([Answer(*row) for row in rows])
    back = compare([Answer(group, new, old) for group, old, new in rows])
    assert (there.wins, there.p_better, there.champion_right) == (back.losses, back.p_worse, back.challenger_right)
    assert 0 < there.p_better <= 1
    assert there.p_better + there.p_worse >= 1
