"""Pictures and addresses that are here already: a folder, and files of urls."""

import csv
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collectors.http.session import PoliteSession
from collectors.sources.local import url_list
from collectors.sources.local.folder import Folder, LocalPhotos
from collectors.sources.local.table import Row
from collectors.sources.local.url_list import UrlList, read_rows
from collectors.sources.registry import check
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.sources import FolderConfig, UrlListConfig
from workspace.errors import ConfigError, SourceFailed, TransferFailed

JPEG = b"\xff\xd8\xff\xe0"  # what tells a JPEG
SESSION = PoliteSession(NetworkConfig())  # never used: nothing here leaves the machine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    for name in (
        "red panda/b.jpg",
        "red panda/a b%.PNG",
        "red panda/more/c.webp",
        "강아지/d.jpg",
        "red panda/notes.txt",
    ):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((b"" if name.endswith(".txt") else JPEG) + name.encode())
    (root / "red panda" / ".hidden.jpg").write_bytes(JPEG)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return root


def test_a_folder_gives_its_pictures_by_keyword_and_they_can_be_read(folder: Path) -> None:
    source = Folder(SearchConfig(folder=FolderConfig(path=str(folder))))
    page = source.search(SESSION, "Red Panda", None)
    assert [picture.image_url.partition("?")[0] for picture in page.hits] == [
        "folder:red%20panda/a%20b%25.PNG",
        "folder:red%20panda/b.jpg",
        "folder:red%20panda/more/c.webp",
    ]
    assert page.next_cursor is None
    assert page.notes == (f"{folder}: 1 file passed over: red panda/notes.txt (no picture, by its first bytes)",)
    read = [LocalPhotos(str(folder)).read(picture.image_url, 1000) for picture in page.hits]
    assert [data.removeprefix(JPEG).decode() for data in read] == [
        "red panda/a b%.PNG", "red panda/b.jpg", "red panda/more/c.webp",
    ]  # fmt: skip
    decomposed = unicodedata.normalize("NFD", "강아지")  # as some file systems write it
    assert len(source.search(SESSION, decomposed, None).hits) == 1
    assert source.search(SESSION, "fox", None).hits == ()
    assert check("folder", SESSION, SearchConfig(folder=FolderConfig(path=str(folder))))[0] == "up"


