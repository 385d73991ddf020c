import csv
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import yaml

from preprocessing.dataset.export.columns import SPLITS
from preprocessing.dataset.export.imagefolder import COLUMNS, export_imagefolder
from workspace.errors import WorkspaceError
from workspace.names import folder_name
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


def test_classes_whose_names_are_too_long_for_a_folder_get_folders_of_their_own(collected, tmp_path) -> None:
    workspace, samples = collected
    long = {"a dog": "a very long name " * 20 + "dog", "고양이": "고양이" * 100}
    renamed = [replace(one, label=long[one.label]) for one in samples]
    export_imagefolder(workspace, renamed, tmp_path / "out", "pets")
    found = {}
    for split, name in SPLITS.items():
        for row in pq.read_table(tmp_path / "out" / name / "metadata.parquet").to_pylist():
            assert (tmp_path / "out" / name / row["file_name"]).read_bytes() == ImageStore(workspace).get(row["sha256"])
            found[row["sha256"]] = (split, sorted(long.values())[row["label"]], row["file_name"].split("/")[0])
    assert {sha: label for sha, (_, label, _) in found.items()} == {one.sha256: one.label for one in renamed}
    assert len({folder for _, _, folder in found.values()}) == 2
    with (tmp_path / "out" / "credits.csv").open(encoding="utf-8") as file:
        assert {row["label"] for row in csv.DictReader(file)} == set(long.values())


@pytest.mark.parametrize("name", ["x" * 300, "팬더" * 60, "é" * 101, "x" * 201])
def test_a_folder_s_name_fits_and_differs_for_names_that_begin_alike(name) -> None:
    assert len(folder_name(name).encode()) <= 200
    assert folder_name(name) != folder_name(f"{name}y")
    assert folder_name("x" * 200) == "x" * 200
