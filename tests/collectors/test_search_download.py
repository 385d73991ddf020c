import hashlib
import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from unittest.mock import patch

import pytest
from PIL import Image, features

from collectors import download, search
from collectors.sources.base import ResultPage, SearchHit
from gallery.site import Gallery
from preprocessing.images.decode import decode
from workspace.catalog.records import Download, Hit, Search
from workspace.config.model import WorkspaceConfig
from workspace.config.template import render_config
from workspace.errors import CollectError, ConfigError, SourceFailed, WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.progress import Silent
from workspace.storage.image_store import ImageStore


def rows(workspace, kind):
    with workspace.open_catalog() as catalog:
        return catalog.all(kind)


def test_every_picture_is_found_once_with_its_rank_and_fetched_byte_for_byte(
    site, workspace, configure, photos
) -> None:
    config = configure(
        site, search={"sources": ["openverse", "results_page"], "results_page": {"url": site.results_url}}
    )
    found = search.run(workspace, config)
    assert (found.done, found.by_reason["found for cat"], found.by_reason["found for 강아지"]) == (12, 7, 5)
    assert len(rows(workspace, Hit)) == 24  # the same address from two sources is two hits and one picture
    fetched = download.run(workspace, config)
    assert (fetched.done, dict(fetched.by_reason)) == (12, {"ok": 12})
    for row in rows(workspace, Download):
        file = workspace.root / ImageStore(workspace).key(row.sha256)
        data = file.read_bytes()
        assert hashlib.sha256(data).hexdigest() == row.sha256
        assert data in photos.values()
        assert file.suffix == {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}[data[:2]]
    ranks = [hit.rank for hit in rows(workspace, Hit) if (hit.label, hit.source) == ("cat", "openverse")]
    assert sorted(ranks) == list(range(7))


def _encoded(kind: str, **options: object) -> bytes:
    frames = [Image.new("RGB", (48, 40), (shade, 90, 120)) for shade in (10, 200)]
    out = io.BytesIO()
    frames[0].save(out, kind, **({"append_images": frames[1:]} if "save_all" in options else {}), **options)
    return out.getvalue()


