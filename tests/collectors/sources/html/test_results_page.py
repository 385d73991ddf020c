"""A site's own search: its pages are asked one after the other, and the query ends whatever the site answers."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from collectors import search
from collectors.http.session import PoliteSession
from collectors.sources.html import results_page
from collectors.sources.html.results_page import ResultsPage
from workspace.catalog.records import Hit, Search
from workspace.config.collect import SearchConfig
from workspace.config.model import WorkspaceConfig

LAST = 3
Link = Callable[[int], str]


def results(number: int, link: str) -> bytes:
    tile = f'<a href="/photo/{number}"><img src="/{number}.jpg"></a>'
    return f'<html><main>{tile}</main><a rel="next" href="{link}">Next</a></html>'.encode()


@pytest.fixture
def serve_pages(answers):
    """Start a site whose page past the last one shows `shown(number)`, and links to `link(number)`."""

    def start(shown: Callable[[int], int], link: Link) -> tuple[str, list[int]]:
        asked: list[int] = []

        def respond(request):
            parts = urlsplit(request.path)
            if parts.path != "/search":
                return 404, [], b""
            number = int(parse_qs(parts.query)["page"][0])
            asked.append(number)
            following = f"/search?page={number + 1}" if number < LAST else link(number)
            return 200, [("Content-Type", "text/html")], results(shown(number), following)

        return answers(respond), asked

    return start


def ask(base: str, session: PoliteSession) -> list[str]:
    """Every picture's name, by a new source for each page, as after a restart each time."""
    config = SearchConfig.model_validate({"results_page": {"url": f"{base}/search?page={{page}}"}})
    cursor, names = None, []
    for _ in range(50):
        page = ResultsPage(config).search(session, "cat", cursor)
        names += [hit.image_url.rpartition("/")[2] for hit in page.hits]
        if (cursor := page.next_cursor) is None:
            return names
    raise AssertionError("the query does not end")


@pytest.mark.parametrize(
    ("shown", "link", "requests"),
    [
        (lambda n: n, lambda n: "#", 3),
        (lambda n: n, lambda n: f"/search?page={n}#top", 3),
        (lambda n: n, lambda n: "/search?page=1", 3),
        (lambda n: n, lambda n: "javascript:void(0)", 3),
        (lambda n: min(n, LAST), lambda n: f"/search?page={n + 1}", 4),
        (lambda n: (n - 1) % LAST + 1, lambda n: f"/search?page={n + 1}", 4),
    ],
    ids=["disabled", "itself", "back to the first", "script", "the last one again", "all of them again"],
)
def test_a_query_ends_at_the_last_page_however_the_site_shows_it(
    shown: Callable[[int], int], link: Link, requests: int, serve_pages, session: PoliteSession
) -> None:
    base, asked = serve_pages(shown, link)
    assert ask(base, session) == ["1.jpg", "2.jpg", "3.jpg"]
    assert asked == list(range(1, requests + 1))


def test_a_site_that_shows_something_new_without_end_is_asked_for_so_many_pages(
    serve_pages, session: PoliteSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_page, "_MAX_PAGES", 7)
    base, asked = serve_pages(lambda n: n, lambda n: f"/search?page={n + 1}")
    assert len(ask(base, session)) == 7
    assert asked == list(range(1, 8))


def test_a_cursor_of_an_earlier_version_is_continued(serve_pages, session: PoliteSession) -> None:
    base, asked = serve_pages(lambda n: n, lambda n: "#")
    config = SearchConfig.model_validate({"results_page": {"url": f"{base}/search?page={{page}}"}})
    page = ResultsPage(config).search(session, "cat", f"{base}/search?page=2")
    assert page.next_cursor is not None
    assert ResultsPage(config).search(session, "cat", page.next_cursor).next_cursor is None
    assert asked == [2, 3]


def test_a_search_of_a_site_with_a_disabled_link_ends_and_is_not_asked_again(serve_pages, workspace) -> None:
    base, asked = serve_pages(lambda n: n, lambda n: "#")
    config = WorkspaceConfig.model_validate(
        {
            "classes": {"cat": "cat", "dog": "dog"},
            "search": {
                "per_class": 50,
                "sources": ["results_page"],
                "results_page": {"url": f"{base}/search?q={{keyword}}&page={{page}}"},
            },
            "network": {"allow_private_addresses": True, "per_host_pause_s": 0, "attempts": 1},
        }
    )
    for _ in range(2):
        search.run(workspace, config)
        assert asked == [1, 2, 3] * 2
    with workspace.open_catalog() as catalog:
        assert {row.status for row in catalog.all(Search)} == {"exhausted"}
        assert len(catalog.all(Hit)) == 6
