"""The label that a person gave counts before that of a search, and a file that was moved has the new one alone."""

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collectors import download, inbox, search
from preprocessing import clean
from preprocessing.dataset.negatives import choose_negatives
from workspace.catalog.records import Download, Hit, Override
from workspace.config.model import WorkspaceConfig
from workspace.storage.paths import Workspace


def settings(folder: Path | None = None, **sections: object) -> WorkspaceConfig:
    own = {"sources": ["folder"], "folder": {"path": str(folder)}, "per_class": 100_000} if folder else {}
    classes = {label: [label] for label in ("cat", "dog", "fox")}
    return WorkspaceConfig.model_validate({"classes": classes, "search": own, "clean": {"workers": 1}, **sections})


def put(file: Path, seed: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    layers = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    noise = np.random.default_rng(seed).normal(0, 9, (200, 200, 3))
    smooth = np.asarray(Image.fromarray(layers).resize((200, 200), Image.Resampling.BICUBIC))
    Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(file, "PNG")
    os.utime(file, (1_700_000_000 + seed,) * 2)
    return file


def move(file: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(file, to))


def found_by_search(workspace: Workspace, file: Path, label: str, rank: int = 0) -> str:
    """Put a file into the workspace as if a search for a class had found it; returns its sha256."""
    inbox_file = workspace.inbox / label / file.name
    inbox_file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, inbox_file)
    inbox.run(workspace, settings())
    inbox_file.unlink()
    with workspace.open_catalog() as catalog:
        (row,) = catalog.all(Download)
        catalog.delete(Hit, "label", [label])
        catalog.put([replace(row, image_url="http://x/1.png")])
        catalog.add_new([Hit(label, label, "openverse", rank, "http://x/1.png")])
    return row.sha256


def kept(workspace: Workspace, config: WorkspaceConfig) -> list[str]:
    clean.run(workspace, config)
    with workspace.open_catalog() as catalog:
        return sorted(label for _, label in catalog.kept())


def collect(workspace: Workspace, config: WorkspaceConfig) -> tuple[str, ...]:
    search.run(workspace, config)
    return download.run(workspace, config, warn_of_contact=False).notes


def test_an_own_photograph_that_was_moved_is_of_its_new_class(tmp_path) -> None:
    workspace, mine = Workspace(tmp_path / "ws"), tmp_path / "mine"
    config = settings(mine)
    file = put(mine / "cat/a.png", 1)
    for number in range(20):  # so that its rank under `dog` is far worse
        put(mine / f"dog/{number}.png", 100 + number)
    collect(workspace, config)
    assert kept(workspace, config) == ["cat"] + ["dog"] * 20
    file = move(file, mine / "dog/z.png")
    assert collect(workspace, config) == ("1 own file that was moved to another class is now of that class alone",)
    assert kept(workspace, config) == ["dog"] * 21
    move(file, mine / "cat/a.png")  # and back again
    collect(workspace, config)
    assert kept(workspace, config) == ["cat"] + ["dog"] * 20
    assert collect(workspace, config) == ()


def test_a_row_of_a_table_that_gets_another_label_moves_its_picture(tmp_path) -> None:
    workspace, table = Workspace(tmp_path / "ws"), tmp_path / "list.csv"
    put(tmp_path / "a.png", 1)
    put(tmp_path / "b.png", 2)

    def write(*labels: str) -> None:
        with table.open("w", newline="") as out:
            csv.writer(out).writerows([("path", "label"), *zip(("a.png", "b.png"), labels, strict=True)])

    write("cat", "dog")
    collect(workspace, settings(table))
    write("dog", "dog")
    collect(workspace, settings(table))
    assert kept(workspace, settings(table)) == ["dog", "dog"]


@pytest.mark.parametrize("rank", [0, 5, 500])
def test_the_inbox_counts_before_a_search(tmp_path, rank: int) -> None:
    workspace = Workspace(tmp_path / "ws")
    file = put(tmp_path / "1.png", 1)
    found_by_search(workspace, file, "cat", rank)
    put(workspace.inbox / "dog/1.png", 1)
    inbox.run(workspace, settings())
    assert kept(workspace, settings()) == ["dog"]
    shutil.rmtree(workspace.inbox)  # once taken in, it stays so
    inbox.run(workspace, settings())
    assert kept(workspace, settings()) == ["dog"]


def test_what_is_moved_within_the_inbox_or_from_the_folder_to_it_goes_along(tmp_path) -> None:
    workspace, mine = Workspace(tmp_path / "ws"), tmp_path / "mine"
    config = settings(mine)
    file = put(mine / "cat/a.png", 1)
    put(mine / "fox/b.png", 2)
    collect(workspace, config)
    file = move(file, workspace.inbox / "dog/a.png")
    inbox.run(workspace, config)
    assert kept(workspace, config) == ["dog", "fox"]
    move(file, workspace.inbox / "fox/a.png")
    assert "1 own file that was moved" in "".join(inbox.run(workspace, config).notes)
    assert kept(workspace, config) == ["fox", "fox"]


def test_a_file_in_two_folders_stays_a_conflict_and_an_unreadable_folder_settles_nothing(tmp_path) -> None:
    workspace, mine = Workspace(tmp_path / "ws"), tmp_path / "mine"
    config = settings(mine)
    for label in ("cat", "dog"):
        put(mine / label / "a.png", 1)
    put(mine / "fox/b.png", 2)
    assert collect(workspace, config) == ()
    assert kept(workspace, config) == ["fox"]
    move(mine, tmp_path / "elsewhere")
    put(workspace.inbox / "dog/a.png", 1)
    assert inbox.run(workspace, config).notes == ()
    assert kept(workspace, config) == ["fox"]