def _with_brands(data: bytes, *brands: bytes) -> bytes:
    """An AVIF whose ftyp box names these brands, filled up with `miaf` so that no later box moves."""
    size = int.from_bytes(data[:4], "big")
    filled = [brands[0], bytes(4), *[b"miaf"] * ((size - 12) // 4 - len(brands)), *brands[1:]]
    return data[:8] + b"".join(filled) + data[size:]


def _files_of_every_type() -> dict[str, tuple[bytes, str, str]]:
    """Bytes, the suffix they are stored with, and the format that the decoder reads."""
    files = {
        "jpeg": (_encoded("JPEG"), ".jpg", "JPEG"),
        "png": (_encoded("PNG"), ".png", "PNG"),
        "webp": (_encoded("WEBP"), ".webp", "WEBP"),
        "gif": (_encoded("GIF"), ".gif", "GIF"),
        "bmp": (_encoded("BMP"), ".bmp", "BMP"),
        "tiff": (_encoded("TIFF"), ".tif", "TIFF"),
        "bigtiff": (_encoded("TIFF", big_tiff=True), ".tif", "TIFF"),
    }
    if features.check("avif"):
        sequence = _encoded("AVIF", save_all=True)
        files |= {
            "avif": (_encoded("AVIF"), ".avif", "AVIF"),
            "avif sequence": (_with_brands(sequence, b"avis", b"msf1", b"avis"), ".avif", "AVIF"),
            "avif brand last": (_with_brands(sequence, b"mif1", b"msf1", b"avif"), ".avif", "AVIF"),
        }
    return files


def test_every_type_that_the_decoder_reads_is_downloaded(tmp_path, workspace, configure) -> None:
    files = _files_of_every_type()
    for number, (name, (data, _, _)) in enumerate(files.items()):
        write_atomic(tmp_path / "types" / ("cat", "dog")[number % 2] / f"{name}.jpg", data, durable=False)
    with Gallery.photos(tmp_path / "types") as site:
        config = configure(site)
        search.run(workspace, config)
        assert dict(download.run(workspace, config).by_reason) == {"ok": len(files)}
    for data, suffix, form in files.values():
        file = workspace.root / ImageStore(workspace).key(hashlib.sha256(data).hexdigest())
        assert (file.suffix, decode(file.read_bytes()).format) == (suffix, form)


def test_a_second_run_asks_nothing(site, workspace, configure) -> None:
    config = configure(site)
    first = [search.run(workspace, config), download.run(workspace, config)]
    asked = dict(site.requests)
    second = [search.run(workspace, config), download.run(workspace, config)]
    assert dict(site.requests) == asked
    assert [(step.done, step.reused, step.by_reason) for step in second] == [
        (0, step.done, step.by_reason) for step in first
    ]


def test_search_stops_when_there_are_enough_and_goes_on_when_more_are_wanted(tmp_path, workspace, configure) -> None:
    folder = tmp_path / "many"
    for label in ("a", "b"):
        for number in range(45):
            file = folder / label / f"{number:03}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"\xff\xd8\xff" + f"{label}{number}".encode())
    with Gallery.photos(folder) as site:
        search.run(workspace, configure(site, search={"per_class": 20}))
        assert site.requests["search"] == 2
        search.run(workspace, configure(site, search={"per_class": 30}))
        assert site.requests["search"] == 4
        counts = search.run(workspace, configure(site, search={"per_class": 100}))
        assert site.requests["search"] == 6
    assert counts.by_reason["found"] == 90
    assert [(row.status, row.found) for row in rows(workspace, Search)] == [("exhausted", 45)] * 2
    assert sorted(hit.rank for hit in rows(workspace, Hit) if hit.label == "b") == list(range(45))
    assert counts.notes[0].startswith("a: 45 pictures found, 55 more wanted; the sources have no more")


def test_a_source_that_fails_is_recorded_and_the_other_goes_on_and_the_next_run_asks_again(
    site, workspace, configure
) -> None:
    site.misbehave("/v1/images/?", "403", times=2)
    config = configure(
        site, search={"sources": ["openverse", "results_page"], "results_page": {"url": site.results_url}}
    )
    counts = search.run(workspace, config)
    assert counts.by_reason["found"] == 12
    assert counts.by_reason["failed searches"] == 2
    assert any("openverse failed for 'cat': blocked" in note for note in counts.notes)
    failed = [row for row in rows(workspace, Search) if row.status == "failed"]
    assert [(row.source, row.reason) for row in failed] == [("openverse", "blocked")] * 2
    again = search.run(workspace, config)
    assert "failed searches" not in again.by_reason
    assert len(rows(workspace, Hit)) == 24


def test_the_depth_that_a_source_shows_is_its_end_and_is_not_asked_for_again(site, workspace, configure) -> None:
    class Shallow:
        asked = 0

        def search(self, _session, _keyword, cursor) -> ResultPage:
            self.asked += 1
            if cursor:
                raise SourceFailed("depth_limit", "no deeper")
            return ResultPage((SearchHit("http://x.example/1.jpg"),), "2")

    source = Shallow()
    with patch("collectors.search.make_sources", return_value={"shallow": source}):
        for _ in range(2):
            search.run(workspace, configure(site))
            assert source.asked == 4  # two pages of two classes
    assert [(row.status, row.reason) for row in rows(workspace, Search)] == [("exhausted", "depth_limit")] * 2


def test_one_picture_in_two_sizes_is_fetched_once(site, workspace, configure) -> None:
    class Flickr:
        def search(self, _session, keyword, _cursor) -> ResultPage:
            where = f"https://LIVE.staticflickr.com/1/{len(keyword)}23_0a1b"
            return ResultPage(
                tuple(SearchHit(f"{where}{size}.jpg?utm_source=x#top") for size in ("_b", "", "_b")), None
            )

    with patch("collectors.search.make_sources", return_value={"flickr": Flickr()}):
        search.run(workspace, configure(site))
    assert sorted(hit.image_url for hit in rows(workspace, Hit) if hit.label == "cat") == [
        "https://live.staticflickr.com/1/323_0a1b.jpg",
        "https://live.staticflickr.com/1/323_0a1b_b.jpg",
    ]
    skipped = {row.image_url: (row.status, row.reason) for row in rows(workspace, Download)}
    assert skipped["https://live.staticflickr.com/1/323_0a1b.jpg"] == ("skipped", "same_picture")


def test_html_where_json_was_due_is_no_empty_answer(site, workspace, configure) -> None:
    config = configure(site, search={"openverse": {"url": f"{site.base_url}/search?q=cat&rest="}})
    with pytest.raises(CollectError, match=r"(?s)no source found a picture.*not_json"):
        search.run(workspace, config)


def test_an_unknown_source_lists_the_known_ones(site, workspace, configure) -> None:
    with pytest.raises(ConfigError, match="unknown altavista; the known sources are openverse, results_page"):
        search.run(workspace, configure(site, search={"sources": ["altavista"]}))


def test_a_licence_filter_leaves_out_what_is_not_known_to_fit(site, workspace, configure) -> None:
    config = configure(
        site, search={"licenses": ["cc0"], "sources": ["results_page"], "results_page": {"url": site.results_url}}
    )
    with pytest.raises(ConfigError, match=r"all 12 pictures .* are excluded \(skipped: license_unknown 12\)"):
        search.run(workspace, config)  # photographs from a folder have no licence
    assert {(row.status, row.reason) for row in rows(workspace, Download)} == {("skipped", "license_unknown")}
    assert download.run(workspace, config).done == 0
    free = configure(site, search={"licenses": []})
    search.run(workspace, free)  # asks nothing again: what was left out is free now
    assert dict(download.run(workspace, free).by_reason) == {"ok": 12}


def test_each_failure_is_a_row_and_the_good_pictures_beside_it_are_stored(site, workspace, configure) -> None:
    config = configure(site, network={"attempts": 2}, download={"max_mb": 1})
    search.run(workspace, config)
    urls = [hit.image_url for hit in rows(workspace, Hit) if hit.label == "cat"]
    faults = ["403", "reset", "hang", "svg", "endless"]
    for url, fault in zip(urls, faults, strict=False):
        site.misbehave(url.removeprefix(site.base_url), fault, times=2)
    only_the_hanging_one = {"read_timeout_s": 0.3, "robots": False, "reservations": False}
    hasty = config.model_copy(update={"network": config.network.model_copy(update=only_the_hanging_one)})
    assert dict(download.run(workspace, hasty, urls=[urls[2]]).by_reason) == {"ok": 0, "failed: timeout": 1}
    counts = download.run(workspace, config)
    assert dict(counts.by_reason) == {
        "ok": 7,
        "failed: connection": 1,
        "failed: http_403": 1,
        "failed: timeout": 1,
        "refused: svg": 1,
        "refused: too_large": 1,
    }
    assert download.run(workspace, config).done == 0


def test_loopback_is_refused_unless_the_workspace_allows_it(site, workspace, configure) -> None:
    config = configure(site)
    search.run(workspace, config)
    closed = config.model_copy(update={"network": config.network.model_copy(update={"allow_private_addresses": False})})
    assert dict(download.run(workspace, closed).by_reason) == {"ok": 0, "refused: private_address": 12}
    assert not workspace.images.exists()
    assert site.requests["image"] == 0


def test_a_full_disk_is_an_error_that_names_the_file_and_loses_nothing(site, workspace, configure) -> None:
    config = configure(site)
    search.run(workspace, config)
    workspace.root.joinpath("images").write_bytes(b"in the way")  # stands for any folder that cannot be written
    with pytest.raises(WorkspaceError, match="run the same command again"):
        download.run(workspace, config)
    workspace.images.unlink()
    assert dict(download.run(workspace, config).by_reason) == {"ok": 12}


SCRIPT = """
import sys
from pathlib import Path
from collectors import download
from workspace.config.model import load_config
from workspace.storage.paths import Workspace
workspace = Workspace(Path(sys.argv[1]))
download.run(workspace, load_config(workspace.config_file))
"""


def test_a_killed_download_goes_on_and_repeats_nothing_that_was_done(site, workspace, configure, monkeypatch) -> None:
    patient = {"read_timeout_s": 170, "transfer_timeout_s": 170}
    config = configure(site, download={"connections": 2, "per_host_connections": 2}, network=patient)
    search.run(workspace, config)
    workspace.config_file.write_text(render_config(config))
    killed, numbers, count = threading.Event(), itertools.count(1), site.count

    def answer_four(kind: str) -> None:
        count(kind)
        if kind == "image" and next(numbers) > 4:
            killed.wait(170)

    monkeypatch.setattr(site, "count", answer_four)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(workspace.root)])
    try:
        deadline = time.monotonic() + 150
        while not rows(workspace, Download) or site.requests["image"] < 6:  # four answered, two held
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed.set()
    done = rows(workspace, Download)
    assert 0 < len(done) <= 4
    before = site.requests["image"]
    counts = download.run(workspace, config)
    assert (counts.done, counts.reused) == (12 - len(done), len(done))
    assert site.requests["image"] - before == counts.done
    assert Counter(row.status for row in rows(workspace, Download)) == {"ok": 12}


