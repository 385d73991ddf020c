import dataclasses
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import ClassProgress, class_progress, urls_to_fetch
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.curation import FEATURE_STAGES
from workspace.catalog.records import Download, Hit, Override, Verdict
from workspace.catalog.standing import count_images, effective_verdicts, staying


def hits(label: str, source: str, count: int, start: int = 0) -> list[Hit]:
    return [Hit(label, label, source, n, f"http://{source}/{label}/{n}") for n in range(start, start + count)]


def test_a_class_is_counted_by_what_became_of_its_addresses(catalog) -> None:
    catalog.add_new(hits("cat", "s", 9) + hits("dog", "s", 1))
    catalog.put([Download("http://s/cat/8", "failed", "host_given_up", attempts=0)])
    urls = [f"http://s/cat/{n}" for n in range(8)]
    catalog.put([Download(url, "ok", sha256=f"{n}{n}") for n, url in enumerate(urls[:4])])
    catalog.put([Download(urls[4], "failed", "timeout"), Download(urls[5], "skipped", "same_picture")])
    catalog.put(
        [
            Verdict("00", "cat", "decode", "keep"),
            Verdict("00", "cat", "copy", "keep"),
            Verdict("11", "cat", "check", "drop", "blank"),
            Verdict("22", "cat", "copy", "flag"),
            Verdict("22", "cat", "curate", "drop", "off_topic"),
        ]
    )
    states = class_progress(catalog, ["dog", "cat", "fox"])
    images = {"judged": 3, "kept": 1}
    assert list(states) == ["dog", "cat", "fox"]
    assert states["cat"] == ClassProgress(
        "cat", clean=2, found=9, waiting=2, unjudged=1, settled=4, left_out=2, **images
    )
    assert states["dog"] == ClassProgress("dog", found=1, waiting=1)
    assert states["fox"] == ClassProgress("fox")


def test_what_a_person_says_counts(catalog) -> None:
    catalog.put([Verdict(sha, "cat", "check", "keep") for sha in ("aa", "bb")])
    catalog.put([Verdict("cc", "cat", "check", "drop", "blank")])
    catalog.put([Override("aa", "cat", "drop"), Override("cc", "cat", "keep"), Override("bb", "cat", "relabel", "dog")])
    assert {label: progress.clean for label, progress in class_progress(catalog, ["cat", "dog"]).items()} == {
        "cat": 1,
        "dog": 1,
    }


def test_what_is_missing_is_asked_for_divided_by_the_share_that_was_clean(catalog) -> None:
    assert ClassProgress("cat").still_to_fetch(100) == 100
    assert ClassProgress("cat", clean=49, settled=99).still_to_fetch(100) == 102
    assert ClassProgress("cat", clean=49, settled=99, unjudged=30).still_to_fetch(100) == 72
    assert ClassProgress("cat", clean=0, settled=5000).still_to_fetch(100) == 2000  # at least one in twenty
    assert ClassProgress("cat", clean=100, settled=5000).still_to_fetch(100) == 0


def test_sources_take_turns_and_the_one_that_gave_less_so_far_comes_first(catalog) -> None:
    catalog.add_new(hits("cat", "big", 300) + hits("cat", "small", 10))
    catalog.put([Download(f"http://big/cat/{n}", "failed", "timeout") for n in range(4)])
    urls = urls_to_fetch(catalog, ["cat"], 16)
    assert len(urls) == 80  # four failed: the share is put at a fifth
    assert Counter(url.split("/")[2] for url in urls[:8]) == {"small": 6, "big": 2}
    assert [url for url in urls if "small" in url] == [f"http://small/cat/{n}" for n in range(10)]


def test_no_more_is_fetched_than_the_class_needs_and_classes_take_turns(catalog) -> None:
    catalog.add_new(hits("cat", "s", 9) + hits("dog", "s", 9) + hits("old", "s", 9))
    assert urls_to_fetch(catalog, ["cat", "dog"], 2) == [
        f"http://s/{label}/{n}" for n in range(2) for label in ("cat", "dog")
    ]


def test_an_address_that_two_sources_found_is_fetched_once(catalog) -> None:
    catalog.add_new([Hit("cat", "cat", source, n, f"http://x/{n}") for source in "ab" for n in range(5)])
    assert sorted(urls_to_fetch(catalog, ["cat"], 100)) == [f"http://x/{n}" for n in range(5)]


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=4), wanted=st.integers(1, 60))
def test_turns_are_fair_whatever_the_sources_hold(tmp_path_factory, sizes, wanted) -> None:
    with Catalog(tmp_path_factory.mktemp("fair") / "c.sqlite") as catalog:
        for number, size in enumerate(sizes):
            catalog.add_new(hits("cat", f"s{number}", size))
        urls = urls_to_fetch(catalog, ["cat"], wanted)
    taken = Counter(url.split("/")[2] for url in urls)
    assert len(urls) == len(set(urls)) == min(wanted, sum(sizes))
    for number, size in enumerate(sizes):
        # Who gave less than another by more than one gave all it had.
        assert taken[f"s{number}"] == size or taken[f"s{number}"] >= max(taken.values()) - 1


