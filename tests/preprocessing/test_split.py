import dataclasses
import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing import clean, split
from preprocessing.dataset.stratify import stratify
from workspace.catalog.records import Download, Hit, ImageFacts, Override, Verdict
from workspace.clock import utc_now
from workspace.config.clean import SplitConfig
from workspace.config.model import load_config
from workspace.errors import DatasetError
from workspace.storage.champion import Decision, record_decision
from workspace.storage.dataset import read_dataset
from workspace.storage.image_store import ImageStore

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}


class Judged:
    """A catalogue as clean leaves it, without any picture."""

    def __init__(self, collected) -> None:
        self.workspace = collected.workspace
        self.count = 0

    def add(self, label: str, *, group: str = "", drop: str = "", **hit: object) -> str:
        sha = hashlib.sha256(f"{label} {self.count}".encode()).hexdigest()
        url = f"http://pictures.test/{self.count}"
        self.count += 1
        ImageStore(self.workspace).put(sha, ".jpg", b"bytes")
        with self.workspace.open_catalog() as catalog:
            catalog.add_new([dataclasses.replace(Hit(label, label, "t", self.count, url), **hit)])
            catalog.put([Download(url, "ok", sha256=sha)])
            catalog.put([ImageFacts(sha, width=640, height=480)])
            catalog.put([Verdict(sha, label, "copy", "drop" if drop else "keep", drop, group=group)])
        return sha


@pytest.fixture
def judged(collected) -> Judged:
    return Judged(collected)


def config_for(collected, *labels: str, **sections):
    collected.ranks = dict.fromkeys(labels, 1)
    return collected.config(**sections).model_copy(update={"classes": {label: (label,) for label in labels}})


def test_shares_are_near_and_stratified_and_the_rows_complete(collected, judged) -> None:
    for label, count in (("a", 40), ("b", 20)):
        for _ in range(count):
            judged.add(label, license="by", title=f"über {label}", page_url="http://p")
    counts = split.run(judged.workspace, config_for(collected, "a", "b"))
    samples = read_dataset(judged.workspace.latest_run().dataset_file)
    assert Counter((one.label, one.split) for one in samples) == {
        ("a", "train"): 28, ("a", "val"): 6, ("a", "test"): 6,
        ("b", "train"): 14, ("b", "val"): 3, ("b", "test"): 3,
    }  # fmt: skip
    assert (counts.done, dict(counts.by_reason)) == (60, {"train": 42, "val": 9, "test": 9})
    assert samples == sorted(samples, key=lambda one: (one.label, one.sha256))
    one = samples[0]
    assert (one.title, one.license, one.width, one.height) == ("über a", "by", 640, 480)
    assert (judged.workspace.root / one.file).read_bytes() == b"bytes"


def test_the_same_content_is_the_same_run_to_the_byte(collected, judged) -> None:
    for _ in range(12):
        judged.add("a")
        judged.add("b")
    config = config_for(collected, "a", "b")
    split.run(judged.workspace, config)
    run = judged.workspace.latest_run()
    before = run.dataset_file.read_bytes()
    again = split.run(judged.workspace, config)
    assert (again.done, again.reused, judged.workspace.latest_run()) == (0, 24, run)
    run.dataset_file.unlink()  # as after a kill between the two files
    assert split.run(judged.workspace, config).done == 24
    assert run.dataset_file.read_bytes() == before
    frozen = load_config(run.config_file)
    assert frozen == config
    assert run.config_file.read_text().startswith(f"# frozen settings of run {run.run_id}\n")


def test_what_shapes_the_model_shapes_the_run_s_name_and_nothing_else_does(collected, judged, monkeypatch) -> None:
    for _ in range(12):
        judged.add("a")
        judged.add("b")
    names = {}
    for name, sections in {
        "plain": {}, "seed": {"seed": 1}, "train": {"train": {"epochs": 3}}, "side": {"clean": {"cache_side_px": 300}},
        "network": {"network": {"attempts": 2}}, "bootstrap": {"evaluate": {"bootstrap": 100}},
        "where": {"train": {"device": "cpu", "time_limit_s": 60}},
    }.items():  # fmt: skip
        split.run(judged.workspace, config_for(collected, "a", "b", **sections))
        names[name] = judged.workspace.latest_run().run_id
    assert names["network"] == names["bootstrap"] == names["where"] == names["plain"]
    monkeypatch.setattr(split, "RECIPE_VERSION", 0)
    split.run(judged.workspace, config_for(collected, "a", "b"))
    names["recipe"] = judged.workspace.latest_run().run_id
    assert len({names[name] for name in ("plain", "seed", "train", "side", "recipe")}) == 5


