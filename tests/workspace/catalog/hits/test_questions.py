"""A class is filled from what is asked for now: what removed keywords and sources have found is not fetched."""

from workspace.catalog.class_progress import class_progress, urls_to_fetch
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.failures import failed_urls, given_up_notes, lost_urls, urls_to_retry
from workspace.catalog.funnel import funnel_text, remedy_for
from workspace.catalog.hits.questions import Questions, leftover_notes
from workspace.catalog.records import Download, Hit, Override, Search, Verdict
from workspace.config.model import WorkspaceConfig

ASKED = {"jaguar": ["Panthera onca", "jaguar cat"], "fox": ["fox"]}
FOUND = [
    ("jaguar", "jaguar", "openverse", "car"),
    ("jaguar", "jaguar", "folder", "own"),
    ("jaguar", "jaguar", "inbox", "dropped in"),
    ("jaguar", "Panthera onca", "openverse", "wild"),
    ("jaguar", "Panthera onca", "bing", "elsewhere"),
    ("jaguar", "jaguar", "bing", "both"),
    ("jaguar", "jaguar cat", "openverse", "both"),
    ("fox", "fox", "openverse", "red"),
    ("fox", "fox", "bing", "grey"),
]


def fill(catalog) -> None:
    catalog.add_new([Hit(label, word, source, 0, url) for label, word, source, url in FOUND])
    catalog.put(Search(*question, "exhausted") for question in {row[:3] for row in FOUND} if question[2] != "inbox")


def test_only_what_a_present_keyword_and_source_found_waits(catalog) -> None:
    fill(catalog)
    everything = {url for *_, url in FOUND}
    assert set(urls_to_fetch(catalog, ASKED, 100)) == everything
    now = Questions(ASKED, ("openverse",))
    assert set(urls_to_fetch(catalog, ASKED, 100, now)) == {"own", "dropped in", "wild", "both", "red"}
    progress = class_progress(catalog, ASKED, now)["jaguar"]
    assert (progress.found, progress.waiting, progress.not_asked) == (6, 4, 2)
    both = Questions(ASKED, ("openverse", "bing"))
    assert everything - set(urls_to_fetch(catalog, ASKED, 100, both)) == {"car"}
    back = Questions({"jaguar": ["jaguar", *ASKED["jaguar"]], "fox": ["fox"]}, ("bing", "openverse"))
    assert set(urls_to_fetch(catalog, ASKED, 100, back)) == everything
    assert class_progress(catalog, ASKED, back) == class_progress(catalog, ASKED)


def test_nor_is_it_tried_again(catalog) -> None:
    fill(catalog)
    now = Questions(ASKED, ("openverse",))
    catalog.put(Download(url, "failed", "host_given_up", attempts=0) for url in ("car", "wild", "both"))
    assert urls_to_retry(catalog, ASKED, 100, 0.0, now) == failed_urls(catalog, ["host_given_up"], now)
    assert urls_to_retry(catalog, ASKED, 100, 0.0, now) == ["both", "wild"]
    (note,) = given_up_notes(catalog, now)
    assert "2 of its urls" in note and "3 of its urls" in given_up_notes(catalog)[0]  # those that `retry` tries
    catalog.put(Download(url, "failed", "file_lost") for url in ("car", "wild", "own"))
    assert lost_urls(catalog, ASKED, now) == ["own", "wild"]
    assert failed_urls(catalog, ["file_lost"]) == lost_urls(catalog, ASKED) == ["car", "own", "wild"]


def test_the_funnel_counts_what_is_not_fetched_and_says_what_helps(catalog) -> None:
    fill(catalog)
    config = WorkspaceConfig.model_validate({"classes": ASKED, "search": {"sources": ["openverse"]}})
    stats = read_collection_stats(catalog, ["jaguar"], Questions.of(config))
    jaguar = stats.by_class["jaguar"]
    assert funnel_text(jaguar) == (
        "6 found, 4 not fetched yet, 2 found only by removed keywords or sources, and not fetched, 0 kept"
    )
    assert stats.total.not_asked == 2
    jaguar.waiting = 0
    assert "removed: name those again" in remedy_for(jaguar, "jaguar", config)


def test_pictures_that_stay_are_told_by_class_with_the_remedy(catalog) -> None:
    fill(catalog)
    catalog.put(Download(url, "ok", sha256=url) for *_, url in FOUND)
    catalog.put({Verdict(url, label, "check", "keep") for label, _, _, url in FOUND})
    assert (
        leftover_notes(catalog, Questions(ASKED | {"jaguar": ["jaguar", *ASKED["jaguar"]]}, ("openverse", "bing")))
        == ()
    )
    now = Questions(ASKED, ("openverse",))
    jaguar, fox = leftover_notes(catalog, now)
    assert jaguar.startswith("jaguar: 2 kept pictures were found only by what is no longer asked for ('jaguar', bing) ")
    assert fox.startswith("fox: 1 kept picture was found only by what is no longer asked for (bing) and is trained on ")
    assert "collect-and-train review" in fox
    catalog.put([Override("grey", "fox", "keep"), Override("car", "jaguar", "drop")])
    assert [note[:25] for note in leftover_notes(catalog, now)] == ["jaguar: 1 kept picture was"[:25]]
