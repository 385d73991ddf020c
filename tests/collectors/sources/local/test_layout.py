"""A person's own pictures as they come: folders, splits, metadata, tables, archives; and what archives may not do."""

import json
import os
import random
import stat
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collectors.http.session import PoliteSession
from collectors.sources.local.folder import Folder, LocalPhotos
from collectors.sources.local.layout import read_photo_layout
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.sources import FolderConfig
from workspace.errors import ConfigError, TransferFailed

JPEG = b"\xff\xd8\xff\xe0"
SESSION = PoliteSession(NetworkConfig())  # never used: nothing here leaves the machine
PICTURES = {f"{label}/{number}.jpg": label for label in ("cat", "dog") for number in range(3)}


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(JPEG + name.encode())
    return folder


def archive(folder: Path, file: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(file, "w") as out:
        for path in sorted(folder.rglob("*")):
            out.write(path, prefix + path.relative_to(folder).as_posix())
    return file


def found(path: Path, keyword: str) -> dict[str, bytes]:
    """What the source `folder` finds for a keyword, by title, as download reads it."""
    page = Folder(SearchConfig(folder=FolderConfig(path=str(path)))).search(SESSION, keyword, None)
    photos = LocalPhotos(str(path))
    return {hit.title: photos.read(hit.image_url, 10_000) for hit in page.hits}


def _folders(root: Path) -> Path:
    put(root / "pics", *PICTURES, ".cache/x.jpg", "__MACOSX/cat/._0.jpg", "@eaDir/0.jpg")
    (root / "pics" / "empty").mkdir()
    (root / "pics" / "notes").mkdir()
    (root / "pics" / "notes" / "a.txt").write_text("words")
    return root / "pics"


def _splits(root: Path) -> Path:
    names = list(PICTURES)
    put(root / "pics", *(f"train/{name}" for name in names[::2]), *(f"test/{name}" for name in names[1::2]))
    return root / "pics"


def _imagefolder(root: Path) -> Path:
    put(root / "pics", *(name.replace("/", "_") for name in PICTURES))
    rows = [f"{name.replace('/', '_')},{label}" for name, label in PICTURES.items()]
    (root / "pics" / "metadata.csv").write_text("file_name,label\n" + "\n".join(rows))
    return root / "pics"


def _imagefolder_with_splits(root: Path) -> Path:
    for number, (name, label) in enumerate(PICTURES.items()):
        folder = put(root / "pics" / ("train", "validation")[number % 2], f"images/{name.replace('/', '_')}")
        with (folder / "metadata.jsonl").open("a") as out:
            out.write(json.dumps({"file_name": f"images/{name.replace('/', '_')}", "label": label}) + "\n")
    return root / "pics"


def _captions(root: Path) -> Path:
    put(root / "pics", *PICTURES)
    (root / "pics" / "metadata.csv").write_text("file_name,text\ncat/0.jpg,a cat\n")
    return root / "pics"


def _csv(root: Path) -> Path:
    put(root / "pics", *PICTURES)
    rows = [f"pics/{name};{label}" for name, label in PICTURES.items()]
    (root / "list.csv").write_text("\ufeff Path ;Label\n" + "\n".join(rows), "utf-8")
    return root / "list.csv"


def _absolute_csv(root: Path) -> Path:
    put(root / "elsewhere", *PICTURES)
    (root / "lists").mkdir()
    rows = [f"{root / 'elsewhere' / name},{label}" for name, label in PICTURES.items()]
    rows[0] = f"../elsewhere/{next(iter(PICTURES))},cat"
    (root / "lists" / "list.csv").write_text("path,label\n" + "\n".join(rows))
    return root / "lists" / "list.csv"


def _parquet(root: Path) -> Path:
    put(root / "pics", *PICTURES)
    rows = [{"image": f"pics\\{name}", "class": label} for name, label in PICTURES.items()]
    pq.write_table(pa.Table.from_pylist(rows), root / "list.parquet")
    return root / "list.parquet"


def _zip(root: Path) -> Path:
    return archive(_folders(root), root / "pics.zip")


def _zip_of_a_folder(root: Path) -> Path:
    return archive(_folders(root), root / "pics.zip", "my pictures/holiday/")


def _zip_of_an_imagefolder(root: Path) -> Path:
    return archive(_imagefolder(root), root / "pics.zip", "data/")


LAYOUTS = [
    _folders, _splits, _imagefolder, _imagefolder_with_splits, _captions, _csv, _absolute_csv, _parquet, _zip,
    _zip_of_a_folder, _zip_of_an_imagefolder,
]  # fmt: skip


@pytest.mark.parametrize("make", LAYOUTS)
def test_every_layout_names_its_classes_and_gives_its_pictures(tmp_path: Path, make) -> None:
    path = make(tmp_path)
    assert read_photo_layout(path).classes == ("cat", "dog")
    for keyword in ("Cat", "dog"):
        assert len(set(found(path, keyword).values())) == 3
        assert all(keyword.lower().encode() in data for data in found(path, keyword).values())
    assert found(path, "fox") == {}


def test_splits_are_used_as_one_and_said_to_be(tmp_path: Path) -> None:
    assert "the splits test, train are used as one" in read_photo_layout(_splits(tmp_path)).notes[0]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("gone", None, "does not exist"),
        ("list.xlsx", b"PK", "is no folder, no zip archive and no table"),
        ("list.csv", b"a,b\n1,2\n", "no row with path and label; its columns are a, b"),
        ("list.parquet", b"none", "cannot be read"),
        ("list.csv", b"path,label\nhttps://x.example/1.jpg,cat\n", "no row with path and label"),
    ],
)
def test_what_is_no_layout_is_an_error_that_says_what_would_be(tmp_path: Path, name, data, words) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=words):
        read_photo_layout(tmp_path / name)


