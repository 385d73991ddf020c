"""A second export into a folder holds the dataset of that moment, and whatever a person put there."""

from dataclasses import replace
from pathlib import Path

import pytest

from preprocessing.dataset.export.formats import DATASET_FORMATS
from workspace.errors import WorkspaceError
from workspace.storage.image_store import ImageStore


def tree(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", DATASET_FORMATS)
def test_what_moved_or_was_withdrawn_is_gone_and_a_persons_files_stay(name: str, collected, tmp_path: Path) -> None:
    workspace, samples = collected
    write = DATASET_FORMATS[name].write
    write(workspace, samples, tmp_path / "out", "pets")
    (tmp_path / "out" / "train").mkdir(exist_ok=True)
    (tmp_path / "out" / "train" / "notes.txt").write_text("mine")
    left = samples[0].sha256  # one class and one split have gone, too
    today = [replace(one, split="test") for one in samples if one.split != "val" and one.label == samples[0].label]
    today = [replace(one, split="train" if number else "test") for number, one in enumerate(today)][:-1]
    write(workspace, today, tmp_path / "out", "pets")
    write(workspace, today, tmp_path / "new", "pets")
    assert left in {one.sha256 for one in today if one.split == "test"}
    assert tree(tmp_path / "out") == {**tree(tmp_path / "new"), "train/notes.txt": b"mine"}
    empty = [folder for folder in (tmp_path / "out").rglob("*") if folder.is_dir() and not any(folder.iterdir())]
    assert empty == []  # torchvision refuses a class without a picture


@pytest.mark.parametrize("name", DATASET_FORMATS)
def test_a_failed_export_changes_nothing(name: str, collected, tmp_path: Path) -> None:
    workspace, samples = collected
    write = DATASET_FORMATS[name].write
    write(workspace, samples, tmp_path / "out", "pets")
    before = tree(tmp_path / "out")
    ImageStore(workspace).delete(samples[-1].sha256)
    with pytest.raises(WorkspaceError, match=samples[-1].sha256):
        write(workspace, [replace(one, title="new") for one in samples], tmp_path / "out", "pets")
    assert tree(tmp_path / "out") == before
    with pytest.raises(WorkspaceError, match=samples[-1].sha256):
        write(workspace, samples, tmp_path / "other" / "deep", "pets")
    assert not (tmp_path / "other").exists()
