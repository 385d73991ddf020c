"""A search ends although a service names the same page as the next one for ever."""

import json
from unittest.mock import patch

import pytest

from collectors import search
from collectors.http.session import PoliteSession
from collectors.sources.apis.inaturalist import INaturalist
from collectors.sources.apis.wikimedia import Wikimedia
from collectors.sources.base import ResultPage, SearchHit
from workspace.catalog.records import Search
from workspace.config.collect import SearchConfig
from workspace.config.model import WorkspaceConfig
from workspace.storage.paths import Workspace

CONFIG = WorkspaceConfig.model_validate({"classes": {"cat": ("cat",), "dog": ("dog",)}})
MOST_REQUESTS = 20


class Asked:
    """A source whose next cursor is the one in `cursors`; fails the test when it is asked too often."""

    def __init__(self, cursors: dict[str | None, str | None]) -> None:
        self.cursors, self.asked = cursors, 0

    def search(self, _session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        self.asked += 1
        assert self.asked < MOST_REQUESTS, "the search does not end"
        return ResultPage((SearchHit(f"https://a.example/{keyword}.jpg"),), self.cursors[cursor])


@pytest.mark.parametrize(
    ("cursors", "requests"),
    [({None: "2", "2": "2"}, 2), ({None: "2", "2": "3", "3": "4", "4": "3"}, 4), ({None: "2", "2": None}, 2)],
    ids=["the same page", "a page before", "an end"],
)
def test_a_query_whose_next_page_was_asked_already_is_exhausted(tmp_path, cursors, requests) -> None:
    source, workspace = Asked(cursors), Workspace(tmp_path)
    with patch("collectors.search.make_sources", return_value={"openverse": source}):
        for _ in range(2):
            search.run(workspace, CONFIG)
            assert source.asked == 2 * requests
    with workspace.open_catalog() as catalog:
        assert {(row.status, row.cursor) for row in catalog.all(Search)} == {("exhausted", None)}


@pytest.mark.parametrize("seen", ["the same", "newer"])
def test_inaturalist_ends_where_the_service_leaves_the_position_unheeded(seen: str, answers, session) -> None:
    asked = []

    def respond(_request):
        asked.append(None)
        number = 500 + (len(asked) if seen == "newer" else 0)
        row = {"id": number, "photos": [{"url": "https://p.example/square.jpg"}]}
        return 200, [("Content-Type", "application/json")], json.dumps({"total_results": 90, "results": [row]}).encode()

    source = INaturalist(SearchConfig.model_validate({"inaturalist": {"url": answers(respond)}}))
    first = source.search(session, "cat", None)
    assert first.next_cursor is not None
    assert source.search(session, "cat", first.next_cursor).next_cursor is None


def test_commons_ends_where_the_service_names_the_same_position(answers, tmp_path) -> None:
    asked = []

    def respond(request):
        asked.append(request.path)
        body = {"query": {"pages": []}, "continue": {"gsroffset": 50, "continue": "gsroffset||"}}
        return 200, [("Content-Type", "application/json")], json.dumps(body).encode()

    config = WorkspaceConfig.model_validate(
        {
            "classes": {"cat": "cat", "dog": "dog"},
            "search": {"sources": ["wikimedia"], "wikimedia": {"url": answers(respond)}},
            "network": {
                "allow_private_addresses": True,
                "per_host_pause_s": 0,
                "attempts": 1,
                "contact": "a@b.example",
            },
        }
    )
    assert Wikimedia(config.search)
    with pytest.raises(Exception, match="no source found a picture"):
        search.run(Workspace(tmp_path), config)
    assert len(asked) == 4
