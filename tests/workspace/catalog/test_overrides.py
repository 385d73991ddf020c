from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from workspace.catalog.overrides import Change, decide
from workspace.catalog.records import Override


def test_a_decision_is_made_changed_and_taken_back(catalog) -> None:
    made = decide(catalog, [Change("aa", "cat", "drop")])[0]
    assert made.made
    assert made.now is not None
    assert (made.now.action, made.now.made_at > "2020") == ("drop", True)
    moved = decide(catalog, [Change("aa", "cat", "relabel", "dog", seen=made.now.made_at)])[0]
    assert moved.now is not None
    assert catalog.all(Override) == [replace(moved.now, action="relabel", new_label="dog")]
    back = decide(catalog, [Change("aa", "cat", "", seen=moved.now.made_at)])[0]
    assert (back.made, back.now, catalog.all(Override)) == (True, None, [])


@pytest.mark.parametrize("action", ["keep", "drop", ""])
@pytest.mark.parametrize("seen", ["", "2020-01-01"])
def test_a_decision_on_an_outdated_view_changes_nothing_and_tells_what_is_decided(catalog, action, seen) -> None:
    theirs = decide(catalog, [Change("aa", "cat", "relabel", "dog")])[0].now
    outcomes = decide(catalog, [Change("aa", "cat", action, seen=seen), Change("bb", "cat", "drop")])
    assert (outcomes[0].made, outcomes[0].now) == (False, theirs)
    assert outcomes[1].made
    assert {override.sha256: override.action for override in catalog.all(Override)} == {"aa": "relabel", "bb": "drop"}


def test_taking_back_what_is_gone_already_comes_to_the_same(catalog) -> None:
    assert decide(catalog, [Change("aa", "cat", "", seen="2020")])[0].made


@pytest.mark.parametrize("second", [("drop", ""), ("relabel", "cow"), ("keep", "")])
def test_of_two_decisions_on_one_image_in_a_request_one_is_made_and_the_other_told(catalog, second) -> None:
    first = decide(catalog, [Change("aa", "cat", "relabel", "dog"), Change("aa", "cat", *second)])
    assert [outcome.made for outcome in first] == [True, False]
    now = first[0].now
    again = decide(catalog, [Change("aa", "cat", *second, now.made_at), Change("aa", "cat", "drop", "", now.made_at)])
    assert [outcome.made for outcome in again] == [True, second[0] == "drop"]
    assert [(row.action, row.new_label) for row in catalog.all(Override)] == [second]


def test_of_many_at_once_exactly_one_is_first_and_all_others_are_told(catalog) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: decide(catalog, [Change("aa", "cat", "drop")])[0], range(24)))
    assert sum(outcome.made for outcome in outcomes) == 1
    assert len({outcome.now for outcome in outcomes}) == 1
