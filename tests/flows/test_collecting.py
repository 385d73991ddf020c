"""The collecting loop against a site with planted junk: it asks for more until every class has its clean pictures."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from cli.demo import demo_config
from flows.collecting import collect_until_clean, ending
from flows.step_table import step_function
from gallery.site import Gallery
from workspace.catalog.catalog import KEYS
from workspace.catalog.class_progress import ClassProgress, class_progress
from workspace.catalog.collection_stats import ClassCounts
from workspace.catalog.records import Download, Hit, Search, StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.config.template import render_config
from workspace.progress import SILENT
from workspace.storage.paths import Workspace


@pytest.fixture(scope="module")
def junk():
    """24 honest pictures of each of five things, and about as many copies, broken and useless files."""
    with Gallery.rendered(per_class=24, seed=5) as gallery:
        gallery.collection.body = cache(gallery.collection.body)  # drawn once for all tests
        yield gallery


def settings(site: Gallery, classes: int = 2, **search: object) -> WorkspaceConfig:
    config = demo_config(site)
    names = list(config.classes)[:classes]
    return WorkspaceConfig.model_validate(
        config.model_dump()
        | {"classes": {name: config.classes[name] for name in names}}
        | {"search": config.search.model_dump() | search, "clean": {"workers": 1}}
    )


def collect(workspace: Workspace, config: WorkspaceConfig) -> tuple[dict[str, StepCounts], list[str]]:
    ran = []

    def run_step(name: str, number: int) -> StepCounts:
        ran.append(f"{name} {number}")
        return step_function(name)(workspace, config, SILENT, number)

    return collect_until_clean(workspace, config, run_step), ran


def rows(workspace: Workspace, kind):
    with workspace.open_catalog() as catalog:
        return catalog.all(kind)


def test_it_asks_for_more_until_every_class_is_reached_and_then_for_nothing(junk, tmp_path) -> None:
    workspace, config = Workspace(tmp_path), settings(junk, per_class=20)
    counts, ran = collect(workspace, config)
    assert "search 2" in ran  # the first twenty were not all clean
    with workspace.open_catalog() as catalog:
        states = class_progress(catalog, config.classes)
    assert all(20 <= state.clean <= 24 for state in states.values())
    assert counts["search"].notes == tuple(
        f"{label}: {progress.clean} of 20 clean pictures" for label, progress in states.items()
    )
    assert counts["download"].done == len(rows(workspace, Download))
    assert counts["clean"].by_reason["kept"] == sum(state.clean for state in states.values())
    for label in config.classes:  # both sources gave a part
        sources = Counter(hit.source for hit in rows(workspace, Hit) if hit.label == label)
        assert min(sources["openverse"], sources["results_page"]) >= 10

    asked = dict(junk.requests)
    again, ran = collect(workspace, config)
    assert ran == ["search 1", "download 1", "clean 1"]
    assert [step_counts.done for step_counts in again.values()] == [0, 0, 0]
    assert [step_counts.by_reason for step_counts in again.values()] == [
        step_counts.by_reason for step_counts in counts.values()
    ]
    assert dict(junk.requests) == asked


def test_exhausted_sources_are_named_and_not_asked_again(junk, tmp_path) -> None:
    workspace, config = Workspace(tmp_path), settings(junk, per_class=90)
    counts, _ = collect(workspace, config)
    assert {row.status for row in rows(workspace, Search)} == {"exhausted"}
    for label, note in zip(config.classes, counts["search"].notes, strict=True):
        assert note.startswith(f"{label}: 2")
        assert f"; exhausted: openverse ({label!r}), results_page ({label!r}); " in note
        assert re.search(r"of 90 clean pictures; \d+ found, .* dropped \(.*\d+ kept; ", note)
    asked = dict(junk.requests)
    again, _ = collect(workspace, config)
    assert dict(junk.requests) == asked
    assert again["search"].notes == counts["search"].notes


def test_a_source_that_fails_is_asked_once_a_run_while_the_other_goes_on(junk, tmp_path) -> None:
    workspace, config = Workspace(tmp_path), settings(junk, per_class=30)
    words = junk.keywords
    config = config.model_copy(update={"classes": {"a": words[:2], "b": words[2:4]}})
    junk.misbehave("/v1/images/?", "403", times=4)
    before = junk.requests["search"]
    counts, ran = collect(workspace, config)
    assert "search 2" in ran
    assert junk.requests["search"] - before == 4  # once for each keyword
    assert {row.status for row in rows(workspace, Search) if row.source == "openverse"} == {"failed"}
    failures = f"openverse failed for {words[0]!r}: blocked; openverse failed for {words[1]!r}: blocked; exhausted: "
    assert failures + f"results_page ({words[0]!r}), results_page ({words[1]!r})" in counts["search"].notes[0]
    counts, _ = collect(workspace, config)  # another run asks again
    with workspace.open_catalog() as catalog:
        assert all(state.clean >= 30 for state in class_progress(catalog, config.classes).values())


def test_rounds_and_addresses_are_bounded(junk, tmp_path) -> None:
    config = settings(junk, per_class=24, max_rounds=1)
    counts, ran = collect(Workspace(tmp_path / "rounds"), config)
    assert ran == ["search 1", "download 1", "clean 1"]
    assert "stopped after round 1 (search.max_rounds is 1)" in counts["search"].notes[0]
    config = settings(junk, per_class=24, max_found_per_picture=1)
    counts, _ = collect(Workspace(tmp_path / "found"), config)
    assert "the limit is 24 (search.max_found_per_picture)" in counts["search"].notes[0]


def test_a_class_with_two_keywords_uses_both(junk, tmp_path) -> None:
    config = settings(junk, classes=2, per_class=40, sources=["openverse"])
    first, second, third = list(demo_config(junk).classes)[:3]
    config = config.model_copy(update={"classes": {first: (first, second), third: (third,)}})
    workspace = Workspace(tmp_path)
    collect(workspace, config)
    with workspace.open_catalog() as catalog:
        assert class_progress(catalog, [first])[first].clean > 24  # more than one keyword has


def test_sources_that_are_no_longer_asked_keep_nobody_waiting(junk, tmp_path) -> None:
    workspace, config = Workspace(tmp_path), settings(junk, per_class=24, sources=["results_page"])
    label = next(iter(config.classes))
    with workspace.open_catalog() as catalog:
        catalog.put([Search(label, label, "openverse", "open"), Search(label, "old keyword", "results_page", "failed")])
    counts, _ = collect(workspace, config)
    ending = counts["search"].notes[0]
    assert f"; exhausted: results_page ({label!r}); " in ending and "openverse" not in ending and "old" not in ending


@pytest.mark.parametrize(
    ("found", "status", "end"),
    [
        (7, "exhausted", "a: 7 of 90 clean pictures; exhausted: openverse ('a'); give the class more keywords under "),
        (0, "exhausted", "a: 0 of 90 clean pictures; exhausted: openverse ('a'); no source found anything for its "),
        (7, "failed", "a: 7 of 90 clean pictures; openverse failed for 'a': blocked; give the class more keywords "),
        (7, "open", "a: 7 of 90 clean pictures; stopped after round 4 (search.max_rounds is 10); run it again"),
    ],
)
def test_a_class_that_lost_nothing_and_lacks_pictures_is_told_what_helps(junk, found, status, end) -> None:
    config = settings(junk, per_class=90).model_copy(update={"classes": {"a": ("a",), "b": ("b",)}})
    search = Search("a", "a", "openverse", status, reason="blocked" if status == "failed" else None)
    counts = ClassCounts(found=found, downloaded=found, kept=found)
    said = ending(ClassProgress("a", found=found, clean=found), [search], counts, config, rounds=4)
    assert said.startswith(end)
    assert status != "open" or said == end


def test_what_removed_keywords_found_is_not_held_against_the_limit_of_a_class(junk) -> None:
    config = settings(junk, per_class=10).model_copy(update={"classes": {"a": ("a",), "b": ("b",)}})
    search = Search("a", "a", "openverse", "open")
    state = ClassProgress("a", found=450, found_by_removed=400, not_asked=400, settled=50, clean=7)
    said = ending(state, [search], ClassCounts(found=450, not_asked=400, kept=7), config, rounds=4)
    assert "the limit" not in said and "; stopped after round 4" in said
    full = ending(replace(state, found_by_removed=0), [search], ClassCounts(found=450, kept=7), config, rounds=4)
    assert "450 found, the limit is 200 (search.max_found_per_picture)" in full


def recorded(workspace: Workspace) -> int:
    """How many downloads the other process has committed; this one makes no tables meanwhile."""
    try:
        with closing(sqlite3.connect(f"file:{workspace.catalog_file}?mode=ro", uri=True)) as connection:
            return int(connection.execute("select count(*) from downloads").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # no file or no table yet


def test_collect_that_was_killed_goes_on_and_fetches_nothing_twice(junk, tmp_path) -> None:
    workspace, config = Workspace(tmp_path / "w"), settings(junk, per_class=15)
    workspace.root.mkdir()
    workspace.config_file.write_text(render_config(config))
    junk.delay_s = 0.05
    before = junk.requests["image"]
    command = [Path(sys.executable).parent / "collect-and-train", "collect", "-w", workspace.root]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not recorded(workspace):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    junk.delay_s = 0
    kept = rows(workspace, Download)
    assert 0 < len(kept) < 40
    counts, _ = collect(workspace, config)
    assert all(int(note.split(": ")[1].split(" ")[0]) >= 15 for note in counts["search"].notes)
    after = rows(workspace, Download)
    assert [row for row in after if row.image_url in {row.image_url for row in kept}] == kept
    in_flight = 32  # what the killed one had asked for, and not yet committed
    assert junk.requests["image"] - before <= len(after) + in_flight


def test_a_replay_of_the_whole_loop_gives_every_table_again_without_the_site(tmp_path) -> None:
    with Gallery.rendered(per_class=8, seed=6) as site:
        config = settings(site, per_class=6)
        network = config.network.model_dump() | {"attempts": 1}
        recorded = WorkspaceConfig.model_validate(
            config.model_dump() | {"network": network | {"record": str(tmp_path / "tape")}}
        )
        ran = collect(Workspace(tmp_path / "first"), recorded)[1]
    assert "search 2" in ran
    replayed = WorkspaceConfig.model_validate(
        config.model_dump() | {"network": network | {"replay": str(tmp_path / "tape")}}
    )
    assert collect(Workspace(tmp_path / "again"), replayed)[1] == ran
    for kind, (name, _) in KEYS.items():
        assert rows(Workspace(tmp_path / "again"), kind) == rows(Workspace(tmp_path / "first"), kind), name


@pytest.mark.parametrize("has_inbox", [True, False])
def test_the_inbox_is_taken_in_once_before_anybody_is_asked(junk, tmp_path, has_inbox: bool) -> None:
    workspace, config = Workspace(tmp_path), settings(junk, max_rounds=2)
    ran = []

    def run_step(name: str, number: int) -> StepCounts:
        ran.append(name)
        return StepCounts(name, done=0)

    if has_inbox:
        workspace.inbox.mkdir()
    counts = collect_until_clean(workspace, config, run_step)
    assert ran[: 1 + has_inbox] == ["inbox", "search"][not has_inbox :]
    assert ran.count("inbox") == has_inbox
    assert list(counts) == ["inbox", "search", "download", "clean"][not has_inbox :]