def test_a_file_of_another_folder_was_not_moved_and_its_other_label_is_a_conflict(tmp_path) -> None:
    workspace, one, two = Workspace(tmp_path / "ws"), tmp_path / "one", tmp_path / "two"
    put(one / "cat/a.png", 1)
    put(one / "dog/b.png", 2)
    put(two / "dog/x.png", 1)  # a.png again, by mistake
    put(two / "cat/y.png", 3)
    collect(workspace, settings(one))
    for folder in (two, one):
        assert collect(workspace, settings(folder)) == ()
        assert kept(workspace, settings(folder)) == ["cat", "dog"]
    (two / "dog/x.png").unlink()  # only gone: whether it lies in the other folder is not looked up
    assert collect(workspace, settings(two)) == ()


def test_what_was_kept_in_review_and_is_moved_stays_and_is_not_told(tmp_path) -> None:
    workspace = Workspace(tmp_path / "ws")
    file = put(workspace.inbox / "cat/a.png", 1)
    inbox.run(workspace, settings())
    assert kept(workspace, settings()) == ["cat"]
    with workspace.open_catalog() as catalog:
        catalog.put(Override(sha, label, "keep") for sha, label in catalog.kept())
    move(file, workspace.inbox / "dog/a.png")
    assert inbox.run(workspace, settings()).notes == ()
    assert kept(workspace, settings()) == ["cat"]


@pytest.mark.parametrize("lost", ["unreadable", "removed from the settings", "another"])
def test_a_negative_whose_folder_is_not_looked_at_is_not_gone(tmp_path, lost: str) -> None:
    workspace, folder = Workspace(tmp_path / "ws"), tmp_path / "toys"
    file = put(folder / "deep/a.png", 1)
    negatives = {"folder": str(folder), "keywords": ["toy"]}
    inbox.run(workspace, settings(negatives=negatives))
    if lost == "unreadable":
        shutil.rmtree(file.parent)
        file.parent.symlink_to(file.parent)  # a loop: looking into it is an error
    else:
        other = put(tmp_path / "others/b.png", 2).parent
        negatives["folder"] = "" if lost == "removed from the settings" else str(other)
    put(workspace.inbox / "dog/a.png", 1)
    notes = inbox.run(workspace, settings(negatives=negatives)).notes
    assert "moved" not in "".join(notes)
    with workspace.open_catalog() as catalog:
        assert {"none", "dog"} <= {hit.label for hit in catalog.all(Hit)}


def test_files_that_are_only_gone_keep_their_labels(tmp_path) -> None:
    workspace = Workspace(tmp_path / "ws")
    put(workspace.inbox / "cat/1.png", 1)
    inbox.run(workspace, settings())
    shutil.rmtree(workspace.inbox)
    inbox.run(workspace, settings())
    assert kept(workspace, settings()) == ["cat"]


@pytest.mark.parametrize(("decision", "stays"), [(("keep", ""), ["cat"]), (("relabel", "fox"), ["fox"])])
def test_what_was_decided_in_review_counts_before_the_inbox(tmp_path, decision, stays) -> None:
    workspace = Workspace(tmp_path / "ws")
    sha = found_by_search(workspace, put(tmp_path / "1.png", 1), "cat")
    with workspace.open_catalog() as catalog:
        catalog.put([Override(sha, "cat", *decision)])
    put(workspace.inbox / "dog/1.png", 1)
    inbox.run(workspace, settings())
    assert kept(workspace, settings()) == stays


@pytest.mark.parametrize("decision", [("keep", ""), ("relabel", "panther")])
def test_a_decision_under_what_is_no_class_now_takes_nothing_from_the_class_in_its_place(tmp_path, decision) -> None:
    workspace = Workspace(tmp_path / "ws")
    sha = found_by_search(workspace, put(tmp_path / "1.png", 1), "cat")
    with workspace.open_catalog() as catalog:
        catalog.put([Override(sha, "lynx", *decision)])  # no class, or one no more
    assert kept(workspace, settings()).count("cat") == 1


def test_a_negative_takes_nothing_from_a_class_that_is_as_strong(tmp_path) -> None:
    workspace = Workspace(tmp_path / "ws")
    config = settings(negatives={"keywords": ["toy"]})
    for label in ("cat", "none"):
        put(workspace.inbox / label / "1.png", 1)
    inbox.run(workspace, config)
    assert kept(workspace, config) == ["cat", "none"]
    with workspace.open_catalog() as catalog:
        assert choose_negatives(catalog, config) == []  # flagged, and left out


@pytest.mark.parametrize("decision", ["", "keep"], ids=["in the folder", "kept in review"])
def test_a_negative_of_a_person_is_none_of_the_class_for_which_a_search_found_it(tmp_path, decision) -> None:
    workspace = Workspace(tmp_path / "ws")
    config = settings(negatives={"keywords": ["toy"]})
    sha = found_by_search(workspace, put(tmp_path / "1.png", 1), "cat")
    if decision:
        with workspace.open_catalog() as catalog:
            catalog.add_new([Hit("none", "toy", "openverse", 0, "http://x/1.png")])
            catalog.put([Override(sha, "none", decision)])
    else:
        put(workspace.inbox / "none/1.png", 1)
        inbox.run(workspace, config)
    assert kept(workspace, config) == ["none"]
    with workspace.open_catalog() as catalog:
        assert choose_negatives(catalog, config) == [(sha, "none")]
