from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.stats.paired_test import PairedAnswer, paired_test


def answers(*pairs: tuple[bool, bool]) -> list[PairedAnswer]:
    return [PairedAnswer(str(place), *pair) for place, pair in enumerate(pairs)]


def test_the_test_is_the_exact_one_of_mcnemar() -> None:
    result = paired_test(
        answers(*[(False, True)] * 9, *[(True, False)] * 2, *[(True, True)] * 30, *[(False, False)] * 4)
    )
    assert (result.pictures, result.champion_right, result.challenger_right) == (45, 32, 39)
    assert (result.wins, result.losses) == (9, 2)
    assert result.p_better == pytest.approx(sum(comb(11, k) for k in (9, 10, 11)) / 2**11)


def test_a_group_has_one_voice() -> None:
    result = paired_test([PairedAnswer("one", False, True)] * 20 + [PairedAnswer("two", True, False)] * 3)
    assert (result.wins, result.losses, result.groups, result.pictures) == (1, 1, 2, 23)
    assert paired_test([PairedAnswer("one", False, True), PairedAnswer("one", True, False)]).p_better == 1.0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.booleans()), max_size=60))
def test_exchanging_the_models_exchanges_the_result(rows) -> None:
    there = paired_test([PairedAnswer(*row) for row in rows])
    back = paired_test([PairedAnswer(group, new, old) for group, old, new in rows])
    assert (there.wins, there.p_better, there.champion_right) == (back.losses, back.p_worse, back.challenger_right)
    assert 0 < there.p_better <= 1
    assert there.p_better + there.p_worse >= 1
