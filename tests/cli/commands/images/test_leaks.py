import csv
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from preprocessing import clean
from workspace.catalog.records import Download, Hit
from workspace.config.model import WorkspaceConfig
from workspace.config.template import render_config
from workspace.files.atomic import write_atomic
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace


def blobs(seed: int) -> Image.Image:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return coarse.resize((240, 180), Image.Resampling.BICUBIC)


def saved(image: Image.Image, container: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, container)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path):
    """A cleaned workspace of three pictures."""
    workspace = Workspace(tmp_path / "w")
    config = WorkspaceConfig.model_validate({"classes": {"a": ("a",), "b": ("b",)}, "clean": {"workers": 1}})
    write_atomic(workspace.config_file, render_config(config).encode())
    with workspace.open_catalog() as catalog:
        for seed in range(3):
            data = saved(blobs(seed))
            sha = hashlib.sha256(data).hexdigest()
            ImageStore(workspace).put(sha, ".png", data)
            catalog.add_new([Hit("a", "word", "t", seed, f"http://t/{seed}")])
            catalog.put([Download(f"http://t/{seed}", "ok", bytes=len(data), sha256=sha)])
    clean.run(workspace, config)
    return workspace.root


def test_leaks_are_named_and_make_the_exit_code_three(root, tmp_path, command) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.jpg").write_bytes(saved(blobs(1).resize((120, 90)), "JPEG"))
    (outside / "other.png").write_bytes(saved(blobs(7)))
    (outside / "notes.txt").write_text("no picture")
    table = tmp_path / "leaks.csv"
    done = command("collect-and-train", "leaks", "-w", str(root), "--against", str(outside), "--csv", str(table))
    assert done.returncode == 3
    sha = hashlib.sha256(saved(blobs(1))).hexdigest()
    assert f"same\ta\t{sha}\tmine.jpg" in done.stdout.splitlines()
    assert "leaks: 1 among 2 outside pictures, by hashes alone" in done.stdout
    assert "not read\tnot_an_image\t\tnotes.txt" in done.stderr
    assert list(csv.reader(table.read_text().splitlines()))[1:] == [["same", "a", sha, "mine.jpg"]]

    (outside / "mine.jpg").unlink()
    done = command("collect-and-train", "leaks", "-w", str(root), "--against", str(outside))
    assert (done.returncode, done.stdout.count("\t")) == (0, 0)
    assert "leaks: 0 among 1 outside pictures" in done.stdout


def test_a_folder_without_pictures_is_a_mistake_with_a_remedy(root, tmp_path, command) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = command("collect-and-train", "leaks", "-w", str(root), "--against", str(empty))
    assert done.returncode == 1
    assert "holds no picture" in done.stderr
