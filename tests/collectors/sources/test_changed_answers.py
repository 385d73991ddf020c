"""A format that changed is a failure; an answer that has nothing is none."""

import pytest

from collectors.sources.apis import flickr, inaturalist, kakao, naver, openverse
from collectors.sources.html import results_page
from collectors.sources.html.website import Website
from collectors.sources.parsing import says_no_results
from workspace.config.collect import SearchConfig
from workspace.config.sources import ResultsPageConfig
from workspace.errors import SourceFailed

PARSERS = {
    "openverse": lambda rows: openverse.parse({"results": rows, "page_count": 3})[0],
    "naver": lambda rows: naver.parse({"items": rows, "total": 900})[0],
    "kakao": lambda rows: kakao.parse({"documents": rows, "meta": {"is_end": False}})[0],
    "flickr": lambda rows: flickr.parse({"stat": "ok", "photos": {"photo": rows, "pages": 3}}, {})[0],
    "inaturalist": lambda rows: inaturalist.parse({"total_results": 90, "results": rows})[0],
}


@pytest.mark.parametrize("name", PARSERS)
def test_many_results_without_one_address_are_another_format_and_a_few_are_not(name: str) -> None:
    row = {"id": 1, "title": "x", "photos": [{"id": 2}], "picture": "https://p.example/1.jpg"}
    assert PARSERS[name]([]) == ()
    assert PARSERS[name]([row] * 2) == ()
    with pytest.raises(SourceFailed, match="none of 20 results has an image url") as caught:
        PARSERS[name]([row] * 20)
    assert caught.value.reason == "changed"


class Page:
    """Stands for a session: one page, wherever it is asked for."""

    def __init__(self, html: str) -> None:
        self.html = html


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch):
    def fetch_page(session: Page, url: str) -> tuple[bytes, str]:
        return session.html.encode(), url

    for module in ("collectors.sources.html.results_page", "collectors.sources.html.website"):
        monkeypatch.setattr(f"{module}.fetch_page", fetch_page)
    return Page


@pytest.mark.parametrize(
    "said", ["0 pictures of zebra", "No results.", "Keine Treffer", "검색결과가 없습니다", "Nothing found"]
)
def test_a_page_of_results_that_says_so_has_none(said: str, served) -> None:
    source = results_page.ResultsPage(
        SearchConfig(results_page=ResultsPageConfig(url="https://s.example/?q={keyword}"))
    )
    assert source.search(served(f"<html><main><h1>{said}</h1></main></html>"), "zebra", None).hits == ()


@pytest.mark.parametrize("html", ["<html><div id='root'></div></html>", "<html>10 results<img src='1.jpg'></html>"])
def test_a_page_of_results_that_says_nothing_of_the_kind_is_a_failure(html: str, served) -> None:
    source = results_page.ResultsPage(
        SearchConfig(results_page=ResultsPageConfig(url="https://s.example/?q={keyword}"))
    )
    with pytest.raises(SourceFailed, match="has no linked picture") as caught:
        source.search(served(html), "zebra", None)
    assert caught.value.reason == "changed"
    assert source.search(served(html), "zebra", "https://s.example/?page=9").hits == ()  # past the last one


def test_a_start_page_that_a_script_would_draw_is_a_failure(served) -> None:
    source = Website(SearchConfig.model_validate({"website": {"start_pages": {"bear": ["https://s.example/"]}}}))
    with pytest.raises(SourceFailed, match="neither pictures nor links") as caught:
        source.search(served("<html><script src='app.js'></script></html>"), "bear", None)
    assert caught.value.reason == "changed"


@pytest.mark.parametrize("text", ["1,000 results", "10 pictures", "250 results for 'no way'", "5.0 results"])
def test_a_count_is_no_lack(text: str) -> None:
    assert not says_no_results(text.encode())
