"""A damaged cache is made again; any other damaged file is made good, or named with a remedy."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocessing.images.pixel_cache import PixelCache
from workspace.config.clean import CleanConfig
from workspace.errors import ModelError, WorkspaceError
from workspace.storage.arrays import ArrayStore, drop_keys, latest_features, latest_features_name, point_to_features
from workspace.storage.champion import (
    CHAMPION,
    DECISIONS,
    Decision,
    finish_decision,
    read_champion,
    read_decisions,
    record_decision,
)
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-3]),
    "cut to its head": lambda file: file.write_bytes(file.read_bytes()[:9]),
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "of something else": lambda file: file.write_bytes(b"{'(\xff\xfe" * 40),
    "removed": lambda file: file.unlink(),
}


@pytest.fixture(params=DAMAGES)
def damage(request) -> Callable[[Path], object]:
    return DAMAGES[request.param]


@pytest.mark.parametrize("suffix", [".json", ".npy"])
def test_a_damaged_shard_is_computed_again_and_its_neighbour_stays(tmp_path, damage, suffix) -> None:
    store = ArrayStore(tmp_path)
    store.add(["a:x", "b"], np.ones((2, 3), np.float32))
    damage(next(tmp_path.glob(f"*{suffix}")))
    store.add(["c"], np.full((1, 3), 2, np.float32))
    again = ArrayStore(tmp_path)
    assert again.missing(["a:x", "b", "c"]) == ["a:x", "b"]
    again.add(["a:x", "b"], np.full((2, 3), 5, np.float32))
    np.testing.assert_array_equal(ArrayStore(tmp_path).get(["b", "c"])[:, 0], [5, 2])


def test_a_list_of_another_length_is_no_list_of_the_shard(tmp_path) -> None:
    ArrayStore(tmp_path).add(["a", "b"], np.ones((2, 3), np.float32))
    next(tmp_path.glob("*.json")).write_text('["a"]')
    assert "a" not in ArrayStore(tmp_path)


@pytest.mark.parametrize("suffix", [".json", ".npy"])
def test_a_withdrawal_removes_a_damaged_shard_whose_content_nobody_knows(tmp_path, damage, suffix) -> None:
    ArrayStore(tmp_path).add(["a", "b"], np.ones((2, 3), np.float32))
    damage(next(tmp_path.glob(f"*{suffix}")))
    drop_keys(tmp_path, {"a"})
    assert list(tmp_path.glob("*.json")) == []
    assert "a" not in ArrayStore(tmp_path)


def test_a_damaged_pointer_to_the_features_is_no_features_and_is_written_anew(tmp_path, damage) -> None:
    workspace = Workspace(tmp_path)
    store = ArrayStore(workspace.cache / "features-test")
    store.add(["a"], np.ones((1, 2), np.float32))
    workspace.cache.joinpath("curation.json").write_text('{"inputs": "x"}')  # a neighbour that is no shard
    point_to_features(workspace, store)
    damage(workspace.features_pointer)
    if latest_features_name(workspace) is None:
        with pytest.raises(WorkspaceError, match="has no features yet; make them with: collect-and-train features"):
            latest_features(workspace)
    else:
        assert "a" not in latest_features(workspace)
    point_to_features(workspace, store)
    assert "a" in latest_features(workspace)


def test_damaged_pixels_are_decoded_again(tmp_path, damage) -> None:
    workspace, image = Workspace(tmp_path), io.BytesIO()
    Image.linear_gradient("L").save(image, "PNG")
    ImageStore(workspace).put("ab" * 32, ".png", image.getvalue())
    cache = PixelCache(workspace, CleanConfig())
    first = np.array(cache.read("ab" * 32))
    damage(next(cache.folder.rglob("*.npy")))
    np.testing.assert_array_equal(cache.read("ab" * 32), first)
    assert len(list(cache.folder.rglob("*.npy"))) == 1


def test_a_damaged_pointer_to_the_live_model_is_read_from_the_history_and_mended(tmp_path, damage, caplog) -> None:
    workspace = Workspace(tmp_path)
    live = Decision("a", "published", "a", "the first", "2026-11-25T00:00:00Z")
    record_decision(workspace, live)
    record_decision(workspace, Decision("b", "kept_champion", "a", "not better", "2026-11-26T00:00:00Z"))
    damage(workspace.root / CHAMPION)
    if (workspace.root / CHAMPION).exists():
        assert read_champion(workspace) == live
        assert "champion.json cannot be used" in caplog.text
        assert "by decisions.jsonl a is live" in caplog.text
    finish_decision(workspace)
    caplog.clear()
    assert read_champion(workspace) == live
    assert not caplog.text


def test_where_the_history_does_not_know_either_the_remedy_is_named(tmp_path) -> None:
    workspace = Workspace(tmp_path / "my pandas")
    record_decision(workspace, Decision("a", "published", "a", "the first", "2026-11-25T00:00:00Z"))
    (workspace.root / CHAMPION).write_bytes(b"")
    (workspace.root / DECISIONS).unlink()
    with pytest.raises(ModelError, match=r"champion.json cannot be used .* delete the first.*run -w '.*/my pandas'"):
        read_champion(workspace)


@pytest.mark.parametrize("line", ['{"run_id": "b", "act', "[]", "7", '{"run_id": 1}', "\x00\x00"])
def test_a_damaged_line_of_the_history_is_named(tmp_path, line) -> None:
    workspace = Workspace(tmp_path)
    record_decision(workspace, Decision("a", "published", "a", "the first", "2026-11-25T00:00:00Z"))
    with (workspace.root / DECISIONS).open("a") as file:
        file.write(line)
    with pytest.raises(ModelError, match=r"line 2 of .*decisions.jsonl cannot be used .* or delete the line"):
        read_decisions(workspace)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../../etc\n", b"\n"])
def test_a_damaged_pointer_to_the_latest_run_is_named_with_a_remedy(tmp_path, content) -> None:
    workspace = Workspace(tmp_path)
    workspace.point_to("abc")
    assert workspace.latest_run().run_id == "abc"
    (workspace.runs / "latest").write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"latest .*write it anew: collect-and-train split -w"):
        workspace.latest_run()


def test_a_command_in_a_message_can_be_pasted_into_a_shell(tmp_path) -> None:
    workspace = Workspace(tmp_path / "it's [mine]; rm $x")
    assert json.dumps(workspace.command("run")).count("'") >= 2
    with pytest.raises(WorkspaceError, match=r"split -w '.*/it'\"'\"'s \[mine\]; rm \$x'"):
        workspace.latest_run()