def test_a_large_folder_comes_in_pages(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for number in range(1201):
        (tmp_path / "cat" / f"{number:04}.jpg").write_bytes(JPEG)
    source, cursor, sizes, names = Folder(SearchConfig(folder=FolderConfig(path=str(tmp_path)))), None, [], set()
    while True:
        page = source.search(SESSION, "cat", cursor)
        sizes.append(len(page.hits))
        names |= {picture.image_url for picture in page.hits}
        if (cursor := page.next_cursor) is None:
            break
    assert (sizes, len(names)) == ([500, 500, 201], 1201)


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
def test_a_folder_that_is_not_there_is_a_failure(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    config = SearchConfig(folder=FolderConfig(path=str(tmp_path / name)))
    with pytest.raises(SourceFailed) as caught:
        Folder(config).search(SESSION, "cat", None)
    assert caught.value.reason == "unreachable"
    assert check("folder", SESSION, config)[0] == "down"


@pytest.mark.parametrize(
    "url",
    [
        "folder:../secret.jpg",
        "folder:%2e%2e/secret.jpg",
        "folder:red%20panda/../../secret.jpg",
        "folder:/etc/passwd",
        "folder:%2Fetc%2Fpasswd",
        "folder:linked/../secret.jpg",
        "folder:red%20panda",
        "folder:",
        "folder:pipe.jpg",
        "folder:%00.jpg",
        "file:///etc/passwd",
        "/etc/passwd",
        "folder://etc/passwd",
    ],
)
def test_no_address_leads_out_of_the_folder(folder: Path, url: str) -> None:
    (folder / "linked").symlink_to(folder.parent / "elsewhere" / "deep")
    os.mkfifo(folder / "pipe.jpg")
    with pytest.raises(TransferFailed) as caught:
        LocalPhotos(str(folder)).read(url, 1000)
    assert (caught.value.status, caught.value.reason) in {("refused", "outside_folder"), ("failed", "missing")}


def test_a_missing_a_large_and_an_unnamed_one(folder: Path) -> None:
    for url, limit, status, reason in (
        ("folder:red%20panda/gone.jpg", 1000, "failed", "missing"),
        ("folder:red%20panda/b.jpg", 5, "refused", "too_large"),
        ("folder:%ff.jpg", 1000, "failed", "missing"),
    ):
        with pytest.raises(TransferFailed) as caught:
            LocalPhotos(str(folder)).read(url, limit)
        assert (caught.value.status, caught.value.reason) == (status, reason)
    with pytest.raises(TransferFailed) as caught:
        LocalPhotos("").read("folder:pyproject.toml", 1000)  # no folder in the settings: nothing is readable
    assert caught.value.reason in {"outside_folder", "missing"}


ROWS = [
    {"url": "https://p.example/1.jpg", "label": "cat", "license": "CC BY 4.0", "creator": "Ä", "width": "640"},
    {"url": "https://p.example/2.jpg", "label": "강아지", "license": "", "creator": "", "width": ""},
    {"url": "https://p.example/3.jpg", "label": "CAT ", "license": "", "creator": "", "width": ""},
    {"url": "", "label": "cat", "license": "", "creator": "", "width": ""},
]


def write(file: Path) -> None:
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    elif file.suffix == ".jsonl":
        file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n", "utf-8")
    elif file.suffix == ".txt":
        file.write_text("# mine\n" + "\n".join(f"{row['url']}\t{row['label']}" for row in ROWS if row["url"]), "utf-8")
    else:
        with file.open("w", encoding="utf-8-sig", newline="") as out:
            table = csv.DictWriter(out, list(ROWS[0]), delimiter="\t" if file.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(ROWS)


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_list_gives_the_rows_of_the_keyword(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"list{suffix}"
    write(file)
    source = UrlList(SearchConfig(url_list=UrlListConfig(file=str(file))))
    page = source.search(SESSION, "cat", None)
    assert [picture.image_url for picture in page.hits] == ["https://p.example/1.jpg", "https://p.example/3.jpg"]
    assert page.next_cursor is None
    assert len(source.search(SESSION, "강아지", None).hits) == 1
    if suffix != ".txt":
        assert (page.hits[0].license, page.hits[0].creator, page.hits[0].width) == ("by", "Ä", 640)
    assert check("url_list", SESSION, SearchConfig(url_list=UrlListConfig(file=str(file)))) == (
        "up",
        "2 pictures for 'cat'",
    )


def test_a_file_per_keyword_needs_no_label(tmp_path: Path) -> None:
    (tmp_path / "cat.txt").write_text("https://p.example/1.jpg\n")
    source = UrlList(SearchConfig(url_list=UrlListConfig(file=str(tmp_path / "{keyword}.txt"))))
    assert len(source.search(SESSION, "cat", None).hits) == 1
    with pytest.raises(SourceFailed, match="unreachable"):
        source.search(SESSION, "dog", None)


def test_a_long_list_comes_in_pages_is_read_once_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "list.csv"
    words = [f"class {number}" for number in range(20)]  # more than may be open at once
    addresses = [f"https://p.example/{number}.jpg" for number in range(5000)]
    lines = [f"{address},{words[number % 20]}" for number, address in enumerate(addresses)]
    file.write_text("url,label\n" + "\n".join(lines))
    opened = []

    def opening(file: Path) -> Iterator[Row]:
        opened.append(file)
        yield from read_rows(file)

    monkeypatch.setattr(url_list, "read_rows", opening)

    def everything(words: list[str]) -> list[list[str]]:
        source = UrlList(SearchConfig(url_list=UrlListConfig(file=str(file))))
        cursors, found = dict.fromkeys(words), {word: [] for word in words}
        while cursors:  # page by page in turns, as the step asks
            for word, cursor in list(cursors.items()):
                page = source.search(SESSION, word, cursor)
                found[word] += [picture.image_url for picture in page.hits]
                cursors[word] = page.next_cursor
                if page.next_cursor is None:
                    del cursors[word]
        return list(found.values())

    assert everything(words[:2]) == [addresses[0::20], addresses[1::20]]
    assert len(opened) == 2
    assert everything(words) == [addresses[number::20] for number in range(20)]
    source = UrlList(SearchConfig(url_list=UrlListConfig(file=str(file))))
    first, second = (source.search(SESSION, words[0], cursor).hits for cursor in (None, "2000"))
    assert source.search(SESSION, words[0], "2000").hits == second  # a page is asked for again after a failure
    assert source.search(SESSION, words[0], None).hits == first


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("list.csv", "address,label\nhttps://p/1.jpg,cat\n", "changed"),
        ("list.csv", "url\nhttps://p/1.jpg\n", "changed"),
        ("list.txt", "https://p/1.jpg\n", "changed"),
        ("list.jsonl", "{broken\n", "changed"),
        ("list.jsonl", "[1]\n", "changed"),
        ("list.parquet", "not parquet at all", "changed"),
        ("list.csv", b"url,label\n\xff\xfe,cat\n", "changed"),
        ("list.csv", None, "unreachable"),
    ],
)
def test_a_list_that_cannot_be_read_is_a_failure(
    tmp_path: Path, name: str, text: str | bytes | None, reason: str
) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SourceFailed) as caught:
        UrlList(SearchConfig(url_list=UrlListConfig(file=str(file)))).search(SESSION, "cat", None)
    assert caught.value.reason == reason
    assert str(file) in caught.value.detail


def test_a_list_of_another_kind_or_none_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"the known types are \.txt, \.csv"):
        UrlList(SearchConfig(url_list=UrlListConfig(file="list.xlsx")))
    with pytest.raises(ConfigError, match=r"needs file in"):
        UrlList(SearchConfig())
    with pytest.raises(ConfigError, match=r"needs path in"):
        Folder(SearchConfig())
