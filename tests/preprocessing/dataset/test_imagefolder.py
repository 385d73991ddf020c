import csv

import pytest
import yaml

from preprocessing.dataset.imagefolder import COLUMNS, export_imagefolder
from workspace.catalog.records import Sample
from workspace.errors import WorkspaceError
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

HOSTILE = 'a | "b"\n<script>, [x](javascript:y)'


@pytest.fixture
def collected(tmp_path) -> tuple[Workspace, list[Sample]]:
    workspace, samples = Workspace(tmp_path / "ws"), []
    for number, split in enumerate(("train", "train", "val", "test")):
        sha = f"{number:064x}"
        label = ("고양이", "dog")[number % 2]
        names = ("t", "kw", "http://a.test/i", "http://a.test/p", HOSTILE, HOSTILE, HOSTILE, "http://l.test", HOSTILE)
        samples.append(Sample(sha, label, split, "g", f"images/{sha}.jpg", *names, width=3, height=2))
        ImageStore(workspace).put(sha, ".jpg", f"picture {number}".encode())
    return workspace, samples


def test_every_picture_has_its_row_with_its_licence(collected, tmp_path):
    workspace, samples = collected
    out = tmp_path / "out"
    assert export_imagefolder(workspace, samples, out, "pets") == {"train": 2, "validation": 1, "test": 1}
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        with (out / name / "metadata.csv").open(newline="", encoding="utf-8") as file:
            rows = {row["sha256"]: row for row in csv.DictReader(file)}
        mine = [one for one in samples if one.split == split]
        assert rows.keys() == {one.sha256 for one in mine}
        for one in mine:
            row = rows[one.sha256]
            assert tuple(row) == COLUMNS and (row["label"], row["license"]) == (one.label, HOSTILE)
            assert (out / name / row["file_name"]).read_bytes() == ImageStore(workspace).get(one.sha256)
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(readme.split("---")[1])["task_categories"] == ["image-classification"]
    assert "<script>" not in readme and "[x](" not in readme.replace("\\[x", "")


def test_a_second_export_changes_nothing_and_a_missing_file_is_named(collected, tmp_path):
    workspace, samples = collected
    out = tmp_path / "out"
    export_imagefolder(workspace, samples, out, "pets")
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in out.rglob("*.jpg")}
    export_imagefolder(workspace, samples, out, "pets")
    assert before == {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in out.rglob("*.jpg")}
    ImageStore(workspace).delete(samples[0].sha256)
    with pytest.raises(WorkspaceError, match=samples[0].sha256):
        export_imagefolder(workspace, samples, out, "pets")