SHA = st.sampled_from(["aa", "bb", "cc"])
LABEL = st.sampled_from(["ape", "bee", "cat"])
VERDICTS = st.lists(
    st.builds(
        Verdict, SHA, LABEL, st.sampled_from(["check", "copy", "near_copy", "curate"]),
        st.sampled_from(["keep", "flag", "drop"]),
    ),
    max_size=14, unique_by=lambda row: (row.sha256, row.label, row.stage),
)  # fmt: skip
OVERRIDES = st.lists(
    st.one_of(
        st.builds(Override, SHA, LABEL, st.sampled_from(["keep", "drop"])),
        st.builds(Override, SHA, LABEL, st.just("relabel"), LABEL),
    ),
    max_size=4, unique_by=lambda row: (row.sha256, row.label),
)  # fmt: skip


@settings(max_examples=150)
@given(VERDICTS, OVERRIDES, st.sampled_from([(), ("curate",), ("near_copy", "curate"), ("check",)]))
def test_the_database_counts_what_the_definition_says(verdicts, overrides, ignoring) -> None:
    with Catalog("sqlite://") as catalog:
        catalog.put(verdicts)
        catalog.put(overrides)
        people = catalog.all(Override)
        stays = staying(effective_verdicts(verdicts, ignoring), people)
        assert catalog.kept(ignoring) == sorted(stays, key=lambda pair: (pair[1], pair[0]))
        found = class_progress(catalog, ["ape", "bee", "cat"])
    images = count_images(effective_verdicts(verdicts), people)
    clean = count_images(effective_verdicts(verdicts, FEATURE_STAGES), people)
    for label, progress in found.items():
        expected = ClassProgress(label, clean=clean[label].kept, **dataclasses.asdict(images[label]))
        assert progress == expected


URL = st.integers(0, 5).map("http://x/{}".format)
HITS = st.lists(
    st.builds(Hit, LABEL, st.just("word"), st.sampled_from(["s", "t"]), st.integers(0, 3), URL),
    max_size=12, unique_by=lambda row: (row.label, row.source, row.image_url),
)  # fmt: skip
DOWNLOADS = st.lists(
    st.one_of(
        st.builds(Download, URL, st.just("ok"), sha256=SHA),
        st.builds(Download, URL, st.sampled_from(["failed", "refused", "skipped", "withdrawn"]), attempts=st.just(1)),
        st.builds(Download, URL, st.just("failed"), attempts=st.just(0)),
    ),
    max_size=6, unique_by=lambda row: row.image_url,
)  # fmt: skip


def outcome_of(label: str, download: Download | None, judged: set[tuple[str, str]]) -> str:
    if download is None:
        return "waiting"
    if download.status in ("skipped", "withdrawn") or (download.status, download.attempts) == ("failed", 0):
        return "left_out"
    return "unjudged" if download.status == "ok" and (download.sha256, label) not in judged else "settled"


@settings(max_examples=80)
@given(HITS, DOWNLOADS, VERDICTS, OVERRIDES)
def test_every_url_counts_once_under_each_class_that_found_it(found, fetched, verdicts, overrides) -> None:
    with Catalog("sqlite://") as catalog:
        for rows in (found, fetched, verdicts, overrides):
            catalog.put(rows)
        progress = class_progress(catalog, ["ape", "bee", "cat"])
        stats = read_collection_stats(catalog, ["ape", "bee"])
    judged = {(row.sha256, row.label) for row in verdicts if row.stage not in FEATURE_STAGES}
    by_url = {row.image_url: row for row in fetched}
    for label, counts in progress.items():
        urls = {hit.image_url for hit in found if hit.label == label}
        outcomes = Counter(outcome_of(label, by_url.get(url), judged) for url in urls)
        assert counts.found == len(urls)
        assert {name: getattr(counts, name) for name in ("waiting", "unjudged", "settled", "left_out")} == {
            name: outcomes[name] for name in ("waiting", "unjudged", "settled", "left_out")
        }
    for label, row in stats.by_class.items():
        urls = {hit.image_url for hit in found if hit.label == label}
        outcomes = Counter(by_url[url].status for url in urls if url in by_url)
        assert row.downloaded == outcomes.pop("ok", 0)
        assert row.not_downloaded == {f"{status}: no reason given": count for status, count in outcomes.items()}
        assert row.found == row.downloaded + row.waiting + row.not_downloaded.total()
        # Each file that was fetched for a class is dropped, kept or not judged, and its other URLs are the same file.
        files = {by_url[url].sha256 for url in urls if url in by_url and by_url[url].status == "ok"}
        assert (
            row.downloaded - row.same_file
            == len(files)
            == row.dropped.total() + row.unjudged + row.kept - row.moved_here
        )
