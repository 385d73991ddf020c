import dataclasses

import pytest

from workspace.catalog.catalog import Catalog
from workspace.catalog.records import Download, Hit, ImageFacts, Override, Search, Verdict
from workspace.errors import WorkspaceError


def hit(label: str, url: str, rank: int, source: str = "openverse") -> Hit:
    return Hit(label, f"{label} keyword", source, rank, url, title=f"<b>{url}</b>", width=None, height=480)


def test_every_record_comes_back_as_it_went_in(catalog, location) -> None:
    records = [
        Search("고양이", "고양이", "openverse", "open", "2", 20),
        hit("cat", "http://a/1", 0),
        Download("http://a/1", "ok", bytes=10, sha256="aa", http_status=200),
        ImageFacts("aa", format="JPEG", width=640, height=480, brightness=0.25),
        Verdict("aa", "cat", "check", "keep", score=0.5),
        Override("aa", "cat", "drop"),
    ]
    for record in records:
        catalog.put([record])
        catalog.put([record])  # a second time changes nothing
    with Catalog(location) as again:
        for record in records:
            assert again.all(type(record)) == [record]


def test_the_first_rank_of_a_hit_stays(catalog) -> None:
    catalog.add_new([hit("cat", "http://a/1", 0)])
    catalog.add_new([hit("cat", "http://a/1", 31), hit("cat", "http://a/2", 32)])
    assert [(row.image_url, row.rank) for row in catalog.all(Hit)] == [("http://a/1", 0), ("http://a/2", 32)]


def test_files_to_examine_names_each_new_file_once(catalog) -> None:
    catalog.put([Download(f"http://a/{n}", "ok", sha256=sha) for n, sha in enumerate(["bb", "aa", "bb", "cc"])])
    catalog.put([Download("http://a/9", "failed", "http_404")])
    catalog.put([ImageFacts("cc")])
    assert catalog.files_to_examine() == ["aa", "bb"]


def test_a_person_beats_every_verdict(catalog) -> None:
    catalog.replace_verdicts(
        ["check", "copy"],
        [
            Verdict("aa", "cat", "check", "keep"),
            Verdict("aa", "cat", "copy", "drop", "near_copy"),
            Verdict("bb", "cat", "check", "keep"),
            Verdict("cc", "cat", "check", "keep"),
            Verdict("dd", "dog", "check", "drop", "blank"),
        ],
    )
    assert catalog.kept() == [("bb", "cat"), ("cc", "cat")]
    catalog.put([Override("aa", "cat", "keep"), Override("bb", "cat", "drop"), Override("cc", "cat", "relabel", "dog")])
    assert catalog.kept() == [("aa", "cat"), ("cc", "dog")]


def test_replacing_verdicts_touches_only_its_stages(catalog) -> None:
    catalog.replace_verdicts(["curate"], [Verdict("aa", "cat", "curate", "drop", "off_topic")])
    catalog.replace_verdicts(["check"], [Verdict("aa", "cat", "check", "keep")])
    catalog.replace_verdicts(["check"], [])
    assert [row.stage for row in catalog.all(Verdict)] == ["curate"]


def test_a_batch_is_stored_whole_or_not_at_all(catalog) -> None:
    bad = dataclasses.replace(hit("cat", "http://a/2", 1), title=None)  # type: ignore[arg-type]
    with pytest.raises(WorkspaceError, match="refused a write"):
        catalog.put([hit("cat", "http://a/1", 0), bad])
    assert catalog.all(Hit) == []


def test_a_file_that_is_no_database_is_named(tmp_path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    with pytest.raises(WorkspaceError, match=r"catalog\.sqlite"):
        Catalog(tmp_path / "catalog.sqlite")
