"""Negatives are cleaned against the classes, kept apart from them, and divided by groups of their own."""

from collections import Counter

import pytest

from preprocessing import clean, split
from preprocessing.dataset.negatives import MEASURE, SET, divide
from preprocessing.dataset.usage import runs_using
from workspace.catalog.records import Override, Verdict
from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig
from workspace.reasons import COPY_OF_CLASS
from workspace.storage.champion import Decision, record_decision
from workspace.storage.dataset import read_dataset
from workspace.storage.run import open_run

WANTED = {"keywords": ["costume"]}


def config_of(collected, **sections: object) -> WorkspaceConfig:
    values = {"classes": {"a": ("a",), "b": ("b",)}, "negatives": WANTED, "split": {"min_per_class": 3}}
    return WorkspaceConfig.model_validate(values | sections)


def verdicts(collected, config: WorkspaceConfig) -> dict[tuple[str, str], tuple[str, str]]:
    clean.run(collected.workspace, config)
    with collected.workspace.open_catalog() as catalog:
        return {(row.sha256, row.label): (row.verdict, row.reason) for row in catalog.all(Verdict)}


def test_a_negative_that_is_a_picture_of_a_class_is_flagged_and_the_class_keeps_its_own(
    collected, picture, encode
) -> None:
    own = encode(picture(1, 200, 150))
    same_file = collected.add(own, "a", rank=3)
    collected.add(own, "none", rank=0)  # before the class's own: rank does not make it a negative
    smaller = collected.add(encode(picture(2, 200, 150).resize((120, 90)), "JPEG", quality=80), "none")
    larger = collected.add(encode(picture(3, 400, 300)), "none", license="by")
    kept = [
        collected.add(encode(picture(2, 200, 150)), "a"),
        collected.add(encode(picture(3, 400, 300).resize((200, 150)), "JPEG", quality=80), "b"),
    ]
    other = collected.add(encode(picture(4)), "none")
    found = verdicts(collected, config_of(collected))
    assert [found[sha, "none"] for sha in (same_file, smaller, larger)] == [("flag", COPY_OF_CLASS)] * 3
    assert [found[pair] for pair in ((same_file, "a"), (kept[0], "a"), (kept[1], "b"), (other, "none"))] == [
        ("keep", "")
    ] * 4
    counts = clean.run(collected.workspace, config_of(collected)).by_reason
    assert counts[f"flagged {COPY_OF_CLASS}"] == 3


def test_copies_among_negatives_are_dropped_as_among_a_class(collected, picture, encode) -> None:
    collected.add(encode(picture(1, 200, 150)), "none")
    copy = collected.add(encode(picture(1, 200, 150).resize((100, 75)), "JPEG", quality=60), "none")
    assert verdicts(collected, config_of(collected))[copy, "none"] == ("drop", "near_copy")


def test_without_the_setting_nothing_is_a_negative(collected, picture, encode) -> None:
    collected.add(encode(picture(1)), "none")
    assert verdicts(collected, config_of(collected, negatives={})) == {}


@pytest.fixture
def filled(collected, picture, encode):
    """Six pictures of each class, eight negatives of which one is a picture of a class."""
    for number in range(6):
        for place, label in enumerate("ab"):
            data = encode(picture(10 * place + number))
            collected.add(data, label)
            if (label, number) == ("a", 0):
                collected.both = collected.add(data, "none")
    collected.negatives = [collected.add(encode(picture(50 + number)), "none", creator="Ann") for number in range(2)]
    collected.negatives += [collected.add(encode(picture(60 + number)), "none") for number in range(5)]
    return collected


def frozen(collected, **sections: object):
    config = config_of(collected, **sections)
    clean.run(collected.workspace, config)
    counts = split.run(collected.workspace, config)
    return counts, open_run(collected.workspace)


