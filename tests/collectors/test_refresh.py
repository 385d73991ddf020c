"""Searches asked again: a page each, not before they are due, and only what is new is taken."""

from unittest.mock import patch

import pytest

from collectors import refresh, search
from collectors.sources.base import ResultPage, SearchHit
from gallery.site import Gallery
from workspace.catalog.records import Download, Hit, Search
from workspace.config.model import WorkspaceConfig
from workspace.errors import SourceFailed
from workspace.storage.paths import Workspace


@pytest.fixture
def collected(tmp_path):
    with Gallery.rendered(per_class=30, seed=5) as site:
        config = WorkspaceConfig.model_validate(
            {
                "classes": {word: (word,) for word in site.keywords[:2]},
                "search": {"per_class": 20, "openverse": {"url": site.openverse_url}},
                "network": {"allow_private_addresses": True, "per_host_pause_s": 0},
                "retrain": {"search_again_h": 1e-9},
            }
        )
        workspace = Workspace(tmp_path)
        search.run(workspace, config)
        yield workspace, config, site


def rows(workspace: Workspace, kind):
    with workspace.open_catalog() as catalog:
        return catalog.all(kind)


def test_an_open_question_goes_on_page_by_page_until_it_is_exhausted(collected) -> None:
    workspace, config, site = collected
    before = {hit.image_url for hit in rows(workspace, Hit)}
    asked = site.requests["search"]
    counts = refresh.run(workspace, config)
    assert site.requests["search"] - asked == counts.done == 2
    new = [hit for hit in rows(workspace, Hit) if hit.image_url not in before]
    assert len(new) == counts.by_reason["new hits"] > 0
    for label in config.classes:
        ranks = sorted(hit.rank for hit in rows(workspace, Hit) if hit.label == label)
        assert ranks == list(range(len(ranks)))
    for _ in range(5):
        refresh.run(workspace, config)
    assert {row.status for row in rows(workspace, Search)} == {"exhausted"}
    total = len(rows(workspace, Hit))
    assert refresh.run(workspace, config).by_reason["new hits"] == 0  # the first page anew: nothing was added
    assert len(rows(workspace, Hit)) == total
    with workspace.open_catalog() as catalog:  # as if one had come at the source since
        gone = rows(workspace, Hit)[0]
        with catalog.engine.begin() as connection:
            connection.exec_driver_sql("delete from hits where image_url = ?", (gone.image_url,))
    found = refresh.run(workspace, config).by_reason["new hits"]
    assert found == (1 if gone.rank < 20 else 0)


def test_nothing_is_asked_before_its_time_nor_for_words_that_are_gone_nor_when_it_is_off(collected) -> None:
    workspace, config, site = collected
    asked = site.requests["search"]
    for hours in (0, 24):
        later = config.model_copy(update={"retrain": config.retrain.model_copy(update={"search_again_h": hours})})
        assert refresh.run(workspace, later).done == 0
    only = dict(list(config.classes.items())[:1])
    assert [
        state.label for state in refresh.due_searches(workspace, config.model_copy(update={"classes": only}))
    ] == list(only)
    assert site.requests["search"] == asked


class Sizes:
    """A source that shows another size of its images each time, and says after its first page that it shows no more."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def search(self, _session, keyword, cursor) -> ResultPage:
        if keyword == "b":
            return ResultPage((), None)
        self.asked.append(cursor)
        if cursor:
            raise SourceFailed("depth_limit", "no deeper")
        size = "" if len(self.asked) > 1 else "_b"
        photos = ("1", "2", "3") if len(self.asked) > 2 else ("1", "2")
        return ResultPage(
            tuple(SearchHit(f"https://live.staticflickr.com/1/{photo}23_0a1b{size}.jpg") for photo in photos), "2"
        )


def test_another_size_is_recorded_as_skipped_and_the_end_of_a_source_as_the_end(tmp_path) -> None:
    config = WorkspaceConfig.model_validate(
        {"classes": {"a": ("a",), "b": ("b",)}, "retrain": {"search_again_h": 1e-9}}
    )
    workspace, source = Workspace(tmp_path), Sizes()
    with (
        patch("collectors.search.make_sources", return_value={"openverse": source}),
        patch("collectors.refresh.make_sources", return_value={"openverse": source}),
    ):
        search.run(workspace, config)  # the first page, then one beyond the end
        assert source.asked == [None, "2"]
        assert refresh.run(workspace, config).by_reason == {"new hits": 1}
    assert source.asked == [None, "2", None]
    assert [(row.status, row.found) for row in rows(workspace, Search)] == [("exhausted", 3), ("exhausted", 0)]
    skipped = [(row.image_url, row.status, row.reason) for row in rows(workspace, Download)]
    assert skipped == [
        (f"https://live.staticflickr.com/1/{photo}23_0a1b.jpg", "skipped", "same_picture") for photo in "12"
    ]


def test_a_source_that_fails_is_told_and_asked_again(collected) -> None:
    workspace, config, site = collected
    site.misbehave("/v1", "reset", times=10)
    quick = config.network.model_copy(update={"attempts": 1})
    counts = refresh.run(workspace, config.model_copy(update={"network": quick}))
    assert counts.by_reason["failed searches"] == 2
    assert {row.status for row in rows(workspace, Search)} == {"failed"}
    site.mischief.__init__()  # type: ignore[misc]
    assert refresh.run(workspace, config).by_reason["new hits"] > 0
