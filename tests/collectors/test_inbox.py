"""Pictures dropped into the inbox: taken once, not before they are whole, and nothing else with them."""

import os
import time

import pytest
from PIL import Image

from collectors import inbox
from workspace.catalog.class_progress import class_progress
from workspace.catalog.records import Download, Hit
from workspace.config.model import WorkspaceConfig
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

CONFIG = WorkspaceConfig.model_validate({"classes": {"red panda": ("Ailurus",), "cat": ("cat",)}})


class Heard:
    def __init__(self) -> None:
        self.words: list[str] = []

    def begin(self, what: str, total: int | None) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None:
        self.words.append(message)


def drop(workspace: Workspace, name: str, colour: int = 0, *, age_s: float = 60) -> None:
    file = workspace.inbox / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 80), (colour, 10, 10)).save(file, "PNG")
    os.utime(file, (time.time() - age_s,) * 2)


def hits(workspace: Workspace) -> list[Hit]:
    with workspace.open_catalog() as catalog:
        return catalog.all(Hit)


def test_files_are_taken_once_under_their_class_and_stay_where_they_are(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    for number, name in enumerate(("red_panda/é 1.png", "Ailurus/2.png", "cat/deep/3.png")):
        drop(workspace, name, number)
    counts = inbox.run(workspace, CONFIG)
    assert (counts.done, dict(counts.by_reason)) == (3, {"taken in": 3})
    assert [(hit.label, hit.source, hit.rank) for hit in hits(workspace)] == [
        ("cat", "inbox", 1), ("red panda", "inbox", 0), ("red panda", "inbox", 2),
    ]  # fmt: skip
    with workspace.open_catalog() as catalog:
        assert [progress.waiting for progress in class_progress(catalog, CONFIG.classes).values()] == [0, 0]
        stored = [ImageStore(workspace).get(row.sha256) for row in catalog.all(Download)]
    assert sorted(stored) == sorted(file.read_bytes() for file in workspace.inbox.rglob("*.png"))
    again = inbox.run(workspace, CONFIG)
    assert (again.done, again.reused, again.by_reason) == (0, 3, counts.by_reason)


def test_a_replaced_file_is_taken_again_and_a_deleted_one_stays_in_the_collection(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    drop(workspace, "cat/1.png", 1)
    inbox.run(workspace, CONFIG)
    drop(workspace, "cat/1.png", 2, age_s=50)
    assert inbox.run(workspace, CONFIG).done == 1
    (workspace.inbox / "cat/1.png").unlink()
    assert inbox.run(workspace, CONFIG).reused == len(hits(workspace)) == 2


@pytest.mark.parametrize(("name", "age_s"), [("cat/new.png", 0), ("cat/old.png.part", 60), ("cat/x.crdownload", 60)])
def test_a_file_that_is_still_being_written_waits_for_the_next_time(tmp_path, name, age_s) -> None:
    workspace = Workspace(tmp_path)
    drop(workspace, name, age_s=age_s)
    counts = inbox.run(workspace, CONFIG)
    assert (counts.done, dict(counts.by_reason)) == (0, {"still being written": 1})
    assert hits(workspace) == []
    if name.endswith("new.png"):
        os.utime(workspace.inbox / name, (time.time() - 30,) * 2)
        assert inbox.run(workspace, CONFIG).by_reason == {"taken in": 1}


def test_what_is_no_picture_or_belongs_to_no_class_is_told_and_links_lead_nowhere(tmp_path) -> None:
    workspace = Workspace(tmp_path / "w")
    drop(workspace, "dog/1.png")
    drop(workspace, "loose.png")
    drop(workspace, "cat/.hidden.png")
    (tmp_path / "secret.png").write_bytes(b"x")
    (workspace.inbox / "cat" / "link.png").symlink_to(tmp_path / "secret.png")
    notes = workspace.inbox / "cat" / "notes.txt"
    notes.write_text("not a picture")
    large = workspace.inbox / "cat" / "large.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2_000_000))
    for file in (notes, large):
        os.utime(file, (time.time() - 60,) * 2)
    heard = Heard()
    config = CONFIG.model_copy(update={"download": CONFIG.download.model_copy(update={"max_mb": 1.0})})
    counts = inbox.run(workspace, config, heard)
    assert {reason.split(":")[0] for reason in counts.by_reason} == {"refused"}
    assert counts.by_reason["refused: too_large"] == 1
    assert counts.done == 2
    assert "dog; the classes are red panda, cat" in heard.words[0]
    assert f"1 file in {workspace.inbox} itself: loose.png; move each" in heard.words[1]
    assert heard.words[2].endswith(
        "3 files passed over: cat/link.png (a link that leads out of the folder), cat/large.png (larger than "
        "download.max_mb), cat/notes.txt (no picture, by its first bytes)"
    )


def test_killed_between_the_download_and_the_hit_it_is_taken_by_the_next(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    drop(workspace, "cat/1.png")
    inbox.run(workspace, CONFIG)
    with workspace.open_catalog() as catalog, catalog.engine.begin() as connection:
        connection.exec_driver_sql("delete from hits")
    assert inbox.run(workspace, CONFIG).done == 1
    assert len(hits(workspace)) == 1


def test_no_inbox_is_no_fault(tmp_path) -> None:
    assert inbox.run(Workspace(tmp_path), CONFIG).done == 0


def test_a_file_dated_in_the_future_is_taken(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    drop(workspace, "cat/new.png", age_s=-160_000_000)
    assert inbox.run(workspace, CONFIG).by_reason == {"taken in": 1}


def test_a_name_that_is_no_utf8_stops_no_other_and_is_taken_once(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    drop(workspace, os.fsdecode(b"cat/ca\xf1on.jpg"), 1)
    drop(workspace, os.fsdecode(b"cat/d\xf1/notes.jpg"), 2)
    drop(workspace, os.fsdecode(b"d\xf1g/1.jpg"), 3)
    drop(workspace, "cat/z.png", 4)
    heard = Heard()
    assert inbox.run(workspace, CONFIG, heard).by_reason == {"taken in": 3}
    assert inbox.run(workspace, CONFIG, heard).done == 0
    assert {hit.title for hit in hits(workspace)} == {"ca\\udcf1on", "notes", "z"}
    assert "\n".join(heard.words).encode()
    assert "d\\udcf1g" in heard.words[0]


def test_content_decides_and_what_systems_leave_is_not_mentioned(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    for number, name in enumerate(
        ("cat/a.aspx", "cat/b", "cat/._c.png", "cat/.d/e.png", "cat/@eaDir/f.png", ".DS_Store")
    ):
        drop(workspace, name, number)
    heard = Heard()
    assert inbox.run(workspace, CONFIG, heard).by_reason == {"taken in": 2}
    assert heard.words == []


def test_links_within_a_folder_are_followed_without_end_and_a_folder_of_a_class_may_be_one(tmp_path) -> None:
    workspace = Workspace(tmp_path / "w")
    drop(workspace, "cat/deep/1.png", 1)
    (workspace.inbox / "cat" / "deep" / "loop").symlink_to(workspace.inbox / "cat")
    (workspace.inbox / "cat" / "gone.png").symlink_to("nowhere.png")
    elsewhere = Workspace(tmp_path / "elsewhere")
    drop(elsewhere, "pandas/2.png", 2)
    (workspace.inbox / "red panda").symlink_to(elsewhere.inbox / "pandas")
    heard = Heard()
    assert inbox.run(workspace, CONFIG, heard).by_reason == {"taken in": 2}
    assert "cat/deep/loop (a link to ., which is listed), cat/gone.png (a link that leads nowhere" in heard.words[0]


def test_a_file_that_could_not_be_read_is_tried_again_and_counts_once_it_can(tmp_path, monkeypatch) -> None:
    workspace = Workspace(tmp_path)
    drop(workspace, "cat/1.png", 1)

    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(inbox, "read_capped", refuse)
        assert inbox.run(workspace, CONFIG).by_reason == {"failed: unreadable": 1}
        again = inbox.run(workspace, CONFIG)
        assert (again.done, again.by_reason) == (0, {"failed: unreadable": 1})
        assert inbox.waiting_by_class(workspace, CONFIG) == {"cat": 1}
    counts = inbox.run(workspace, CONFIG)  # made readable, which changes neither size nor time
    assert (counts.done, counts.by_reason) == (1, {"taken in": 1})
    assert (inbox.run(workspace, CONFIG).done, len(hits(workspace))) == (0, 1)


def test_a_file_that_was_too_large_is_taken_under_a_larger_limit(tmp_path) -> None:
    workspace, folder = Workspace(tmp_path / "w"), tmp_path / "negatives"
    drop(workspace, "cat/1.png", 1)
    for name in ("cat/2.png", "cat/huge.png"):
        drop(workspace, name, 2)
        with (workspace.inbox / name).open("ab") as out:
            out.write(bytes(4_000_000 if "huge" in name else 2_000_000))
        os.utime(workspace.inbox / name, (time.time() - 60,) * 2)
    folder.mkdir()
    (folder / "3.png").write_bytes((workspace.inbox / "cat/2.png").read_bytes())

    def limited(max_mb: float) -> WorkspaceConfig:
        values = {"classes": dict(CONFIG.classes), "negatives": {"folder": str(folder)}}
        return WorkspaceConfig.model_validate(values | {"download": {"max_mb": max_mb}})

    assert inbox.run(workspace, limited(1)).by_reason == {"taken in": 1, "refused: too_large": 3}
    assert inbox.run(workspace, limited(1)).done == 0
    assert inbox.waiting_by_class(workspace, limited(3)) == {"cat": 1, "none": 1}
    counts = inbox.run(workspace, limited(3))
    assert (counts.done, counts.by_reason) == (2, {"taken in": 3, "refused: too_large": 1})
    assert inbox.run(workspace, limited(3)).done == 0
