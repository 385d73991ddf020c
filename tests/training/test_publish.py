"""A challenger against the live model: real models and pictures, one of them made worse on purpose."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from training import evaluate, publish, train
from training.evaluation.fair_test import fair_test, renamed_classes
from workspace.catalog.records import Download, Hit, Override, Sample, Verdict, Withdrawal
from workspace.errors import ModelError
from workspace.files.atomic import write_atomic
from workspace.storage.champion import DECISIONS, read_champion, read_decisions, roll_back
from workspace.storage.dataset import dataset_bytes, read_dataset
from workspace.storage.paths import Workspace


@pytest.fixture(scope="module")
def good(tmp_path_factory, trainable_in, settings) -> Workspace:
    """A workspace with a model that is always right on its 9 test pictures."""
    config = settings(train__epochs=0)
    workspace = trainable_in(tmp_path_factory.mktemp("publish"), config)
    folder = workspace.run("first")
    rows = read_dataset(folder.dataset_file)
    taken: dict[str, int] = {}
    moved = []
    for one in rows:  # 4 to train, 1 to validate, 3 to test of each kind
        place = taken[one.label] = taken.get(one.label, 0) + 1
        moved.append(dataclasses.replace(one, split="train" if place < 5 else "val" if place < 6 else "test"))
    write_atomic(folder.dataset_file, dataset_bytes(moved))
    for one in rows:
        write_atomic(workspace.root / one.file, b"there")
    train.run(workspace, config)
    evaluate.run(workspace, config)
    return workspace


@pytest.fixture
def arena(good, tmp_path) -> Workspace:
    """A copy with the runs `good` and `bad`: the same network, but `bad` has its classes mixed up."""
    shutil.copytree(good.root, tmp_path / "ws")
    workspace = Workspace(tmp_path / "ws")
    (workspace.runs / "first").rename(workspace.runs / "good")
    shutil.copytree(workspace.runs / "good", workspace.runs / "bad")
    weights = workspace.run("bad").model / "model.safetensors"
    state = load_file(weights)
    for name in ("head.weight", "head.bias"):
        state[name] = torch.roll(state[name], 1, dims=0).contiguous()
    save_file(state, weights)
    return workspace


def decide(workspace: Workspace, config, run_id: str) -> str:
    workspace.point_to(run_id)
    publish.run(workspace, config)
    return read_decisions(workspace)[-1].action


def test_the_first_model_is_published_a_better_one_too_and_a_worse_one_is_not(arena, settings) -> None:
    config = settings()
    assert decide(arena, config, "bad") == "published"
    assert read_champion(arena).why == "the first model"
    assert decide(arena, config, "good") == "published"
    live = read_champion(arena)
    assert live.champion == "good"
    assert live.numbers["wins"] == live.numbers["pictures"] == 9
    assert live.numbers["p_better"] == pytest.approx(1 / 2**9)
    shutil.copytree(arena.runs / "bad", arena.runs / "worse")
    assert decide(arena, config, "worse") == "kept_champion"
    assert read_champion(arena) == live
    assert read_decisions(arena)[-1].why.startswith(
        "not better, and no model can be until there are more test pictures: of 9 test"
    )

    decisions = (arena.root / DECISIONS).read_bytes()
    again = publish.run(arena, config)
    assert (again.done, again.reused) == (0, 1)
    assert again.notes[0].startswith("nothing new: this model was decided on 2")
    assert (arena.root / DECISIONS).read_bytes() == decisions


def test_an_equal_model_is_not_published(arena, settings) -> None:
    shutil.copytree(arena.runs / "good", arena.runs / "equal")
    assert decide(arena, settings(), "good") == "published"
    assert decide(arena, settings(), "equal") == "kept_champion"


def test_better_by_too_little_is_not_proven(arena, settings) -> None:
    assert decide(arena, settings(), "bad") == "published"
    assert decide(arena, settings(retrain__publish_level=0.001), "good") == "kept_champion"
    assert "not proven better" in read_decisions(arena)[-1].why


def test_a_model_that_was_rolled_back_from_stays_out(arena, settings) -> None:
    for run_id in ("bad", "good"):
        decide(arena, settings(), run_id)
    roll_back(arena)
    again = publish.run(arena, settings())  # the latest run is still `good`
    assert again.done == 0
    assert again.notes[-1].startswith("a person went back from it since; to make it live again: collect-and-t")
    assert read_champion(arena).champion == "bad"


def test_of_a_model_that_another_replaced_it_is_not_said_that_a_person_went_back(arena, settings) -> None:
    for run_id in ("bad", "good", "bad"):
        arena.point_to(run_id)
        said = publish.run(arena, settings()).notes
    assert said[-1].startswith("a later model, good, replaced it since; to make it live again: collect-and-train roll")


def test_after_a_rollback_a_model_of_the_same_pictures_that_was_kept_out_is_not_published_either(
    arena, settings
) -> None:
    decide(arena, settings(), "bad")
    decide(arena, settings(), "good")
    shutil.copytree(arena.runs / "good", arena.runs / "equal")
    assert decide(arena, settings(), "equal") == "kept_champion"
    roll_back(arena)
    again = publish.run(arena, settings())  # against `bad` it would win
    assert (again.done, read_champion(arena).champion) == (0, "bad")
    shutil.copytree(arena.runs / "good", arena.runs / "newer")
    assert decide(arena, settings(), "newer") == "published"


def test_pictures_that_either_learnt_from_a_person_dropped_or_are_gone_take_no_part(arena, settings) -> None:
    decide(arena, settings(), "good")
    rows = read_dataset(arena.run("good").dataset_file)
    tested = [one for one in rows if one.split == "test"]
    learnt, kin, dropped, gone, frozen, *others = tested
    changed = [one for one in rows if one not in (dropped, gone, frozen)]
    changed[changed.index(learnt)] = dataclasses.replace(learnt, split="train", group="family")
    changed[changed.index(kin)] = dataclasses.replace(kin, group="family")
    write_atomic(arena.run("bad").dataset_file, dataset_bytes(changed))
    with arena.open_catalog() as catalog:
        catalog.put([Override(dropped.sha256, dropped.label, "drop")])
    (arena.root / gone.file).unlink()
    fair = fair_test(arena, arena.run("good"), arena.run("bad"))
    assert {one.sha256 for one in fair.samples} == {one.sha256 for one in (frozen, *others)}
    assert fair.left_out == {"learnt_from": 2, "dropped_by_a_person": 1, "file_gone": 1}


def found(workspace: Workspace, creator: str, *samples: Sample) -> None:
    """Say that these images are of one creator."""
    urls = {f"https://{creator}.test/{one.sha256}.jpg": one for one in samples}
    with workspace.open_catalog() as catalog:
        catalog.put([Hit(one.label, one.label, "site", 1, url, creator=creator) for url, one in urls.items()])
        catalog.put([Download(url, "ok", sha256=one.sha256) for url, one in urls.items()])


def test_images_that_belong_together_across_the_two_runs_vote_once(arena, settings) -> None:
    decide(arena, settings(), "bad")
    rows = read_dataset(arena.run("good").dataset_file)
    tested = [one for one in rows if one.split == "test"]
    jane = [one for one in tested if one.label == tested[0].label][:3]
    copy, kept = [one for one in tested if one.label != tested[0].label][:2]
    # Each run knows a part of what belongs together, under a name of its own, which the other has for something else.
    for run_id, gone, group in (("bad", (jane[2], kept), "x"), ("good", (jane[0], jane[1], copy), "x")):
        named = {one.sha256: group for one in ((jane[0], jane[1]) if run_id == "bad" else (kept,))}
        left = [dataclasses.replace(one, group=named.get(one.sha256, "")) for one in rows if one not in gone]
        write_atomic(arena.run(run_id).dataset_file, dataset_bytes(left))
    found(arena, "jane", jane[1], jane[2])
    with arena.open_catalog() as catalog:
        catalog.put([Verdict(copy.sha256, copy.label, "clean", "drop", "near_copy", 0.9, kept.sha256)])
    assert decide(arena, settings(retrain__publish_level=0.1), "good") == "published"
    numbers = read_champion(arena).numbers
    assert (numbers["pictures"], numbers["groups"], numbers["wins"]) == (9, 6, 6)


def test_an_image_is_left_out_where_the_other_model_learnt_from_one_of_its_group_of_today(arena, settings) -> None:
    decide(arena, settings(), "good")
    rows = read_dataset(arena.run("good").dataset_file)
    old, *others = [one for one in rows if one.split == "test"]
    learnt = next(one for one in rows if one.split == "train" and one.label == old.label)
    write_atomic(arena.run("good").dataset_file, dataset_bytes([one for one in rows if one != learnt]))
    write_atomic(arena.run("bad").dataset_file, dataset_bytes([one for one in rows if one != old]))
    fair = fair_test(arena, arena.run("good"), arena.run("bad"))
    assert old.sha256 in {one.sha256 for one in fair.samples}
    found(arena, "jane", old, learnt)  # cleaning has kept another of her pictures since
    fair = fair_test(arena, arena.run("good"), arena.run("bad"))
    assert {one.sha256 for one in fair.samples} == {one.sha256 for one in others}
    assert fair.left_out == {"learnt_from": 1}


def test_a_creator_whom_only_the_datasets_name_votes_once(arena, settings) -> None:
    rows = read_dataset(arena.run("good").dataset_file)
    by_jane = [dataclasses.replace(one, creator="Jane") if one.split == "test" else one for one in rows]
    first, *others = [one for one in by_jane if one.split == "test"]
    write_atomic(arena.run("good").dataset_file, dataset_bytes([one for one in by_jane if one != first]))
    write_atomic(arena.run("bad").dataset_file, dataset_bytes([one for one in by_jane if one not in others]))
    fair = publish.fair_test(arena, arena.run("bad"), arena.run("good"))
    assert len(fair.samples) == len(others) + 1 and len({one.group for one in fair.samples}) == 1


def rename_class(workspace: Workspace, run_id: str, old: str, new: str) -> None:
    run = workspace.run(run_id)
    rows = [dataclasses.replace(one, label=new) if one.label == old else one for one in read_dataset(run.dataset_file)]
    write_atomic(run.dataset_file, dataset_bytes(rows))
    card = json.loads((run.model / "card.json").read_text())
    card["classes"] = [new if name == old else name for name in card["classes"]]
    (run.model / "card.json").write_text(json.dumps(card))


def replace_class(workspace: Workspace, run_id: str, old: str, new: str) -> None:
    """Give a run another class in place of one of its own: other pictures, none of which the other run has."""
    rename_class(workspace, run_id, old, new)
    run = workspace.run(run_id)
    rows = [
        dataclasses.replace(one, sha256=one.sha256[::-1]) if one.label == new else one
        for one in read_dataset(run.dataset_file)
    ]
    write_atomic(run.dataset_file, dataset_bytes(rows))


@pytest.mark.parametrize(
    ("first", "second", "outcome"), [("bad", "good", "published"), ("good", "bad", "kept_champion")]
)
def test_with_other_classes_only_the_shared_ones_count_and_not_worse_is_enough(
    arena, settings, first, second, outcome
) -> None:
    replace_class(arena, second, "cyan", "violet")
    config = settings(retrain__publish_level=0.1)
    decide(arena, config, first)
    assert decide(arena, config, second) == outcome
    last = read_decisions(arena)[-1]
    assert last.numbers["pictures"] == 6
    assert last.why.startswith("the classes have changed, ") and "that both models know the new one is" in last.why


def test_a_renamed_class_is_the_same_class_and_not_worse_is_enough_for_its_name_to_be_answered(arena, settings) -> None:
    for run_id in ("bad", "good"):
        shutil.copytree(arena.runs / run_id, arena.runs / f"renamed {run_id}")
        rename_class(arena, f"renamed {run_id}", "cyan", "Rosé")
    decide(arena, settings(), "good")
    assert decide(arena, settings(), "renamed bad") == "kept_champion"
    last = read_decisions(arena)[-1]
    assert (last.numbers["pictures"], last.numbers["champion_right"]) == (9, 9)
    assert last.why.startswith("classes have new names: 'cyan' is 'Rosé', but on the classes ")
    assert decide(arena, settings(), "renamed good") == "published"


def test_models_that_share_one_class_cannot_be_compared_and_it_says_so(arena, settings) -> None:
    labels = sorted({one.label for one in read_dataset(arena.run("good").dataset_file)})
    for number, label in enumerate(labels[1:]):
        replace_class(arena, "bad", label, f"other {number}")
    decide(arena, settings(), "good")
    assert decide(arena, settings(), "bad") == "published"
    assert read_champion(arena).why == (
        "the classes have changed, and the models share 1 class, too few to compare them"
    )


def test_a_live_model_that_has_learnt_from_a_withdrawn_picture_gives_way_to_one_that_is_not_worse(
    arena, settings
) -> None:
    shutil.copytree(arena.runs / "good", arena.runs / "without")
    decide(arena, settings(), "good")
    learnt = next(one for one in read_dataset(arena.run("good").dataset_file) if one.split == "train")
    with arena.open_catalog() as catalog:
        catalog.put([Withdrawal("file", learnt.sha256, "2026-11-26T00:00:00Z")])
    assert decide(arena, settings(), "bad") == "kept_champion"
    assert "but on the classes that both models know the new one is worse" in read_decisions(arena)[-1].why
    assert decide(arena, settings(), "without") == "published"
    assert read_champion(arena).why.startswith(
        "the live model has learnt from 1 picture that was withdrawn since, and on the classes that both models know"
    )


def test_flagged_test_pictures_are_counted_and_a_person_is_told_what_to_do(arena, settings) -> None:
    run = arena.run("bad")
    rows = read_dataset(run.dataset_file)
    flagged = next(one for one in rows if one.split == "test")
    write_atomic(run.dataset_file, dataset_bytes([dataclasses.replace(one, flagged=one is flagged) for one in rows]))
    decide(arena, settings(), "good")
    arena.point_to("bad")
    counts = publish.run(arena, settings())
    assert counts.by_reason["not published"] == 1 and counts.by_reason["test pictures"] == 9
    assert "1 of these 9 test pictures are flagged as off topic or mislabelled; to look at them: " in counts.notes[1]
    assert counts.notes[2].endswith(f"rollback -w {arena.root} --to bad")


def test_a_class_has_a_new_name_where_most_of_its_pictures_bear_it() -> None:
    def rows(**names: str) -> list[Sample]:
        return [Sample(sha, label, "train", "", *[""] * 10, 1, 1) for sha, label in names.items()]

    old = rows(a="cat", b="cat", c="cat", d="dog", e="owl", f="hen", g="hen")
    assert renamed_classes(old, rows(a="Katze", b="Katze", c="dog", d="dog")) == {"cat": "Katze"}
    assert renamed_classes(old, rows(a="Katze", b="lynx", d="dog")) == {}  # parted
    assert renamed_classes(old, rows(a="bird", e="bird", f="bird")) == {}  # made one
    assert renamed_classes(old, rows(a="dog", b="dog", d="dog")) == {}  # taken into another
    assert renamed_classes(old, rows(x="Katze", d="dog")) == {}  # nothing in common
    assert renamed_classes(old, rows(a="tiger", d="dog")) == {}  # one of two or more went over to a new class


def test_a_live_model_that_is_damaged_is_replaced_and_the_reason_kept(arena, settings) -> None:
    decide(arena, settings(), "good")
    (arena.run("good").model / "model.safetensors").write_bytes(b"no weights")
    assert decide(arena, settings(), "bad") == "published"
    assert "cannot be used any more" in read_champion(arena).why


def test_a_live_model_that_is_gone_is_replaced_by_a_run_that_had_been_kept_out(arena, settings) -> None:
    decide(arena, settings(), "good")
    assert decide(arena, settings(), "bad") == "kept_champion"
    shutil.rmtree(arena.run("good").root)
    assert publish.run(arena, settings()).done == 1
    assert "the live model good cannot be used any more" in read_champion(arena).why


def test_a_run_without_numbers_is_refused(arena, settings) -> None:
    arena.run("good").metrics_file.unlink()
    with pytest.raises(ModelError, match="collect-and-train evaluate"):
        decide(arena, settings(), "good")