def test_copies_kin_and_creators_stay_together(collected, judged) -> None:
    kept = [judged.add("a") for _ in range(20)]
    kin = [judged.add("a", group=kept[0]) for _ in range(2)] + kept[:1]
    album = [judged.add(label, creator=" Ann ") for label in "aabb"]
    elsewhere = judged.add("a", creator="Ann", source="other")
    for _ in range(20):
        judged.add("b", creator="unknown")
    split.run(judged.workspace, config_for(collected, "a", "b"))
    samples = {one.sha256: one for one in read_dataset(judged.workspace.latest_run().dataset_file)}
    for group in (kin, album):
        assert len({samples[sha].split for sha in group}) == 1
        assert len({samples[sha].group for sha in group}) == 1
    assert samples[elsewhere].group == elsewhere
    assert len({one.group for one in samples.values() if one.creator == "unknown"}) == 20


def test_a_person_has_the_last_word(collected, judged) -> None:
    original = judged.add("a")
    others = [judged.add(label) for label in "a" * 11 + "b" * 12]
    wanted = judged.add("a", drop="near_copy", group=original)
    judged.add("a", drop="blank")
    gone = judged.add("a")
    moved = judged.add("a")
    with judged.workspace.open_catalog() as catalog:
        catalog.put([Override(wanted, "a", "keep"), Override(gone, "a", "drop"), Override(moved, "a", "relabel", "b")])
    split.run(judged.workspace, config_for(collected, "a", "b"))
    samples = {one.sha256: one for one in read_dataset(judged.workspace.latest_run().dataset_file)}
    assert set(samples) == {original, *others, wanted, moved}
    assert (samples[moved].label, samples[moved].keyword) == ("b", "a")
    assert samples[wanted].split == samples[original].split


def propose(judged: Judged, shas: list[str], label: str, verdict: str) -> None:
    with judged.workspace.open_catalog() as catalog:
        catalog.put([Verdict(sha, label, "curate", verdict, "off_topic", 0.1) for sha in shas])


def test_what_curate_flags_stays_and_is_marked_until_a_person_decides(collected, judged) -> None:
    mine = {label: [judged.add(label) for _ in range(20)] for label in "ab"}
    propose(judged, mine["a"][:5], "a", "flag")
    propose(judged, mine["b"][:1], "b", "keep")
    with judged.workspace.open_catalog() as catalog:
        catalog.put([Override(mine["a"][0], "a", "keep"), Override(mine["a"][1], "a", "relabel", "b")])
    split.run(judged.workspace, config_for(collected, "a", "b"))
    samples = read_dataset(judged.workspace.latest_run().dataset_file)
    assert len(samples) == 40
    assert {one.sha256 for one in samples if one.flagged} == set(mine["a"][2:5])


def test_what_curate_drops_leaves_train_and_val_but_never_the_test(collected, judged) -> None:
    mine = {label: [judged.add(label) for _ in range(20)] for label in "ab"}
    config = config_for(collected, "a", "b")
    split.run(judged.workspace, config)
    before = {one.sha256: one for one in read_dataset(judged.workspace.latest_run().dataset_file)}
    propose(judged, mine["a"], "a", "drop")
    with judged.workspace.open_catalog() as catalog:
        catalog.put([Override(sha, "a", "keep") for sha in mine["a"][:10]])
    split.run(judged.workspace, config)
    after = {one.sha256: one for one in read_dataset(judged.workspace.latest_run().dataset_file)}
    assert all(after[sha].split == before[sha].split for sha in after)
    gone = before.keys() - after.keys()
    assert gone <= set(mine["a"][10:])
    assert {before[sha].split for sha in gone} <= {"train", "val"}
    assert {one.split for one in after.values() if one.flagged} <= {"test", "val"}  # val: the last of its class
    assert Counter(one.split for one in after.values() if one.label == "a")["test"] == 3


