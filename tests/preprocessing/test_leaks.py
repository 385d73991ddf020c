import io
import os

import numpy as np
import pytest
from PIL import Image

from preprocessing import clean
from preprocessing.leaks import find_leaks, leaks_csv, read_outside
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.storage.arrays import ArrayStore


def saved(image: Image.Image, container: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, container)
    return buffer.getvalue()


@pytest.fixture
def two_sets(collected, picture, tmp_path):
    """A cleaned workspace of four pictures, and a folder that holds three of them again, each in another way."""
    images = [picture(seed, 300, 240) for seed in range(4)]
    shas = [collected.add(saved(image), "a") for image in images]
    config = collected.config(clean={"workers": 1})
    clean.run(collected.workspace, config)
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "bytes.png").write_bytes(saved(images[0]))
    (outside / "bytes again.png").write_bytes(saved(images[0]))
    (outside / "small.jpg").write_bytes(saved(images[1].resize((150, 120)), "JPEG"))
    (outside / "mirror.png").write_bytes(saved(images[2].transpose(0)))
    (outside / "other.png").write_bytes(saved(picture(9, 300, 240)))
    (outside / "small again.jpg").write_bytes(saved(images[1].resize((160, 128)), "JPEG"))
    (outside / "notes.txt").write_text("no picture")
    return shas, config, outside


def test_every_pair_across_the_sets_is_named_and_none_within_one(collected, two_sets) -> None:
    shas, config, folder = two_sets
    outside = read_outside(folder, config.clean)
    assert outside.refused == {"notes.txt": "not_an_image"}
    got = find_leaks(collected.workspace, config, outside)
    assert [(one.kind, one.sha256, one.outside) for one in got] == [
        ("same_bytes", shas[0], "bytes again.png"),
        ("same_bytes", shas[0], "deep/bytes.png"),
        *sorted(("same", shas[1], name) for name in ("small again.jpg", "small.jpg")),
        ("mirrored", shas[2], "mirror.png"),
    ]
    lines = leaks_csv(got).splitlines()
    assert lines[0] == "kind,label,sha256,outside"
    assert lines[1] == f"same_bytes,a,{shas[0]},bytes again.png"


def test_features_add_the_crops_that_hashes_do_not_see(collected, two_sets, picture) -> None:
    shas, config, folder = two_sets
    (folder / "crop.png").write_bytes(saved(picture(3, 300, 240).crop((60, 40, 300, 240))))
    outside = read_outside(folder, config.clean)
    assert "crop.png" not in {one.outside for one in find_leaks(collected.workspace, config, outside)}
    ArrayStore(collected.workspace.cache / "features-test").add(shas, np.eye(4, dtype=np.float32))
    write_atomic(collected.workspace.features_pointer, b"features-test\n")
    near = {"crop.png": np.array([0, 0, 0.1, 1], np.float32), "other.png": np.array([0, 0, 0, 1], np.float32)}
    got = find_leaks(collected.workspace, config, outside, near)
    assert [(one.sha256, one.kind) for one in got if one.outside == "crop.png"] == [(shas[3], "edited")]
    assert "other.png" not in {one.outside for one in got}


def test_a_folder_without_pictures_is_an_error(collected, tmp_path) -> None:
    config = collected.config()
    with pytest.raises(WorkspaceError, match="is no folder"):
        read_outside(tmp_path / "none", config.clean)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkspaceError, match="holds no picture"):
        read_outside(tmp_path / "empty", config.clean)


def test_odd_names_hidden_files_and_links_of_an_outside_set(collected, two_sets) -> None:
    shas, config, folder = two_sets
    data = (folder / "bytes again.png").read_bytes()
    (folder / os.fsdecode(b"ca\xf1on.aspx")).write_bytes(data)
    (folder / "._a.png").write_bytes(data)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "b.png").write_bytes(data)
    (folder / "loop").symlink_to(folder)
    (folder / "gone.png").symlink_to("nowhere.png")
    outside = read_outside(folder, config.clean)
    assert sorted(outside.refused) == ["gone.png", "loop", "notes.txt"]
    found = find_leaks(collected.workspace, config, outside)
    assert {leak.outside for leak in found if leak.sha256 == shas[0]} == {
        "bytes again.png", "deep/bytes.png", "ca\\udcf1on.aspx",
    }  # fmt: skip
    assert "ca\\udcf1on.aspx" in leaks_csv(found).encode().decode()
