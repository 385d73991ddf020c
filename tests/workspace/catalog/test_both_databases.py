"""What SQLite takes and PostgreSQL does not, or the other way round: the same on both."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from workspace.catalog.catalog import KEYS
from workspace.catalog.class_progress import ClassProgress, class_progress, urls_to_fetch
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.counts import appearances, best_ranks, same_bytes_count
from workspace.catalog.hits.label_ranks import FOUND, GIVEN
from workspace.catalog.records import Cluster, Download, Hit, ImageFacts, Override, Search, Verdict, Withdrawal
from workspace.errors import WorkspaceError

CHECKOUT = Path(__file__).resolve().parents[3]
# No run of letters repeats, so that nothing can be compressed before it goes into an index.
LETTERS = "".join(Random(0).choices([chr(code) for code in range(0xAC00, 0xD7A4)], k=700))
NAME, KEYWORD, URL = LETTERS[:166], LETTERS[400:566], f"https://a.example/{LETTERS[:660]}"
NAMES = ["Zebra", "apple", "Ärger", "ape", "éclair", "고양이", "a b", "a-b", "ab", "A", "_", "~", "😀", "\uff21"]


@pytest.mark.parametrize("kind", list(KEYS), ids=lambda kind: kind.__name__)
def test_no_text_of_any_row_keeps_a_nul(catalog, kind) -> None:
    values = {field.name: f"a\0{field.name}\0" if "str" in str(field.type) else 1 for field in dataclasses.fields(kind)}
    catalog.put([kind(**values)])
    clean = {name: value.replace("\0", "") if isinstance(value, str) else value for name, value in values.items()}
    assert catalog.all(kind) == [kind(**clean)]
    catalog.add_new([kind(**values)])
    assert len(catalog.all(kind)) == 1


def test_rows_come_in_the_order_in_which_python_sorts_their_keys(catalog) -> None:
    catalog.put([Download(name, "ok", sha256=name) for name in NAMES])
    assert [row.image_url for row in catalog.all(Download)] == sorted(NAMES)
    assert catalog.files_to_examine() == sorted(NAMES)


def test_numbers_are_larger_than_32_bits_hold(catalog) -> None:
    rows = [
        Search("a", "a", "s", "open", found=3_000_000_000),
        Hit("a", "a", "s", 3_000_000_000, "u", width=3_000_000_000, height=3_000_000_000),
        Download("u", "ok", http_status=3_000_000_000, bytes=3_000_000_000, attempts=3_000_000_000),
        ImageFacts("aa", width=3_000_000_000, height=3_000_000_000, frames=3_000_000_000, bytes=3_000_000_000),
        Cluster("aa", "a", 3_000_000_000),
    ]
    for row in rows:
        catalog.put([row])
        assert catalog.all(type(row)) == [row]


@pytest.mark.parametrize(
    "row",
    [
        Hit(NAME, "k", "results_page", 0, URL),
        Download(URL, "ok"),
        Search(NAME, KEYWORD, "openverse", "open"),
        Override("a" * 64, NAME, "drop"),
        Verdict("a" * 64, NAME, "near_copy", "drop"),
        Withdrawal("url", URL),
    ],
    ids=lambda row: type(row).__name__,
)
def test_the_longest_keys_that_are_let_in_are_stored(catalog, row) -> None:
    catalog.put([row])
    assert catalog.all(type(row)) == [row]


def test_four_processes_open_an_empty_database_at_once(location) -> None:
    code = (
        "import sys, pathlib\nfrom workspace.catalog.catalog import Catalog\n"
        "place = sys.argv[1] if '://' in sys.argv[1] else pathlib.Path(sys.argv[1])\n"
        "print('ready', flush=True)\nsys.stdin.read(1)\nCatalog(place).close()"
    )
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(location)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT,
        )
        for _ in range(4)
    ]  # fmt: skip
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("x")
        opener.stdin.flush()
    said = [opener.communicate(timeout=60)[1] for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 4, said


def test_a_row_that_cannot_be_stored_is_no_matter_of_free_space(catalog) -> None:
    with pytest.raises(WorkspaceError, match=r"refused a write: .*please report this") as caught:
        catalog.put([dataclasses.replace(Hit("cat", "cat", "s", 0, "u"), title=None)])  # type: ignore[arg-type]
    assert "space" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_progress_and_what_the_report_counts_are_the_same_everywhere(catalog) -> None:
    catalog.add_new([Hit("cat", "cat", source, 0, f"http://x/{n}") for source in "ab" for n in range(5)])
    catalog.add_new([Hit("dog", "dog", "a", 3, "http://x/1")])
    catalog.put([Download(f"http://x/{n}", "ok", sha256=f"{n % 3}") for n in range(4)])
    catalog.put([Verdict("0", "cat", "check", "keep"), Verdict("1", "cat", "check", "drop", "blank")])
    progress = class_progress(catalog, ["cat", "dog"])
    assert progress["cat"] == ClassProgress("cat", clean=1, found=5, waiting=1, unjudged=1, settled=3, judged=2, kept=1)
    assert progress["dog"] == ClassProgress("dog", found=1, unjudged=1)
    assert urls_to_fetch(catalog, ["cat", "dog"], 100) == ["http://x/4"]
    assert same_bytes_count(catalog) == 1
    assert [pair[0] for pair in appearances(catalog, ["dog"])] == ["1"]
    catalog.add_new([Hit("dog", "dog", "inbox", 7, "http://x/1")])
    assert sorted(best_ranks(catalog)) == [
        ("0", "cat", (FOUND, 0)), ("1", "cat", (FOUND, 0)), ("1", "dog", (GIVEN, 3)), ("2", "cat", (FOUND, 0)),
    ]  # fmt: skip
    stats = read_collection_stats(catalog, ["cat", "dog"])
    assert (stats.total.downloaded, stats.total.same_file, stats.total.unjudged) == (5, 1, 2)