def test_a_class_keeps_the_last_picture_of_a_split(collected, judged) -> None:
    mine = {label: [judged.add(label) for _ in range(20)] for label in "ab"}
    config = config_for(collected, "a", "b")
    split.run(judged.workspace, config)
    samples = read_dataset(judged.workspace.latest_run().dataset_file)
    propose(judged, [one.sha256 for one in samples if one.label == "a" and one.split == "val"], "a", "drop")
    split.run(judged.workspace, config)
    after = read_dataset(judged.workspace.latest_run().dataset_file)
    assert Counter(one.split for one in after if one.label == "a") == {"train": 14, "val": 1, "test": 3}
    assert len(mine["b"]) == sum(one.label == "b" for one in after)


def test_the_credits_come_from_the_appearance_with_a_licence(collected, judged) -> None:
    shas = [judged.add(label) for label in "a" * 10 + "b" * 10]
    with judged.workspace.open_catalog() as catalog:
        for rank, (license_, creator) in enumerate([("", "thief"), ("by", "Ann"), ("by-sa", "Bob")]):
            url = f"http://again.test/{rank}"
            catalog.add_new([Hit("a", "a", "t", rank, url, creator=creator, license=license_)])
            catalog.put([Download(url, "ok", sha256=shas[0])])
    split.run(judged.workspace, config_for(collected, "a", "b"))
    sample = next(one for one in read_dataset(judged.workspace.latest_run().dataset_file) if one.sha256 == shas[0])
    assert (sample.creator, sample.license) == ("Ann", "by")


def test_too_small_a_class_is_an_error_that_says_what_happened_and_what_to_do(collected, judged) -> None:
    for _ in range(7):
        judged.add("a")
    judged.add("a", drop="blank")
    for _ in range(9):
        judged.add("b")
    with pytest.raises(DatasetError) as caught:
        split.run(judged.workspace, config_for(collected, "a", "b", "c"))
    text = str(caught.value)
    assert "'a' has 7: 8 found, 1 dropped (blank 1), 7 kept; give the class more keywords" in text
    assert "'c' has 0: 0 found, 0 kept; no source found anything for its keywords" in text
    assert "'b'" not in text
    assert not judged.workspace.runs.exists()


def test_a_class_by_two_people_cannot_be_split_three_ways(collected, judged) -> None:
    for index in range(10):
        judged.add("a", creator=f"person {index % 2}")
        judged.add("b")
    with pytest.raises(DatasetError, match=r"'a' form 2 groups .* Add keywords"):
        split.run(judged.workspace, config_for(collected, "a", "b"))


def test_one_creator_of_most_of_a_class_goes_to_train_and_is_told(collected, judged) -> None:
    for index in range(20):
        judged.add("a", creator="Ann" if index < 12 else "")
        judged.add("b")
    counts = split.run(judged.workspace, config_for(collected, "a", "b"))
    samples = read_dataset(judged.workspace.latest_run().dataset_file)
    assert {one.split for one in samples if one.creator == "Ann"} == {"train"}
    assert counts.notes == ("12 of 20 pictures of 'a' form one group (copies, or one creator)",)


def test_a_dataset_that_is_missing_or_damaged_is_a_dataset_error(tmp_path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        read_dataset(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_dataset(tmp_path / "bad.parquet")


GROUPS = st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(1, 6), min_size=1, max_size=2), max_size=40)


@settings(max_examples=80)
@given(GROUPS, st.lists(st.integers(1, 6), min_size=6, max_size=9), st.integers(0, 9))
def test_every_label_reaches_every_split_whatever_the_groups(mixed, alone, seed) -> None:
    both = [{label: size} for size in alone for label in "ab"]
    groups = {f"g{index}": group for index, group in enumerate([*mixed, *both])}
    got = stratify(groups, SplitConfig(), seed)
    assert got.keys() == groups.keys()
    placed = {(got[name], label) for name, group in groups.items() for label in group}
    assert placed == {(name, label) for name in SHARES for label in "ab"}
    assert stratify(dict(reversed(groups.items())), SplitConfig(), seed) == got


@settings(max_examples=60)
@given(st.lists(st.integers(1, 4), min_size=40, max_size=120), st.integers(0, 9))
def test_shares_are_met_to_within_a_group(sizes, seed) -> None:
    groups = {f"g{index}": {"ab"[index % 2]: size} for index, size in enumerate(sizes)}
    got = stratify(groups, SplitConfig(), seed)
    for label in "ab":
        total = sum(group.get(label, 0) for group in groups.values())
        for name, share in SHARES.items():
            placed = sum(groups[group].get(label, 0) for group, where in got.items() if where == name)
            assert abs(placed - share * total) <= 4


