"""Negatives: by keywords like a class, and from a folder of a person's own through the door of the inbox."""

import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from collectors import inbox, search
from workspace.catalog.records import Download, Hit
from workspace.config.model import WorkspaceConfig
from workspace.errors import WorkspaceError
from workspace.storage.paths import Workspace


def config_of(folder: Path | str = "", **sections: object) -> WorkspaceConfig:
    classes = {"black bear": ("black bear",), "cat": ("cat",)}
    values = {"classes": classes, "negatives": {"folder": str(folder), "keywords": ["bear costume"]}, **sections}
    return WorkspaceConfig.model_validate(values)


def put(folder: Path, name: str, colour: int = 0) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 80), (colour, 10, 10)).save(folder / name, "PNG")


def read(workspace: Workspace) -> tuple[list[Hit], list[Download]]:
    with workspace.open_catalog() as catalog:
        return catalog.all(Hit), catalog.all(Download)


def test_every_picture_of_the_folder_is_taken_once_at_any_depth_and_stays_there(tmp_path: Path) -> None:
    workspace, folder = Workspace(tmp_path / "ws"), tmp_path / "not these"
    put(folder, "1.png", 1)
    put(folder, "deep/er/2.png", 2)
    counts = inbox.run(workspace, config_of(folder))
    assert (counts.done, counts.by_reason) == (2, {"taken in": 2})
    hits, _ = read(workspace)
    assert {(hit.label, hit.source) for hit in hits} == {("none", "inbox")}
    assert (folder / "1.png").is_file()
    again = inbox.run(workspace, config_of(folder))
    assert (again.done, again.reused) == (0, 2)
    put(folder, "1.png", 3)  # replaced
    assert inbox.run(workspace, config_of(folder)).done == 1


def test_inbox_none_takes_negatives_and_is_no_class_without_them(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    put(workspace.inbox, "None/1.png")
    os.utime(workspace.inbox / "None/1.png", (0, 0))
    none = WorkspaceConfig.model_validate({"classes": {"a": "a", "b": "b"}})
    counts = inbox.run(workspace, none)
    assert counts.done == 0 and "folders that match no class: None" in counts.notes[0]
    assert inbox.run(workspace, config_of()).done == 1
    assert read(workspace)[0][0].label == "none"


def test_what_may_not_come_in_is_named_and_stops_nothing(tmp_path: Path) -> None:
    workspace, folder, outside = Workspace(tmp_path / "ws"), tmp_path / "negatives", tmp_path / "secret"
    put(folder, "good.png", 1)
    put(outside, "private.png", 2)
    (folder / "leads out").symlink_to(outside)
    (folder / "out.png").symlink_to(outside / "private.png")
    (folder / "page.jpg").write_bytes(b"<!doctype html><html><body>gone</body></html>")
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("not a picture")
    (folder / "huge.png").write_bytes((folder / "good.png").read_bytes() + bytes(2_000_000))
    os.mkfifo(folder / "pipe.jpg")
    (folder / b"ca\xf1on.png".decode(errors="surrogateescape")).write_bytes((folder / "good.png").read_bytes())
    (folder / "loop").symlink_to(folder)
    counts = inbox.run(workspace, config_of(folder, download={"max_mb": 1}))
    hits, downloads = read(workspace)
    reasons = Counter(row.reason for row in downloads)
    assert reasons[""] == 2 and reasons["too_large"] == 1 and reasons["html"] == 1 and reasons["empty"] == 1
    assert not any("private" in hit.image_url or "out" in hit.image_url for hit in hits)
    (note,) = counts.notes
    assert note.startswith(f"{folder}: ") and "leads out" in note


def test_a_folder_that_is_gone_is_said_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"negatives.folder = '.*nowhere' cannot be read: No such file"):
        inbox.run(Workspace(tmp_path), config_of(tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="cannot be read: Not a directory"):
        inbox.run(Workspace(tmp_path), config_of(tmp_path / "file"))


def test_keywords_are_searched_like_those_of_a_class(tmp_path: Path) -> None:
    pictures = tmp_path / "photos"
    for name in ("black bear", "cat", "bear costume"):
        put(pictures, f"{name}/1.png", len(name))
    settings = {"search": {"sources": ["folder"], "folder": {"path": str(pictures)}, "per_class": 5}}
    workspace = Workspace(tmp_path / "ws")
    counts = search.run(workspace, config_of(**settings))
    assert counts.by_reason["found for none"] == 1
    assert {(hit.label, hit.keyword) for hit in read(workspace)[0]} == {
        ("black bear", "black bear"), ("cat", "cat"), ("none", "bear costume"),
    }  # fmt: skip


def test_a_folder_alone_is_not_searched_for(tmp_path: Path) -> None:
    pictures = tmp_path / "photos"
    for name in ("black bear", "cat"):
        put(pictures, f"{name}/1.png", len(name))
    settings = {"search": {"sources": ["folder"], "folder": {"path": str(pictures)}, "per_class": 5}}
    config = config_of(**settings, negatives={"folder": str(pictures / "cat")})
    counts = search.run(Workspace(tmp_path / "ws"), config)
    assert not any("none" in text for text in (*counts.by_reason, *counts.notes))
