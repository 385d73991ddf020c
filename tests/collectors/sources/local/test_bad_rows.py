"""Lists as people have them: a bad row, an odd header, another delimiter or encoding ends no list."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collectors import search
from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage
from collectors.sources.local.url_list import UrlList
from workspace.catalog.records import Search
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.model import WorkspaceConfig
from workspace.config.sources import UrlListConfig
from workspace.errors import CollectAndTrainError, SourceFailed
from workspace.progress import Silent

SESSION = PoliteSession(NetworkConfig())  # never used: nothing here leaves the machine
GOOD = [f"https://p.example/{number}.jpg" for number in range(28)]


def ask(file: Path, data: str | bytes, keyword: str = "cat") -> ResultPage:
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return UrlList(SearchConfig(url_list=UrlListConfig(file=str(file)))).search(SESSION, keyword, None)


def lines(*bad: str, separator: str = ",") -> str:
    rows = [f"{url}{separator}cat" for url in GOOD]
    return "\n".join([f"url{separator}label", *rows[:14], *bad, *rows[14:]]) + "\n"


@pytest.mark.parametrize(
    ("bad", "note"),
    [
        ([",cat"], "1 row skipped: row 16 (no url)"),
        (["https://p.example/a,b.jpg,cat"], "1 row skipped: row 16 (3 fields, the header has 2)"),
        (["https://p.example/x.jpg,", ",cat"], "2 rows skipped: row 16 (no label), row 17 (no url)"),
        (['"https://p.example/x.jpg,cat'], "1 row skipped: row 16 (a quote that is not closed)"),
        (['https://p.example/x.jpg,"cat'], "1 row skipped: row 16 (a quote that is not closed)"),
        ([f"https://p.example/{'x' * 200_000},cat"], "1 row skipped: row 16 (field larger than field limit (131072))"),
        ([",cat"] * 7, "7 rows skipped: row 16 (no url), row 17 (no url), row 18 (no url), row 19 (no url), row 20 "),
    ],
)
def test_a_bad_row_of_a_csv_is_named_and_ends_no_list(tmp_path: Path, bad: list[str], note: str) -> None:
    page = ask(tmp_path / "list.csv", lines(*bad))
    assert [hit.image_url for hit in page.hits if "x.jpg" not in hit.image_url] == GOOD
    assert note in page.notes[0]


@pytest.mark.parametrize("bad", [range(2000, 2001), range(2000), range(1000, 5000), range(4000, 5000)])
@pytest.mark.parametrize("name", ["list.csv", "{keyword}.csv"])
def test_a_block_of_bad_rows_hides_none_that_follow(tmp_path: Path, bad: range, name: str) -> None:
    """Blocks of the size of a page and more: the last row alone, the first page, pages in the middle, the last ones."""
    total = 2001 if bad.start == 2000 else 5001 if bad.stop < 5000 or bad.start == 1000 else 5000
    rows = [",cat" if number in bad else f"https://p.example/{number}.jpg,cat" for number in range(total)]
    (tmp_path / name.replace("{keyword}", "cat")).write_text("\n".join(["url,label", *rows]))
    source, cursor, urls, notes = UrlList(SearchConfig(url_list=UrlListConfig(file=str(tmp_path / name)))), None, [], []
    while True:
        page = source.search(SESSION, "cat", cursor)
        urls += [hit.image_url for hit in page.hits]
        notes += page.notes
        if (cursor := page.next_cursor) is None:
            break
    assert urls == [f"https://p.example/{number}.jpg" for number in range(total) if number not in bad]
    assert sum(int(re.search(r"([\d,]+) rows? skipped", note)[1].replace(",", "")) for note in notes) == len(bad)


def test_a_list_without_a_row_that_can_be_used_is_read_to_its_end_once(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"none of its rows can be used, row 2: no url"):
        ask(tmp_path / "list.csv", "url,label\n" + ",cat\n" * 4500)


def test_a_first_line_that_is_no_header_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"changed: .*list\.tsv' cannot be read: its first line is no header"):
        ask(tmp_path / "list.tsv", "x" * 140_000 + "\nhttps://p.example/1.jpg\n")


def test_a_bad_row_of_jsonl_and_parquet_is_named_and_ends_no_list(tmp_path: Path) -> None:
    rows = [json.dumps({"url": url, "label": "cat"}) for url in GOOD]
    bad = ['{"url": null, "label": "cat"}', "{broken", "[1]", '{"url": "https://p.example/x.jpg"}']
    page = ask(tmp_path / "list.jsonl", "\n".join([*rows[:14], *bad, *rows[14:]]))
    assert [hit.image_url for hit in page.hits] == GOOD
    assert page.notes[0].endswith("row 15 (no url), row 16 (no JSON), row 17 (no JSON object), row 18 (no label)")
    table = [{"url": url, "label": "cat"} for url in GOOD] + [{"url": None, "label": "cat"}]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "list.parquet")
    page = ask(tmp_path / "list.parquet", (tmp_path / "list.parquet").read_bytes())
    assert [hit.image_url for hit in page.hits] == GOOD
    assert page.notes[0].endswith("1 row skipped: row 29 (no url)")


@pytest.mark.parametrize(
    "header", ["URL,Label", " url , label ", "\ufeffurl,label", "Image URL,Class", "image-url,LABEL"]
)
def test_the_names_of_columns_are_compared_without_case_and_space(tmp_path: Path, header: str) -> None:
    page = ask(tmp_path / "list.csv", lines().replace("url,label", header))
    assert [hit.image_url for hit in page.hits] == GOOD


@pytest.mark.parametrize(
    ("name", "separator"), [("list.csv", ";"), ("list.csv", "\t"), ("list.csv", "|"), ("list.tsv", ",")]
)
def test_the_delimiter_is_that_of_the_header(tmp_path: Path, name: str, separator: str) -> None:
    assert [hit.image_url for hit in ask(tmp_path / name, lines(separator=separator)).hits] == GOOD


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_list_is_read_however_it_was_saved(tmp_path: Path, encoding: str, newline: str) -> None:
    page = ask(tmp_path / "list.csv", lines().replace("\n", newline).encode(encoding))
    assert [hit.image_url for hit in page.hits] == GOOD


def test_a_row_in_another_encoding_is_named_and_a_line_end_in_quotes_is_none(tmp_path: Path) -> None:
    data = lines('"https://p.example/x.jpg","d\xf6g"', '"https://p.example/two\nlines.jpg",cat').encode("latin-1")
    page = ask(tmp_path / "list.csv", data)
    assert [hit.image_url for hit in page.hits if "two" not in hit.image_url] == GOOD
    assert page.notes[0].endswith("1 row skipped: row 16 (not UTF-8: save the file as UTF-8)")


def test_a_list_without_the_columns_says_which_it_has(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed) as caught:
        ask(tmp_path / "list.csv", "Address,Species\nhttps://p.example/1.jpg,cat\n")
    assert "its columns are address, species" in caught.value.detail
    assert "row 2: no url" in caught.value.detail


def test_what_was_skipped_is_told_by_search_and_kept_in_the_catalogue(tmp_path: Path, workspace) -> None:
    class Heard(Silent):
        def warn(self, message: str) -> None:
            heard.append(message)

    heard: list[str] = []
    (tmp_path / "list.csv").write_text(lines(",cat"))
    values = {"sources": ["url_list"], "url_list": {"file": str(tmp_path / "list.csv")}}
    config = WorkspaceConfig.model_validate({"classes": {"cat": "cat", "dog": "dog"}, "search": values})
    counts = search.run(workspace, config, Heard())
    assert counts.done == 28
    assert [note for note in counts.notes if "row 16 (no url)" in note] == [heard[0]]
    with workspace.open_catalog() as catalog:
        assert "row 16 (no url)" in catalog.all(Search)[0].detail


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.jsonl"])
def test_columns_in_another_encoding_end_in_a_sentence_that_can_be_kept(tmp_path: Path, workspace, name: str) -> None:
    data = (
        '{"\udce9tiquette": 1}\n' if name.endswith("l") else "\udce9tiquette\tadresse\nchat\thttps://p.example/1.jpg\n"
    )
    (tmp_path / name).write_bytes(data.encode(errors="surrogateescape"))
    values = {"sources": ["url_list"], "url_list": {"file": str(tmp_path / name)}}
    config = WorkspaceConfig.model_validate({"classes": {"cat": "cat", "dog": "dog"}, "search": values})
    with pytest.raises(CollectAndTrainError, match=r"its columns are \\udce9tiquette"):
        search.run(workspace, config)