def test_a_group_too_large_for_val_or_test_goes_to_train() -> None:
    groups = {"twelve": {"a": 12}, "four": {"a": 4}, **{f"single {index}": {"a": 1} for index in range(4)}}
    got = stratify(groups, SplitConfig(), 0)
    assert got["twelve"] == got["four"] == "train"
    assert Counter(got.values()) == {"train": 2, "val": 2, "test": 2}


def test_another_seed_is_another_split() -> None:
    groups = {f"g{index}": {"a": 1} for index in range(40)}
    assert stratify(groups, SplitConfig(), 0) == stratify(groups, SplitConfig(), 0)
    assert stratify(groups, SplitConfig(), 0) != stratify(groups, SplitConfig(), 1)


def test_clean_then_split_on_pictures(collected, picture, encode) -> None:
    for seed in range(16):
        image = picture(seed, 90, 80)
        collected.add(encode(image), "ab"[seed % 2])
        if seed < 4:
            collected.add(encode(image.resize((80, 71)), "JPEG", quality=80), "ab"[seed % 2])
    config = collected.config()
    assert clean.run(collected.workspace, config).by_reason["kept"] == 16
    counts = split.run(collected.workspace, config)
    assert dict(counts.by_reason) == {"train": 12, "val": 2, "test": 2}
    assert len(counts.notes) == 4


def decide_on_latest_run(workspace) -> dict[str, str]:
    """As publish does; gives the run's split by sha256."""
    run = workspace.latest_run()
    record_decision(workspace, Decision(run.run_id, "kept_champion", "", "a test", utc_now()))
    return {one.sha256: one.split for one in read_dataset(run.dataset_file)}


def test_after_a_decision_every_test_picture_stays_in_test_with_its_group(collected, judged) -> None:
    config = config_for(collected, "a", "b")
    for label in "a" * 30 + "b" * 30:
        judged.add(label)
    split.run(judged.workspace, config)
    first = decide_on_latest_run(judged.workspace)
    assert split.run(judged.workspace, config).done == 0  # nothing new: the same run, to the name

    tested, trained = ([sha for sha, where in first.items() if where == part] for part in ("test", "train"))
    in_kin = judged.add("a", group=tested[0])
    bridge = judged.add("a", group=trained[0])
    with judged.workspace.open_catalog() as catalog:  # the bridge makes a tested and a trained picture kin
        catalog.put([Verdict(bridge, "a", "check", "keep", group=tested[1])])
        catalog.put([Override(tested[2], "a", "drop"), Override(tested[2], "b", "drop")])
    for label in "a" * 20 + "b" * 20:
        judged.add(label)
    split.run(judged.workspace, config.model_copy(update={"seed": 5}))
    second = decide_on_latest_run(judged.workspace)
    assert {second[sha] for sha in (*tested[:2], *tested[3:], in_kin, bridge, trained[0])} == {"test"}
    assert tested[2] not in second
    moved = {sha for sha in first if sha != tested[2] and second[sha] != first[sha]}
    assert moved == {trained[0]}
    new = [where for sha, where in second.items() if sha not in first]
    assert {"train", "val", "test"} == set(new)

    for label in "ab" * 10:
        judged.add(label)
    split.run(judged.workspace, config)
    third = decide_on_latest_run(judged.workspace)
    assert all(third[sha] == where for sha, where in second.items())


@settings(max_examples=80)
@given(GROUPS, GROUPS, st.lists(st.integers(1, 6), min_size=6, max_size=9), st.integers(0, 9), st.data())
def test_what_was_in_test_stays_there_and_every_label_is_everywhere(old, new, alone, seed, data) -> None:
    both = [{label: size} for size in alone for label in "ab"]
    before = {f"both{index}": group for index, group in enumerate(both)}
    before |= {f"old{index}": group for index, group in enumerate(old)}
    first = stratify(before, SplitConfig(), seed)
    later = before | {f"new{index}": group for index, group in enumerate(new)}
    for name in data.draw(st.sets(st.sampled_from(sorted(before)[len(both) :])) if old else st.just(set())):
        del later[name]
    second = stratify(later, SplitConfig(), seed + 1, first)
    assert second.keys() == later.keys()
    assert all(second[name] == "test" for name, where in first.items() if where == "test" and name in later)
    placed = {(second[name], label) for name, group in later.items() for label in group}
    assert placed == {(name, label) for name in SHARES for label in "ab"}
    assert stratify(before, SplitConfig(), seed + 1, first) == first
