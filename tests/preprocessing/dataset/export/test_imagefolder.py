import csv

import pyarrow.parquet as pq
import pytest
import yaml

from preprocessing.dataset.export.columns import SPLITS
from preprocessing.dataset.export.imagefolder import COLUMNS, export_imagefolder
from workspace.errors import WorkspaceError
from workspace.storage.image_store import ImageStore


def test_every_picture_has_its_row_with_its_licence(collected, tmp_path) -> None:
    workspace, samples = collected
    out = tmp_path / "out"
    export_imagefolder(workspace, samples, out, "pets")
    for split, name in SPLITS.items():
        rows = {row["sha256"]: row for row in pq.read_table(out / name / "metadata.parquet").to_pylist()}
        mine = [one for one in samples if one.split == split]
        assert rows.keys() == {one.sha256 for one in mine}
        for one in mine:
            row = rows[one.sha256]
            assert (["a dog", "고양이"][row["label"]], row["license"], row["creator"]) == (
                one.label,
                one.license,
                one.creator,
            )
            assert (out / name / row["file_name"]).read_bytes() == ImageStore(workspace).get(one.sha256)
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(readme.split("---")[1])["task_categories"] == ["image-classification"]
    assert "<script>" not in readme and "[x](" not in readme.replace("\\[x", "")


def test_the_credits_for_people_name_every_picture_and_hold_no_formula(collected, tmp_path) -> None:
    workspace, samples = collected
    export_imagefolder(workspace, samples, tmp_path / "out", "pets")
    with (tmp_path / "out" / "credits.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == len(samples)
    assert {row["label"] for row in rows} == {"a dog", "고양이"}
    assert all((tmp_path / "out" / row["file_name"]).is_file() for row in rows)
    assert {row["creator"][:2] for row in rows} == {"'="}


def test_a_second_export_changes_nothing_and_a_missing_file_is_named(collected, tmp_path) -> None:
    workspace, samples = collected
    out = tmp_path / "out"
    export_imagefolder(workspace, samples, out, "pets")
    (out / "train" / "metadata.csv").write_text("of an earlier version\n")
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file() and file.name != "metadata.csv"}
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*.jpg")}
    export_imagefolder(workspace, samples, out, "pets")
    assert before == {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert times == {file: file.stat().st_mtime_ns for file in out.rglob("*.jpg")}
    ImageStore(workspace).delete(samples[0].sha256)
    with pytest.raises(WorkspaceError, match=samples[0].sha256):
        export_imagefolder(workspace, samples, out, "pets")
