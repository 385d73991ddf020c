"""What every kind of file storage promises, tried on a folder and on object storage."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from workspace.files.base import Entry

NAME = "images/ab/abcd.jpg"


def test_what_is_written_is_read_and_what_is_replaced_is_new(files) -> None:
    assert files.size(NAME) is None
    files.write(NAME, b"first")
    assert (files.read(NAME), files.size(NAME)) == (b"first", 5)
    files.write(NAME, b"second")
    assert (files.read(NAME), files.size(NAME)) == (b"second", 6)


def test_a_file_without_bytes_is_a_file(files) -> None:
    files.write(NAME, b"")
    assert (files.read(NAME), files.size(NAME)) == (b"", 0)


def test_a_file_that_is_not_there_is_said_to_be_so(files) -> None:
    with pytest.raises(FileNotFoundError):
        files.read(NAME)
    assert files.size(NAME) is None
    assert list(files.entries("images")) == []
    assert files.folders("runs") == []
    files.remove([NAME])


def test_a_name_that_is_taken_is_not_created_again(files) -> None:
    assert files.create(NAME, b"first") is True
    assert files.create(NAME, b"second") is False
    assert files.read(NAME) == b"first"


def test_entries_are_those_below_a_folder_at_any_depth_with_their_sizes(files) -> None:
    for name in ("images/ab/1.jpg", "images/cd/22.jpg", "images/cd/deeper/3.jpg", "images2/ab/4.jpg", "models/5.json"):
        files.write(name, name.encode())
    found = {entry.name: entry.bytes for entry in files.entries("images")}
    assert found == {name: len(name) for name in ("images/ab/1.jpg", "images/cd/22.jpg", "images/cd/deeper/3.jpg")}
    assert files.folders("images") == ["ab", "cd"]
    assert all(isinstance(entry, Entry) for entry in files.entries("images"))


def test_more_files_than_a_page_of_a_listing_are_listed(files) -> None:
    names = {f"images/ab/{number:04}.jpg" for number in range(1005)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: files.write(name, b"x", durable=False), names))
    assert {entry.name for entry in files.entries("images")} == names
    files.remove(names)
    assert list(files.entries("images")) == []


def test_what_is_removed_is_gone_and_its_neighbour_stays(files) -> None:
    files.write(NAME, b"x")
    files.write("images/ab/abce.jpg", b"y")
    files.remove([NAME, "images/ab/never.jpg"])
    assert [entry.name for entry in files.entries("images")] == ["images/ab/abce.jpg"]


def test_staged_files_are_on_this_machine_in_order_and_the_first_name_that_exists_counts(files, tmp_path) -> None:
    files.write("images/ab/1.png", b"one")
    files.write("images/cd/2.jpg", b"two")
    wanted = [
        ["images/cd/2.jpg", "images/cd/2.png"],
        ["images/ab/1.jpg", "images/ab/1.png"],
        ["images/ef/3.jpg", "images/ef/3.png"],
    ]
    scratch = tmp_path / "scratch"
    with files.staged(wanted, scratch) as paths:
        assert [path and path.read_bytes() for path in paths] == [b"two", b"one", None]
        assert paths[0].name == "2.jpg" and paths[1].name == "1.png"
    assert not [path for path in scratch.rglob("*") if path.suffix]
    assert files.read("images/ab/1.png") == b"one"


def test_a_place_travels_to_another_process_without_a_key(files) -> None:
    files.write(NAME, b"first")
    pickled = pickle.dumps(files)
    assert b"secret" not in pickled
    assert pickle.loads(pickled).read(NAME) == b"first"


def test_messages_can_say_where_a_file_is(files) -> None:
    assert files.where(NAME).endswith(f"/{NAME}")
