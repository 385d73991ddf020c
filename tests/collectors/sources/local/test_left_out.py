"""No picture of a person's own is left out without a word: `search` counts and names what no keyword finds."""

import os
import stat
import zipfile
from pathlib import Path

import pytest

from collectors import search
from flows.inputs import open_inputs
from workspace.config.model import WorkspaceConfig
from workspace.errors import ConfigError

JPEG = b"\xff\xd8\xff\xe0"


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    """Two classes of two pictures each."""
    for name in ("cat/0.jpg", "cat/1.jpg", "dog/0.jpg", "dog/1.jpg"):
        _put(tmp_path / "pics" / name)
    return tmp_path / "pics"


def _put(file: Path, data: bytes = JPEG) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data + file.name.encode())
    return file


def _notes(path: Path, config: WorkspaceConfig | None = None) -> str:
    """What `search` says of a new workspace made from the pictures, or of an older one with these settings."""
    inputs = open_inputs(path.parent / "ws", (), path) if config is None else None
    workspace = inputs.workspace if inputs else open_inputs(path.parent / "ws").workspace
    notes = search.run(workspace, config or inputs.config).notes  # type: ignore[union-attr]
    assert inputs is None or set(inputs.notes) <= set(notes)
    return "\n".join(notes)


def test_of_a_folder_of_classes_alone_nothing_is_said(pics: Path) -> None:
    _put(pics / ".hidden.jpg")
    assert _notes(pics) == ""


def test_files_beside_the_folders_are_counted_and_named(pics: Path) -> None:
    _put(pics / "loose.jpg")
    _put(pics / "read me.txt", b"words")
    (pics / "gone").symlink_to(pics / "nowhere")
    said = _notes(pics)
    assert "pics: 3 files passed over: loose.jpg (in no folder of a class), read me.txt (" in said
    assert "gone (a link that leads nowhere" in said


def test_a_folder_without_a_picture_is_named_with_its_files(pics: Path) -> None:
    _put(pics / "fox" / "film.mov", b"\0\0\0\x14ftypqt  ")
    (pics / "bird").mkdir()
    said = _notes(pics)
    assert "pics: no picture of bird, fox, which makes no class" in said
    assert "1 file passed over: fox/film.mov (a film, which is not opened)" in said


def test_folders_that_are_one_class_are_named(pics: Path) -> None:
    _put(pics / "Cat" / "2.jpg")
    assert "pics: 'Cat', 'cat' are one class: case" in _notes(pics)


def test_pictures_of_a_split_that_are_in_no_class_are_named(pics: Path) -> None:
    pics.rename(pics.parent / "train")
    (pics.parent / "train").rename(_put(pics / "test" / "5.jpg").parent.parent / "train")
    said = _notes(pics)
    assert "the splits test, train are used as one" in said and "1 file passed over: test/5.jpg" in said


def test_pictures_that_the_metadata_do_not_list_are_named(pics: Path) -> None:
    (pics / "metadata.csv").write_text("file_name,label\ncat/0.jpg,cat\ndog/1.jpg,dog\ngone.jpg,fox\ncat/1.jpg,\n")
    said = _notes(pics)
    assert "3 files passed over: cat/1.jpg (not listed in the metadata), dog/0.jpg (not listed in the" in said
    assert "no picture of fox" in said and "gone.jpg (No such file or directory)" in said
    assert "1 row skipped: row 5 (no label)" in said


def test_rows_of_a_table_whose_label_no_class_has_are_counted(pics: Path) -> None:
    table = pics.parent / "list.csv"
    table.write_text("path,label\n" + "".join(f"pics/{name}/0.jpg,{name}-\n" for name in ("cat", "dog")))
    assert _notes(table) == ""
    with table.open("a") as rows:
        rows.write("pics/cat/1.jpg,cat\n")
    assert "list.csv: pictures are left out, since no class has these keywords: cat (1); add" in _notes(
        table, open_inputs(pics.parent / "ws").config
    )


def test_a_folder_that_came_later_is_counted_until_a_class_has_it(pics: Path) -> None:
    config = open_inputs(pics.parent / "ws", (), pics).config
    _put(pics / "-cat" / "5.jpg")
    for _ in range(2):  # a search that is finished is not repeated, and the folder is still there
        assert "no class has these keywords: -cat (1)" in _notes(pics, config)


def test_what_keywords_leave_out_is_counted(pics: Path) -> None:
    _put(pics / "fox" / "5.jpg")
    assert "no class has these keywords: fox (1)" in open_inputs(pics.parent / "ws", ["cat", "dog"], pics).notes[0]


def test_an_archive_names_the_entries_of_a_folder_that_are_all_refused(pics: Path) -> None:
    file = pics.parent / "pics.zip"
    with zipfile.ZipFile(file, "w") as out:
        for name in ("cat/0.jpg", "dog/0.jpg", "loose.jpg"):
            out.writestr(name, JPEG + name.encode())
        link = zipfile.ZipInfo("fox/0.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(link, "../cat/0.jpg")
        with pytest.warns(UserWarning, match="Duplicate name"):
            out.writestr("cat/0.jpg", JPEG + os.urandom(8))
    said = _notes(file)
    assert "fox/0.jpg (a link)" in said and "loose.jpg (in no folder of a class)" in said
    assert "cat/0.jpg (another entry has this name)" in said


def test_an_archive_of_refused_entries_alone_says_why(pics: Path) -> None:
    file = pics.parent / "pics.zip"
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("cat/bomb.jpg", JPEG + bytes(5_000_000), zipfile.ZIP_DEFLATED)
    with pytest.raises(ConfigError, match=r"no subfolder[^\0]*1 file passed over: cat/bomb.jpg \(it would grow"):
        open_inputs(pics.parent / "ws", (), file)
