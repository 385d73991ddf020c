"""Each format opened by the library that it is for, and by what this project has of its own."""

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from cli.commands.models.export import Target
from preprocessing.dataset.export.formats import DATASET_FORMATS
from training.export.formats import MODEL_FORMATS
from workspace.errors import WorkspaceError
from workspace.storage.image_store import ImageStore

CLASSES = ["a dog", "고양이"]
INSTALL = "pip install -e .[dev]"
COUNTS = {"train": 6, "validation": 3, "test": 3}


@pytest.fixture
def exported(collected, tmp_path: Path) -> Path:
    workspace, samples = collected
    for made in DATASET_FORMATS.values():
        made.write(workspace, samples, tmp_path / "export" / made.folder, "pets")
    return tmp_path / "export"


def read_with(library: str, script: str, folder: Path) -> object:
    """Run a script in a process of its own, offline and with its caches here; what it prints last is JSON."""
    pytest.importorskip(library, reason=f"{library} is not installed: {INSTALL}", exc_type=ImportError)
    environment = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_datasets_gives_pictures_named_classes_and_licences(exported: Path, collected) -> None:
    script = """
import datasets, json
found = []
for words, more in ((["imagefolder"], {"data_dir": "dataset"}), (["./dataset"], {}), (["./parquet"], {})):
    data = datasets.load_dataset(*words, **more)
    first, features = data["train"][0], data["train"].features
    found.append([
        {split: len(rows) for split, rows in data.items()}, features["label"].names, type(features["image"]).__name__,
        first["image"].size, first["label"], first["creator"],
    ])
print(json.dumps(found))
"""
    expected = [COUNTS, CLASSES, "Image", [32, 24], 0, collected[1][0].creator]
    assert read_with("datasets", script, exported) == [expected] * 3


def test_mlcroissant_reads_the_records_and_finds_no_error(exported: Path, collected) -> None:
    script = """
import json, mlcroissant
data = mlcroissant.Dataset("parquet/croissant.json")
rows = {split: list(data.records(split)) for split in ("train", "validation", "test")}
first = rows["train"][0]
print(json.dumps([
    {split: len(found) for split, found in rows.items()}, data.metadata.license, list(data.metadata.ctx.issues.errors),
    first["train/image"].size, first["train/label"], first["train/creator"].decode(),
]))
"""
    licence = ["https://creativecommons.org/licenses/by/4.0/"]
    expected = [COUNTS, licence, [], [32, 24], 0, collected[1][0].creator]
    assert read_with("mlcroissant", script, exported) == expected


def test_webdataset_reads_pictures_with_class_and_details(exported: Path, collected) -> None:
    script = """
import json, webdataset
rows = list(webdataset.WebDataset("webdataset/train-000000.tar", shardshuffle=False).decode("pil"))
names = json.load(open("webdataset/classes.json"))
assert all(names[row["cls"]] == row["json"]["label"] for row in rows)
print(json.dumps([len(rows), sorted({row["cls"] for row in rows}), rows[0]["json"]["creator"],
                  [image.size for row in rows for key, image in row.items() if key in ("jpg", "png", "webp")]]))
"""
    assert read_with("webdataset", script, exported) == [6, [0, 1], collected[1][0].creator, [[32, 24]] * 6]


def test_the_parquet_files_hold_the_very_bytes(exported: Path, collected) -> None:
    workspace, samples = collected
    rows = [
        row for split in COUNTS for row in pq.read_table(exported / "parquet/data" / f"{split}.parquet").to_pylist()
    ]
    assert {row["sha256"]: row["image"]["bytes"] for row in rows} == {
        sample.sha256: ImageStore(workspace).get(sample.sha256) for sample in samples
    }
    assert {row["sha256"] for row in rows if row["flagged"]} == {sample.sha256 for sample in samples if sample.flagged}
    croissant = json.loads((exported / "parquet/croissant.json").read_text(encoding="utf-8"))
    assert "javascript" not in json.dumps(croissant["license"])


def test_tars_are_cut_and_hold_no_times_and_a_smaller_dataset_leaves_none_behind(
    collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, samples = collected
    monkeypatch.setattr("preprocessing.dataset.export.webdataset.IMAGES_PER_TAR", 4)
    write = DATASET_FORMATS["webdataset"].write
    write(workspace, samples, tmp_path / "out", "pets")
    assert sorted(file.name for file in (tmp_path / "out").glob("train*")) == ["train-000000.tar", "train-000001.tar"]
    with tarfile.open(tmp_path / "out" / "train-000001.tar") as archive:
        assert len(archive.getmembers()) == 2 * 3 and {member.mtime for member in archive.getmembers()} == {0}
        picture = next(member for member in archive.getmembers() if re.search("jpg|png|webp", member.name))
        assert Image.open(io.BytesIO(archive.extractfile(picture).read())).size == (32, 24)
    write(workspace, [sample for sample in samples if sample.split != "train"], tmp_path / "out", "pets")
    assert list((tmp_path / "out").glob("train*")) == []


@pytest.mark.parametrize("name", DATASET_FORMATS)
def test_a_folder_that_cannot_be_written_is_one_line(name: str, collected, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError, match=r"cannot write .*file"):
        DATASET_FORMATS[name].write(*collected, tmp_path / "file" / "out", "pets")


def test_the_command_offers_every_format_and_no_other() -> None:
    assert {target.value for target in Target} == MODEL_FORMATS.keys() | DATASET_FORMATS.keys()
