"""Outcomes are committed in batches: none is lost, none waits long, and an error keeps those before it."""

import threading
import time

import pytest

from collectors import download, fetch_shard
from workspace.catalog.records import Download, Hit
from workspace.config.model import WorkspaceConfig
from workspace.errors import WorkspaceError


@pytest.fixture
def config() -> WorkspaceConfig:
    return WorkspaceConfig.model_validate(
        {"classes": {"a": "a", "b": "b"}, "download": {"connections": 4}, "search": {"per_class": 1000}}
    )


def put_hits(workspace, count: int) -> None:
    with workspace.open_catalog() as catalog:
        catalog.add_new([Hit("a", "a", "s", n, f"u{n:04}") for n in range(count)])


def rows(workspace) -> list[Download]:
    with workspace.open_catalog() as catalog:
        return catalog.all(Download)


@pytest.mark.parametrize("count", [1, 3, 16, 17, 300])
def test_every_url_gets_its_row_whatever_the_number(count, workspace, config, monkeypatch) -> None:
    monkeypatch.setattr(fetch_shard, "fetch_image", lambda _s, url, *_, **__: Download(url, "ok"))
    put_hits(workspace, count)
    assert download.run(workspace, config).by_reason == {"ok": count}
    assert [row.image_url for row in rows(workspace)] == [f"u{n:04}" for n in range(count)]


def test_what_is_there_is_committed_while_a_slow_one_is_under_way(workspace, config, monkeypatch) -> None:
    may_end = threading.Event()

    def fetch(_session, url, *_args, **_more) -> Download:
        if url == "u0000":
            may_end.wait(150)
        return Download(url, "ok")

    monkeypatch.setattr(fetch_shard, "fetch_image", fetch)
    put_hits(workspace, 10)
    runner = threading.Thread(target=download.run, args=(workspace, config))
    runner.start()
    try:
        deadline = time.monotonic() + 60
        while len(rows(workspace)) < 9 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(rows(workspace)) == 9
    finally:
        may_end.set()
        runner.join()
    assert len(rows(workspace)) == 10


def test_an_error_ends_the_run_and_keeps_what_was_done_before_it(workspace, config, monkeypatch) -> None:
    asked = []

    def fetch(_session, url, *_args, **_more) -> Download:
        asked.append(url)
        if url == "u0020":
            raise WorkspaceError("the disk is full")
        return Download(url, "ok")

    monkeypatch.setattr(fetch_shard, "fetch_image", fetch)
    put_hits(workspace, 500)
    with pytest.raises(WorkspaceError, match="the disk is full"):
        download.run(workspace, config)
    done = {row.image_url for row in rows(workspace)}
    assert {f"u{n:04}" for n in range(16)} <= done < set(asked)
    assert len(asked) < 500
