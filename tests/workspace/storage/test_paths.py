import hashlib
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from workspace.catalog.records import Search
from workspace.digest import digest
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.storage.arrays import ArrayStore
from workspace.storage.lock import hold
from workspace.storage.paths import Workspace


def test_a_write_replaces_the_whole_file_and_leaves_nothing_behind(tmp_path) -> None:
    file = tmp_path / "deep" / "file.json"
    for data in (b"first, and longer", b"second"):
        write_atomic(file, data)
        assert file.read_bytes() == data
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_every_file_has_the_mode_that_open_would_give_it(tmp_path, umask) -> None:
    workspace = Workspace(tmp_path / "ws")
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "ws" / "report.html", b"x")
        with hold(workspace, "run"), workspace.open_catalog() as catalog:
            catalog.put([Search("cat", "cat", "openverse", "open")])
            modes = {file.name: file.stat().st_mode & 0o777 for file in workspace.root.iterdir()}
    finally:
        os.umask(before)
    assert {"report.html", "lock.json", "catalog.sqlite", "catalog.sqlite-wal"} <= modes.keys()
    assert set(modes.values()) == {0o666 & ~umask}


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path) -> None:
    file = tmp_path / "workspace.toml"
    write_atomic(file, b"first")
    file.chmod(0o640)
    write_atomic(file, b"second")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"second", 0o640)


def test_a_folder_that_cannot_be_written_is_named_with_a_remedy(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError, match=r"(?s)file/inside.*then run the same command again"):
        write_atomic(tmp_path / "file" / "inside", b"x")


@pytest.mark.parametrize("count", [0, 1, 2, 1000, 1001, 3500])
def test_a_digest_is_that_of_the_json_text_however_long_the_list(count) -> None:
    rows = [(f"é{n}", n, {"b": n, "a": None}, [n]) for n in range(count)]
    parts = (rows, {"b": (1, 2), "a": [Path("x")]}, "text", 2)
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    assert digest(*parts) == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_a_digest_depends_on_what_is_said_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2, "고"]}) == digest({"b": [2, "고"], "a": 1}) != digest({"a": 1, "b": [2, "가"]})


def test_arrays_grow_by_shards_and_come_back_in_the_order_asked(tmp_path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 3, 2)).astype(np.float16)
    ArrayStore(tmp_path / "s").add(["a", "b", "c"], values[:3])
    store = ArrayStore(tmp_path / "s")
    store.add(["d", "e", "f", "g"], values[3:])
    again = ArrayStore(tmp_path / "s")
    np.testing.assert_array_equal(again.get(["g", "a", "d"]), values[[6, 0, 3]])
    assert again.missing(["a", "x", "g", "x", "y"]) == ["x", "y"]


def test_a_shard_whose_keys_were_never_written_does_not_count(tmp_path) -> None:
    store = ArrayStore(tmp_path)
    store.add(["a"], np.ones((1, 2), np.float32))
    listing = next(tmp_path.glob("*.json"))
    listing.unlink()  # as after a kill between the two writes
    again = ArrayStore(tmp_path)
    assert "a" not in again
    again.add(["a"], np.full((1, 2), 5, np.float32))
    np.testing.assert_array_equal(ArrayStore(tmp_path).get(["a"]), [[5, 5]])


def test_more_shards_than_a_process_may_have_files_open_are_read(tmp_path) -> None:
    store = ArrayStore(tmp_path)
    keys = [f"k{number}" for number in range(300)]
    for number, key in enumerate(keys):
        store.add([key], np.array([[number]], np.int16))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (220, hard))
    try:
        assert ArrayStore(tmp_path).get(keys).ravel().tolist() == list(range(300))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_keys_and_arrays_must_be_as_many(tmp_path) -> None:
    with pytest.raises(ValueError, match="2 keys for 3 arrays"):
        ArrayStore(tmp_path).add(["a", "b"], np.zeros((3, 1)))


def test_the_catalogue_is_there_once_it_was_opened_and_its_stamp_changes_with_every_write(tmp_path) -> None:
    workspace = Workspace(tmp_path / "ws")
    assert not workspace.has_catalog()
    with workspace.open_catalog():
        pass
    assert workspace.has_catalog()
    with workspace.open_catalog() as catalog:
        before = workspace.catalog_stamp()
        assert catalog.all(Search) == [] and workspace.catalog_stamp() == before
        catalog.put([Search("cat", "cat", "openverse", "open")])
        assert workspace.catalog_stamp() != before
