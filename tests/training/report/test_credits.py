import csv
import io
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from training.report.credits import COLUMNS, Credit, as_csv, as_page, write_credits
from workspace.catalog.records import Sample
from workspace.storage.run_folder import RunFolder

BY = "https://creativecommons.org/licenses/by/2.0/"


def sample(**changes: str) -> Sample:
    values = {
        "sha256": "ab" * 32,
        "label": "cat",
        "split": "train",
        "group": "",
        "file": "images/ab/abab.jpg",
        "source": "openverse",
        "keyword": "cat",
        "image_url": "https://pics.example/1.jpg",
        "page_url": "https://pics.example/photo/1",
        "title": "Tom",
        "creator": "Jane Doe",
        "license": "by",
        "license_url": BY,
        "attribution": "Tom by Jane",
    }
    return Sample(**(values | changes), width=640, height=480)  # type: ignore[arg-type]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, f'"Tom" (https://pics.example/photo/1) by Jane Doe, licensed under CC BY 2.0 ({BY})'),
        (
            {"title": "", "creator": "", "license": "cc0", "license_url": "", "page_url": ""},
            "Untitled (https://pics.example/1.jpg) by an unknown creator, marked with CC0 1.0 "
            "(https://creativecommons.org/publicdomain/zero/1.0/)",
        ),
        (
            {"license": "", "license_url": "javascript:alert(1)", "page_url": "", "image_url": "folder:a.jpg"},
            '"Tom" by Jane Doe, licence not stated',
        ),
        (
            {"license": "by-nc", "license_url": ""},
            '"Tom" (https://pics.example/photo/1) by Jane Doe, licensed under CC BY-NC',
        ),
    ],
)
def test_a_credit_names_title_author_source_and_licence(changes, text) -> None:
    assert Credit.of(sample(**changes)).text == text


def test_the_table_has_a_row_for_every_picture_under_its_header() -> None:
    samples = [sample(), sample(label="강아지", title='A "b", c\nd\x00', creator="Ä")]
    table = rows(as_csv([Credit.of(one) for one in samples]))
    assert tuple(table[0]) == COLUMNS
    assert (table[0]["license"], table[0]["license_url"], table[0]["source"]) == ("CC BY 2.0", BY, "openverse")
    assert (table[1]["class"], table[1]["title"], table[1]["creator"]) == ("강아지", 'A "b", c d', "Ä")


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\t=1", "\r=1", "  =1"])
@pytest.mark.parametrize("field", ["title", "creator", "keyword", "label", "image_url", "attribution"])
def test_no_cell_of_the_table_is_a_formula(field, text) -> None:
    table = list(csv.reader(io.StringIO(as_csv([Credit.of(sample(**{field: text}))]))))
    assert not [cell for row in table for cell in row if cell.lstrip().startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("field", ["title", "creator", "keyword", "label", "source", "license"])
def test_words_of_strangers_stay_words_on_the_page(field) -> None:
    evil = "<img src=x onerror=alert(1)></style><script>"
    page = BeautifulSoup(as_page([Credit.of(sample(**{field: evil}))], RunFolder(Path("r1"))), "html.parser")
    assert not page.find_all(["img", "script"])
    assert evil in page.get_text()
    assert all(link["href"].startswith(("https://", "#", "ATTRIBUTION", "report")) for link in page.find_all("a"))


def test_the_page_counts_licences_and_lists_every_picture_by_class() -> None:
    samples = [sample(sha256=f"{n}" * 64, title=f"T{n}", label="cat" if n else "dog") for n in range(4)]
    page = BeautifulSoup(as_page([Credit.of(one) for one in samples], RunFolder(Path("r1"))), "html.parser")
    assert [cell.get_text() for cell in page.select("tbody th, tbody td")] == ["CC BY 2.0", "4"]
    assert [len(group.find_all("li")) for group in page.find_all("ol")] == [1, 3]
    assert [heading.get_text() for heading in page.find_all("h2")] == ["dog 1", "cat 3"]


def test_files_are_written_once(tmp_path) -> None:
    folder = RunFolder(tmp_path / "r1")
    assert write_credits(folder, [sample()])
    assert {file.name for file in folder.root.iterdir()} == {"ATTRIBUTION.csv", "credits.html"}
    assert not write_credits(folder, [sample()])
    assert write_credits(folder, [sample(title="Other")])
