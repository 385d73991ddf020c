"""Files under images/ that a power cut, or a person, emptied, cut, overwrote or removed: found, and fetched again."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from collectors import download, inbox, retry_failed, search
from preprocessing import clean
from workspace.catalog.records import Download
from workspace.config.template import render_config
from workspace.files.atomic import write_atomic
from workspace.storage.image_store import ImageStore

LOSSES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "removed": lambda file: file.unlink(),
    "a link that leads nowhere": lambda file: (file.unlink(), file.symlink_to("/nowhere/1.jpg")),
}


@pytest.fixture
def collected(site, workspace, configure):
    config = configure(site)
    search.run(workspace, config)
    download.run(workspace, config)
    clean.run(workspace, config)
    workspace.config_file.write_text(render_config(config))
    return config


@pytest.fixture(params=LOSSES)
def lost(request, workspace, collected) -> dict[Path, bytes]:
    """The bytes that two stored files had, by the file."""
    files = sorted(file for file in workspace.images.rglob("*") if file.is_file())[:2]
    before = {file: file.read_bytes() for file in files}
    for file in files:
        LOSSES[request.param](file)
    return before


def reasons(workspace) -> Counter[str]:
    with workspace.open_catalog() as catalog:
        return Counter(row.reason or row.status for row in catalog.all(Download))


def test_the_next_download_heals_them_though_files_of_that_name_exist(workspace, collected, lost, site) -> None:
    asked = site.requests["image"]
    assert download.run(workspace, collected).done == site.requests["image"] - asked == 2
    assert {file: file.read_bytes() for file in lost} == lost
    assert reasons(workspace) == {"ok": 12}
    assert clean.run(workspace, collected).by_reason["kept"] == 12


def test_clean_says_so_and_what_heals_them_and_judges_none_of_them(workspace, collected, lost) -> None:
    counts = clean.run(workspace, collected)
    assert reasons(workspace) == {"ok": 10, "file_lost": 2}
    assert counts.by_reason["kept"] == 10
    assert counts.notes == (
        f"2 files of {workspace.images}, lost or cut off as by a power cut, must be fetched again: "
        f"collect-and-train collect -w {workspace.root}",
    )
    assert clean.run(workspace, collected).notes == ()  # told once


def test_retry_counts_them_among_the_failures_and_heals_them(workspace, collected, lost) -> None:
    shown = CliRunner().invoke(app, ["retry", "-w", str(workspace.root)])
    assert "2 retried, 2 succeeded" in shown.output
    assert {file: file.read_bytes() for file in lost} == lost
    assert retry_failed.run(workspace, collected).by_reason == {}


def test_a_file_that_was_put_back_is_ok_without_a_request(workspace, collected, lost, site) -> None:
    clean.run(workspace, collected)
    for file, data in lost.items():
        write_atomic(file, data)
    asked = site.requests["image"]
    download.run(workspace, collected)
    assert site.requests["image"] == asked
    assert reasons(workspace) == {"ok": 12}
    assert clean.run(workspace, collected).by_reason["kept"] == 12


def test_bytes_of_the_right_number_that_are_others_are_found_before_they_are_judged(site, workspace, configure) -> None:
    config = configure(site)
    search.run(workspace, config)
    download.run(workspace, config)
    file = next(file for file in sorted(workspace.images.rglob("*")) if file.is_file())
    data = file.read_bytes()
    file.write_bytes(bytes(len(data)))
    assert clean.run(workspace, config).by_reason["kept"] == 11
    assert reasons(workspace) == {"ok": 11, "file_lost": 1}
    download.run(workspace, config)
    assert file.read_bytes() == data
    assert clean.run(workspace, config).by_reason["kept"] == 12


def test_a_picture_that_is_no_longer_to_be_had_says_so(workspace, collected, lost, site) -> None:
    with workspace.open_catalog() as catalog:
        gone = {row.image_url for row in catalog.all(Download) if any(row.sha256 in file.name for file in lost)}
    for url in gone:
        site.misbehave(url.removeprefix(site.base_url), "404")
    download.run(workspace, collected)
    assert reasons(workspace) == {"ok": 10, "http_404": 2}


def test_a_file_from_the_inbox_is_taken_from_there_again_and_never_asked_of_the_network(
    workspace, collected, photos
) -> None:
    data = photos["cat/c01.jpg"] + b"of my own"
    original = workspace.inbox / "cat" / "mine.jpg"
    write_atomic(original, data)
    os.utime(original, (time.time() - 3600,) * 2)
    inbox.run(workspace, collected)
    stored = next(file for file in workspace.images.rglob("*") if file.is_file() and file.read_bytes() == data)
    stored.write_bytes(b"")
    download.run(workspace, collected)
    retry_failed.run(workspace, collected)
    assert reasons(workspace) == {"ok": 12, "file_lost": 1}
    inbox.run(workspace, collected)
    assert stored.read_bytes() == data
    assert reasons(workspace) == {"ok": 13}


@pytest.mark.parametrize("there", [b"", b"cut", b"other"])
def test_a_file_that_does_not_hold_its_bytes_is_written_again(workspace, there) -> None:
    images = ImageStore(workspace)
    images.put("ab" * 32, ".png", b"whole")
    (workspace.root / images.key("ab" * 32)).write_bytes(there)
    images.put("ab" * 32, ".png", b"whole")
    assert images.get("ab" * 32) == b"whole"
