"""A search that found its end is asked again once what it was asked of has changed, and only then."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collectors import download, refresh, search
from workspace.catalog.records import Download, Hit, Search
from workspace.config.model import WorkspaceConfig
from workspace.errors import CollectError
from workspace.storage.paths import Workspace


def rows(workspace: Workspace, kind):
    with workspace.open_catalog() as catalog:
        return catalog.all(kind)


def settings(**search_settings: object) -> WorkspaceConfig:
    network = {"allow_private_addresses": True, "per_host_pause_s": 0, "attempts": 1}
    values = {
        "classes": {"cat": "cat", "fox": "fox"},
        "search": {"per_class": 50} | search_settings,
        "network": network,
    }
    return WorkspaceConfig.model_validate(values)


def found(workspace: Workspace, config: WorkspaceConfig) -> list[str]:
    """Search to the end and then once more, which must find nothing; return all that was found."""
    search.run(workspace, config)
    assert search.run(workspace, config).done == 0
    return sorted({hit.image_url for hit in rows(workspace, Hit)})


def put(folder: Path, *numbers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.jpg")


def test_files_added_to_a_folder_are_found_and_the_others_are_not_read_again(tmp_path, workspace) -> None:
    put(tmp_path / "mine" / "cat", 1, 2)
    config = settings(sources=["folder"], folder={"path": str(tmp_path / "mine")})
    assert len(found(workspace, config)) == 2
    assert download.run(workspace, config).done == 2
    put(tmp_path / "mine" / "cat" / "deep", 3)
    assert len(found(workspace, config)) == 3
    assert download.run(workspace, config).done == 1
    put(tmp_path / "mine" / "dog", 4)  # no folder of this class
    assert len(found(workspace, config)) == 3


def test_a_file_that_is_put_right_in_its_place_is_read_again(tmp_path, workspace) -> None:
    put(tmp_path / "mine" / "cat", 1, 2)
    file = tmp_path / "mine" / "cat" / "1.jpg"
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    config = settings(sources=["folder"], folder={"path": str(tmp_path / "mine")})
    search.run(workspace, config)
    download.run(workspace, config)
    file.write_bytes(whole)
    search.run(workspace, config)
    assert download.run(workspace, config).done == 1
    assert len(whole) in {row.bytes for row in rows(workspace, Download)}
    os.utime(file, (1, 1))  # the same bytes at another time: looked at again, and known
    search.run(workspace, config)
    assert download.run(workspace, config).by_reason == {"ok": 4}
    assert len({row.sha256 for row in rows(workspace, Download)}) == 3


def test_a_folder_in_another_place_is_asked_as_well(tmp_path, workspace) -> None:
    for name, number in (("one", 1), ("two", 2)):
        put(tmp_path / name / "cat", number)
        found(workspace, settings(sources=["folder"], folder={"path": str(tmp_path / name)}))
    assert len(rows(workspace, Hit)) == 2


def test_rows_added_to_a_list_and_another_list_are_read(tmp_path, workspace) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("url,label\nhttps://a.example/1.jpg,cat\n")
    two.write_text("url,label\nhttps://a.example/3.jpg,cat\n")
    config = settings(sources=["url_list"], url_list={"file": str(one)})
    assert found(workspace, config) == ["https://a.example/1.jpg"]
    one.write_text(one.read_text() + "https://a.example/2.jpg,cat\n")
    assert found(workspace, config)[1:] == ["https://a.example/2.jpg"]
    assert found(workspace, settings(sources=["url_list"], url_list={"file": str(two)}))[2:] == [
        "https://a.example/3.jpg"
    ]


@pytest.fixture
def site(answers) -> str:
    """A site of two pages, the second linked by the first, and a third on its own; and an API."""

    def respond(request):
        pages = {"/": ("1.jpg", "/deep"), "/deep": ("2.jpg", "/"), "/other": ("3.jpg", "/")}
        if request.path.startswith("/search"):
            return 200, [("Content-Type", "text/html")], b'<a href="/api.jpg"><img src="/small.jpg"></a>'
        if request.path not in pages:
            return 404, [], b""
        image, link = pages[request.path]
        html = f'<html><img src="/{image}" width="500" height="500"><a href="{link}">more</a></html>'
        return 200, [("Content-Type", "text/html")], html.encode()

    return answers(respond)


def test_more_start_pages_more_depth_and_another_site_are_asked(site, workspace) -> None:
    def names(**website: object) -> list[str]:
        config = settings(sources=["website"], website={"start_pages": {"cat": [f"{site}/"]}} | website)
        return [url.rpartition("/")[2] for url in found(workspace, config)]

    assert names(depth=0) == ["1.jpg"]
    assert names(depth=1) == ["1.jpg", "2.jpg"]
    assert names(depth=1, start_pages={"cat": [f"{site}/", f"{site}/other"]}) == ["1.jpg", "2.jpg", "3.jpg"]
    config = settings(sources=["results_page"], results_page={"url": f"{site}/nothing?{{keyword}}"})
    search.run(workspace, config)
    config = settings(sources=["results_page"], results_page={"url": f"{site}/search?q={{keyword}}"})
    assert [url.rpartition("/")[2] for url in found(workspace, config)][3:] == ["small.jpg"]


def test_another_service_and_other_licences_are_asked(answers, workspace) -> None:
    asked = []

    def respond(request):
        asked.extend([request.path] if "q=cat" in request.path else [])
        return 200, [("Content-Type", "application/json")], b'{"result_count": 0, "page_count": 0, "results": []}'

    one, two = answers(respond), answers(respond)
    for url, licenses in ((one, []), (two, []), (two, ["by"]), (two, ["by", "cc0"])):
        config = settings(openverse={"url": url}, licenses=licenses)
        for _ in range(2):  # the second asks nothing
            with pytest.raises(CollectError):
                search.run(workspace, config)
    assert [("license" in path, "cc0" in path) for path in asked] == [
        (False, False), (False, False), (True, False), (True, True),
    ]  # fmt: skip


def test_a_refresh_begins_anew_where_the_list_has_changed(tmp_path, workspace) -> None:
    file = tmp_path / "list.csv"
    file.write_text("url,label\n" + "".join(f"https://a.example/{n}.jpg,cat\n" for n in range(2000)))
    config = settings(sources=["url_list"], url_list={"file": str(file)}, per_class=10)
    config = config.model_copy(update={"retrain": config.retrain.model_copy(update={"search_again_h": 1e-9})})
    search.run(workspace, config)
    assert [(row.status, row.cursor) for row in rows(workspace, Search) if row.label == "cat"] == [("open", "2000")]
    file.write_text("url,label\nhttps://a.example/new.jpg,cat\n")
    assert refresh.run(workspace, config).by_reason["new hits"] == 1


def test_a_search_dated_in_the_future_is_due(tmp_path, workspace) -> None:
    with workspace.open_catalog() as catalog:
        catalog.put([Search("cat", "cat", "openverse", "exhausted", asked_at="2031-01-01T00:00:00+00:00")])
    assert len(refresh.due_searches(workspace, settings())) == 1


def test_a_search_of_an_earlier_version_is_not_asked_again_until_something_changes(tmp_path, workspace) -> None:
    put(tmp_path / "mine" / "cat", 1)
    config = settings(sources=["folder"], folder={"path": str(tmp_path / "mine")})
    with workspace.open_catalog() as catalog:
        catalog.add_new([Hit("cat", "cat", "folder", 0, "folder:cat/1.jpg")])
        catalog.put([Search("cat", "cat", "folder", "exhausted", found=1)])
    assert found(workspace, config) == ["folder:cat/1.jpg"]
    put(tmp_path / "mine" / "cat", 2)
    assert any("cat/2.jpg" in url for url in found(workspace, config))