def test_rows_that_name_no_picture_are_counted_and_the_others_are_used(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    rows = ["path,label", "a.jpg,cat", ",cat", "gone.jpg,cat", "b.jpg,", "https://x.example/1.jpg,cat"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    layout = read_photo_layout(tmp_path / "list.csv")
    assert layout.notes[0].endswith(
        "3 rows skipped: row 3 (no path), row 5 (no label), row 6 (a URL: use the source url_list)"
    )
    assert list(layout.files("cat").versions) == ["a.jpg"]
    assert layout.files("cat").passed_over == {"gone.jpg": "No such file or directory"}


def _entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def test_no_entry_of_an_archive_leads_out_of_it_or_grows_without_end(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    with zipfile.ZipFile(tmp_path / "pics.zip", "w") as out:
        out.writestr(_entry("cat/good.jpg"), JPEG + b"cat")
        out.writestr(_entry("dog/good.jpg"), JPEG + b"dog")
        out.writestr(_entry("../secret.jpg"), JPEG)
        out.writestr(_entry("cat/../../secret.jpg"), JPEG)
        out.writestr(_entry("/etc/secret.jpg"), JPEG)
        out.writestr(_entry("cat/link.jpg", stat.S_IFLNK | 0o777), "../../secret.jpg")
        out.writestr(_entry("cat/bomb.jpg"), JPEG + bytes(5_000_000))
        out.writestr(_entry("cat/large.jpg"), JPEG + os.urandom(20_000))
    assert set(found(tmp_path / "pics.zip", "dog")) == {"good"}
    layout = read_photo_layout(tmp_path / "pics.zip")
    assert layout.classes == ("cat", "dog")
    assert list(layout.files("cat").versions) == ["cat/good.jpg", "cat/large.jpg"]
    assert dict(layout.files("cat").passed_over) == {
        "../secret.jpg": "its name leads out of the archive",
        "/etc/secret.jpg": "its name leads out of the archive",
        "cat/../../secret.jpg": "its name leads out of the archive",
        "cat/bomb.jpg": "it would grow to more than 100 times its size",
        "cat/link.jpg": "a link",
    }
    photos = LocalPhotos(str(tmp_path / "pics.zip"))
    for url, reason in (("folder:cat/large.jpg", "too_large"), ("folder:../secret.jpg", "missing")):
        with pytest.raises(TransferFailed) as caught:
            photos.read(url, 10_000)
        assert caught.value.reason == reason


def test_an_encrypted_entry_and_a_damaged_one_stop_no_other(tmp_path: Path) -> None:
    folder = put(tmp_path / "pics", "cat/a.jpg", "cat/b.jpg", "cat/c.jpg", "dog/d.jpg")
    file = archive(folder, tmp_path / "pics.zip")
    data = bytearray(file.read_bytes())
    at = data.index(b"PK\x01\x02")  # the central directory: cat/ and then cat/a.jpg
    at = data.index(b"PK\x01\x02", at + 4)
    data[at + 8] |= 1  # encrypted
    at = data.index(JPEG + b"cat/b.jpg")
    data[at + 5] ^= 255  # its checksum no longer fits
    file.write_bytes(bytes(data))
    layout = read_photo_layout(file)
    assert "cat/a.jpg" in layout.files("cat").passed_over
    with pytest.raises(TransferFailed) as caught:
        LocalPhotos(str(file)).read("folder:cat/b.jpg", 10_000)
    assert caught.value.reason == "unreadable"
    assert LocalPhotos(str(file)).read("folder:cat/c.jpg", 10_000) == JPEG + b"cat/c.jpg"


@pytest.mark.parametrize("offset", [0, 4, 8, 12, 40])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_whose_compressed_bytes_are_damaged_stops_no_other(tmp_path: Path, method: int, offset: int) -> None:
    file = tmp_path / "pics.zip"
    with zipfile.ZipFile(file, "w", method) as out:
        for name in ("cat/a.jpg", "cat/b", "cat/c.jpg"):
            out.writestr(name, JPEG + random.Random(name).randbytes(200))
    data = bytearray(file.read_bytes())
    for name in (b"cat/a.jpg", b"cat/b"):  # one that download reads, and one whose first bytes say whether it is any
        at = data.index(name) + len(name) + offset
        data[at : at + 40] = b"\xff" * 40
    file.write_bytes(bytes(data))
    photos = LocalPhotos(str(file))
    page = Folder(SearchConfig(folder=FolderConfig(path=str(file)))).search(SESSION, "cat", None)
    assert {hit.title for hit in page.hits} >= {"a", "c"}
    with pytest.raises(TransferFailed, match="unreadable: folder:cat/a"):
        photos.read("folder:cat/a.jpg", 10_000)
    assert photos.read("folder:cat/c.jpg", 10_000) == JPEG + random.Random("cat/c.jpg").randbytes(200)


def test_a_table_whose_first_line_is_no_header_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("x" * 140_000 + ",label\na.jpg,cat\n")
    with pytest.raises(ConfigError, match=r"list\.csv cannot be read: its first line is no header: field larger"):
        read_photo_layout(tmp_path / "list.csv")
    put(tmp_path / "pics", "cat/a.jpg")
    (tmp_path / "pics" / "metadata.csv").write_text("x" * 140_000 + ",label\na.jpg,cat\n")
    with pytest.raises(ConfigError, match="pics cannot be read: its first line is no header"):
        read_photo_layout(tmp_path / "pics")


def test_names_that_are_no_utf8_and_names_that_do_not_say_that_they_are(tmp_path: Path) -> None:
    put(tmp_path / "pics", "cat/caf\xe9.jpg", "cat/what?#1.jpg")
    (tmp_path / "pics" / "cat" / os.fsdecode(b"ca\xf1on.jpg")).write_bytes(JPEG + b"canon")
    assert set(found(tmp_path / "pics", "cat")) == {"caf\xe9", "what?#1", "ca\\udcf1on"}
    assert found(tmp_path / "pics", "cat")["ca\\udcf1on"] == JPEG + b"canon"


def test_names_of_an_archive_that_are_utf8_without_saying_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pics.zip", "w") as out:
        out.writestr(_entry("cat/caf__.jpg"), JPEG)
    data = (tmp_path / "pics.zip").read_bytes()
    (tmp_path / "pics.zip").write_bytes(data.replace(b"caf__", "caf\xe9".encode()))
    assert set(found(tmp_path / "pics.zip", "cat")) == {"caf\xe9"}