def test_a_folder_of_ones_own_is_collected_without_a_request(site, workspace, configure, photos, tmp_path) -> None:
    config = configure(site, search={"sources": ["folder"], "folder": {"path": str(tmp_path / "photos")}})
    assert search.run(workspace, config).by_reason["found"] == 12
    assert dict(download.run(workspace, config).by_reason) == {"ok": 12}
    stored = {file.read_bytes() for file in workspace.images.rglob("*") if file.is_file()}
    assert stored == set(photos.values())
    assert not site.requests


def test_another_sources_address_reads_no_local_file(site, workspace, configure, tmp_path) -> None:
    config = configure(site)
    search.run(workspace, config)
    with workspace.open_catalog() as catalog:
        catalog.add_new(
            [Hit("cat", "cat", "openverse", 99, url) for url in ("folder:cat/c00.jpg", "file:///etc/passwd")]
        )
    counts = download.run(workspace, config)
    assert counts.by_reason["refused: bad_url"] == 2


def test_a_run_without_a_contact_says_so_once(site, workspace, configure) -> None:
    class Told(Silent):
        def warn(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    private = {"allow_private_addresses": False, "private_hosts": ["127.0.0.1"]}
    config = configure(site, network=private)
    search.run(workspace, config)
    with workspace.open_catalog() as catalog:
        urls = sorted({hit.image_url for hit in catalog.all(Hit)})
    download.run(workspace, config, Told(), urls=urls[:1])
    download.run(workspace, config, Told(), warn_of_contact=False)
    download.run(workspace, configure(site, network=private | {"contact": "me@example.org"}), Told(), urls=urls[:1])
    assert [text for text in said if "network.contact" in text] == said[:1]


class _Heard(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.mark.parametrize(
    ("url", "network", "warned"),
    [
        ("folder:cat/1.jpg", {}, False),
        ("http://127.0.0.1:9/1.jpg", {}, True),
        ("http://127.0.0.1:9/1.jpg", {"private_hosts": ["127.0.0.1"], "attempts": 1}, False),
        ("http://127.0.0.1:9/1.jpg", {"contact": "me@example.org"}, False),
        ("http://[/1.jpg", {}, False),
    ],
)
def test_a_missing_contact_is_said_only_where_sites_of_others_are_asked(url, network, warned, workspace):
    values = {
        "classes": {"cat": "cat", "dog": "dog"},
        "search": {"folder": {"path": "."}},
        "network": network,
    }
    heard = _Heard()
    download.run(workspace, WorkspaceConfig.model_validate(values), heard, urls=[url])
    assert any("network.contact" in text for text in heard.warnings) is warned


def test_a_replay_asks_nobody_and_warns_of_no_missing_contact(workspace, tmp_path):
    for tape, warned in (("record", True), ("replay", False)):
        values = {"classes": {"cat": "cat", "dog": "dog"}, "network": {tape: str(tmp_path / "tape")}}
        heard = _Heard()
        download.run(workspace, WorkspaceConfig.model_validate(values), heard, urls=["http://127.0.0.1:9/1.jpg"])
        assert any("network.contact" in text for text in heard.warnings) is warned