def test_they_are_frozen_apart_from_the_classes_in_two_halves_of_whole_groups(filled) -> None:
    counts, run = frozen(filled)
    rows = run.negatives()
    assert {row.sha256 for row in rows} == set(filled.negatives) and counts.by_reason["negatives"] == 7
    assert {row.label for row in rows} == {"none"} and {row.label for row in run.samples()} == {"a", "b"}
    assert Counter(row.split for row in rows) == {MEASURE: 4, SET: 3}
    by_ann = {row.split for row in rows if row.creator == "Ann"}
    assert len(by_ann) == 1
    assert "only 7 negatives (6 independent)" in counts.notes[-1]
    assert runs_using(filled.workspace, {filled.negatives[0]})[0].pictures == 1
    again, same = frozen(filled)
    assert (again.done, same.folder.run_id) == (0, run.folder.run_id)


def test_the_id_of_a_run_changes_with_them_and_without_any_is_what_it_was(filled) -> None:
    _, with_some = frozen(filled)
    _, without = frozen(filled, negatives={})
    assert without.folder.run_id != with_some.folder.run_id
    assert not without.folder.negatives_file.exists() and without.negatives() == []


def test_a_person_decides_on_a_flagged_copy_and_may_move_a_picture_to_the_negatives(filled) -> None:
    moved = next(row.sha256 for row in frozen(filled)[1].samples() if row.label == "b")
    with filled.workspace.open_catalog() as catalog:
        catalog.put(
            [
                Override(filled.both, "none", "keep", "", utc_now()),
                Override(filled.both, "a", "drop", "", utc_now()),
                Override(moved, "b", "relabel", "none", utc_now()),
            ]
        )
    _, run = frozen(filled)
    assert {row.sha256 for row in run.negatives()} == {*filled.negatives, filled.both, moved}
    assert not {filled.both, moved} & {row.sha256 for row in run.samples()}


def test_what_is_kept_as_both_is_of_its_class(filled) -> None:
    with filled.workspace.open_catalog() as catalog:
        catalog.put([Override(filled.both, label, "keep", "", utc_now()) for label in ("none", "a")])
    _, run = frozen(filled)
    assert filled.both not in {row.sha256 for row in run.negatives()}
    assert filled.both in {row.sha256 for row in run.samples()}


def test_what_is_kept_as_a_negative_is_no_picture_of_the_class_that_a_search_found_it_for(filled) -> None:
    with filled.workspace.open_catalog() as catalog:
        catalog.put([Override(filled.both, "none", "keep", "", utc_now())])
    _, run = frozen(filled)
    assert filled.both in {row.sha256 for row in run.negatives()}
    assert filled.both not in {row.sha256 for row in run.samples()}


def test_parts_stay_what_they_were_in_a_run_that_was_decided_on(filled, picture, encode) -> None:
    _, run = frozen(filled)
    before = {row.sha256: row.split for row in run.negatives()}
    why = Decision(run.folder.run_id, "published", run.folder.run_id, "the first model", utc_now(), {})
    record_decision(filled.workspace, why)
    for number in range(6):
        filled.add(encode(picture(70 + number)), "none")
    after = {row.sha256: row.split for row in frozen(filled)[1].negatives()}
    assert {sha: after[sha] for sha in before} == before and len(after) == 13
    assert abs(Counter(after.values())[SET] - Counter(after.values())[MEASURE]) == 1


def test_a_single_group_measures_and_sets_nothing() -> None:
    assert divide({"one": 9}, 0, {}) == {"one": MEASURE}
    assert divide({}, 0, {"gone": SET}) == {}


def test_wanted_and_none_clean_is_said(filled) -> None:
    with filled.workspace.open_catalog() as catalog:
        catalog.put([Override(sha, "none", "drop", "", utc_now()) for sha in filled.negatives])
    counts, run = frozen(filled)
    assert "no negative is clean" in counts.notes[-1] and run.negatives() == []


def test_a_damaged_file_is_named(filled) -> None:
    _, run = frozen(filled)
    run.folder.negatives_file.write_bytes(b"PAR1")
    with pytest.raises(Exception, match=r"negatives.parquet cannot be read"):
        read_dataset(run.folder.negatives_file)
