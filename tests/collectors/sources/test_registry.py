"""Every source over real HTTP against a stand-in that is up, asks for a captcha, is busy, or has changed."""

import dataclasses
import json
import logging
import socket
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.console import Console

from collectors import search
from collectors.http.session import PoliteSession
from collectors.sources.registry import SOURCES, UNSUPPORTED, check, make_sources, open_session, source_rows
from workspace.catalog.records import Hit, Search
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.model import WorkspaceConfig
from workspace.errors import CollectError, ConfigError, SourceFailed

KEYS = {
    "FLICKR_API_KEY": "fl1ckr-k3y/+=",
    "KAKAO_REST_API_KEY": "kaka0-k3y",
    "NAVER_API_HUB_CLIENT_ID": "hub-1d-77",
    "NAVER_API_HUB_CLIENT_SECRET": "hub-s3cret",
}
OTHER_KEYS = ("NAVER_CLIENT_ID", "NAVER_CLIENT_SECRET", "OPENVERSE_CLIENT_ID", "OPENVERSE_CLIENT_SECRET")
TILE = '<a class="iusc" m="{&quot;murl&quot;:&quot;https://p.example/1.jpg&quot;}"></a>'
PHOTO = {"url_m": "https://p.example/1.jpg", "owner": "o", "id": "1", "license": "4", "width_m": 500, "height_m": "375"}
LICENSES = [{"id": "0", "url": ""}, {"id": "4", "url": "https://creativecommons.org/licenses/by/2.0/"}]
OBSERVATION = {"id": 7, "photos": [{"url": "https://p.example/square.jpg", "license_code": "cc-by"}]}
COMMONS_PAGE = {"title": "File:A.jpg", "imageinfo": [{"url": "https://p.example/1.jpg", "width": 640, "height": 480}]}
ANSWERS = {
    "openverse": {"results": [{"url": "https://p.example/1.jpg", "license": "by"}], "page_count": 2},
    "wikimedia": {"continue": {"gsroffset": 50, "continue": "gsroffset||"}, "query": {"pages": [COMMONS_PAGE]}},
    "inaturalist": {"total_results": 250, "results": [OBSERVATION]},
    "gbif": {
        "count": 250,
        "endOfRecords": False,
        "results": [{"key": 1, "media": [{"identifier": "https://p.example/1.jpg"}]}],
    },
    "flickr": {"stat": "ok", "photos": {"pages": 3, "photo": [PHOTO]}},
    "naver": {
        "total": 3815005,
        "items": [{"link": "https://p.example/1.jpg", "sizewidth": "3", "sizeheight": "2"}],
    },
    "kakao": {"documents": [{"image_url": "https://p.example/1.jpg"}], "meta": {"is_end": False}},
    "bing": f"<html>{TILE}</html>",
    "website": '<html><img src="/1.jpg"><a href="/website/2">on</a></html>',
    "results_page": '<html><a href="/p"><img src="/1.jpg"></a></html>',
}
CAPTCHA = "<!doctype html><html><title>Just a moment</title><form id='captcha'>Are you human?</form></html>"
CHANGED_JSON, CHANGED_HTML = '{"data": {"edges": []}}', "<html><div class='tile-v2'></div></html>"


class StandIn:
    """Answers as every service at once, at /<name>; `state` says how, `asked` what was asked with which headers."""

    def __init__(self, url: str = "") -> None:
        self.state = "up"
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.url = url

    def respond(self, request) -> tuple[int, list[tuple[str, str]], bytes]:
        parts = urlsplit(request.path)
        name = parts.path.split("/")[1]
        if name == "robots.txt":
            return 404, [], b""
        params = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.asked.append((name, params, dict(request.headers)))
        is_html = isinstance(ANSWERS[name], str)
        answer = {"up": ANSWERS[name], "captcha": CAPTCHA, "429": "slow down"}.get(
            self.state, CHANGED_HTML if is_html else CHANGED_JSON
        )
        if name == "flickr" and params["method"].endswith("getInfo") and self.state == "up":
            answer = {"stat": "ok", "licenses": {"license": LICENSES}}
        if name == "inaturalist" and params.get("taxon_name") == "nobody":
            answer = {"total_results": 0, "results": []}
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        status = {"429": 429, "403": 403, "401": 401, "elsewhere": 302}.get(self.state, 200)
        headers = []
        if status == 302:
            headers.append(("Location", f"http://localhost:{urlsplit(self.url).port}/{name}/?{parts.query}"))
            self.state = "up"
        content_type = "text/html" if is_html or self.state == "captcha" else "application/json"
        return status, [*headers, ("Content-Type", content_type)], body


@pytest.fixture
def stand_in(answers) -> StandIn:
    made = StandIn()
    made.url = answers(made.respond)
    return made


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, *OTHER_KEYS):
        monkeypatch.delenv(name, raising=False)


def settings(stand_in: StandIn, **more: object) -> SearchConfig:
    values = {name: {"url": f"{stand_in.url}/{name}"} for name, info in SOURCES.items() if info.url} | {
        "credentials": KEYS,
        "website": {"start_pages": {"cat": [f"{stand_in.url}/website/start"]}},
        "results_page": {"url": f"{stand_in.url}/results_page/{{keyword}}/{{page}}"},
    }
    return SearchConfig.model_validate(values | more)


ASKED = [name for name in SOURCES if name not in {"folder", "url_list"}]


@pytest.mark.parametrize("name", ASKED)
def test_a_check_tells_up_from_captcha_busy_and_changed(name: str, stand_in: StandIn, session: PoliteSession) -> None:
    config = settings(stand_in)
    seen = {}
    for state in ("up", "captcha", "429", "changed", "403"):
        stand_in.state = state
        seen[state] = check(name, session, config)
    assert seen["up"][0] == "up"
    assert seen["429"][0] == "blocked"
    assert seen["429"][1].startswith("rate_limited: ")
    assert seen["changed"][0] == "changed"
    assert seen["403"][0] == "blocked"
    assert seen["403"][1].startswith("blocked: ")
    assert seen["captcha"][0] == "blocked"
    assert seen["captcha"][1].startswith("captcha: ")
    assert not any(key in reason for key in KEYS.values() for _state, reason in seen.values())


@pytest.mark.parametrize("name", ASKED)
def test_a_server_that_is_not_there_is_down(name: str, session: PoliteSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        config = settings(StandIn(f"http://127.0.0.1:{closed.getsockname()[1]}"))
    assert check(name, session, config)[0] == "down"


def test_without_key_or_setting_a_source_is_not_asked(session: PoliteSession) -> None:
    states = {name: check(name, session, SearchConfig()) for name in ("flickr", "naver", "kakao", "website", "folder")}
    assert {state for state, _reason in states.values()} == {"not set up"}
    assert "FLICKR_API_KEY" in states["flickr"][1]
    assert "NAVER_API_HUB_CLIENT_ID and NAVER_API_HUB_CLIENT_SECRET" in states["naver"][1]
    assert states["website"][1] == "set search.website.start_pages"


SECOND_QUESTION = {
    "openverse": {"page": "2", "page_size": "20"},
    "wikimedia": {"gsroffset": "50", "continue": "gsroffset||", "gsrnamespace": "6"},
    "inaturalist": {"taxon_name": "cat", "id_below": "7"},
    "gbif": {"scientificName": "cat", "offset": "100"},
    "flickr": {"page": "2", "text": "cat"},
    "naver": {"start": "101", "display": "100"},
    "kakao": {"page": "2", "size": "80"},
    "bing": {"first": "35"},
}


@pytest.mark.parametrize("name", SECOND_QUESTION)
def test_the_cursor_asks_for_the_next_page_even_by_a_new_source(
    name: str, stand_in: StandIn, session: PoliteSession
) -> None:
    config = settings(stand_in, sources=[name])
    first = make_sources(config)[name].search(session, "cat", None)
    assert len(first.hits) == 1
    assert not any(key in str(first.next_cursor) for key in KEYS.values())
    make_sources(config)[name].search(session, "cat", first.next_cursor)
    question = stand_in.asked[-1][1]
    assert {key: question.get(key) for key in SECOND_QUESTION[name]} == SECOND_QUESTION[name]


def test_pages_end(stand_in: StandIn, session: PoliteSession) -> None:
    made = make_sources(settings(stand_in, sources=["bing", "openverse", "naver", "kakao", "flickr", "gbif"]))
    first = made["bing"].search(session, "cat", None)
    assert made["bing"].search(session, "cat", first.next_cursor) == type(first)((), None)  # Bing repeats its last page
    for name, cursor in {"openverse": "2", "naver": "901", "kakao": "50", "flickr": "3", "gbif": "q:99900"}.items():
        assert made[name].search(session, "cat", cursor).next_cursor is None, name


def test_a_name_of_no_taxon_is_looked_for_in_all_texts(stand_in: StandIn, session: PoliteSession) -> None:
    source = make_sources(settings(stand_in, sources=["inaturalist"], licenses=["by", "cc0"]))["inaturalist"]
    page = source.search(session, "nobody", None)
    assert (page.hits, page.next_cursor) == ((), "q:")
    assert len(source.search(session, "nobody", page.next_cursor).hits) == 1
    assert stand_in.asked[-1][1]["q"] == "nobody"
    assert stand_in.asked[-1][1]["photo_license"] == "cc-by,cc0"


def test_services_that_can_are_asked_for_the_wanted_licences_alone(stand_in: StandIn, session: PoliteSession) -> None:
    asked = {}
    sources = ["openverse", "inaturalist", "flickr"]
    made = make_sources(settings(stand_in, sources=sources, licenses=["by", "by-nc"], exclude_licenses=["nc"]))
    for name, source in made.items():
        assert len(source.search(session, "cat", None).hits) == 1
        asked[name] = stand_in.asked[-1][1]
    assert (asked["openverse"]["license"], asked["inaturalist"]["photo_license"]) == ("by", "cc-by")
    assert asked["flickr"]["license"] == "4"
    made = make_sources(settings(stand_in, sources=["openverse"], exclude_licenses=["nc", "nd"]))
    made["openverse"].search(session, "cat", None)
    assert stand_in.asked[-1][1]["license"] == "cc0,pdm,by,by-sa"
    with pytest.raises(ConfigError, match="kakao gives no licences"):
        make_sources(settings(stand_in, sources=["openverse", "kakao"], exclude_licenses=["nd"]))
    with pytest.raises(ConfigError, match="kakao gives no licences"):
        make_sources(settings(stand_in, sources=["openverse", "kakao"], licenses=["by"]))


def test_keys_go_where_they_belong_and_nowhere_else(
    stand_in: StandIn, session: PoliteSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KAKAO_REST_API_KEY", "from-environment")  # wins over the settings
    config = settings(stand_in, sources=["flickr", "kakao", "naver"])
    for source in make_sources(config).values():
        source.search(session, "cat", None)
    sent = {name: (question, headers) for name, question, headers in stand_in.asked}
    assert sent["flickr"][0]["api_key"] == KEYS["FLICKR_API_KEY"]
    assert sent["kakao"][1]["Authorization"] == "KakaoAK from-environment"
    assert sent["naver"][1]["X-NCP-APIGW-API-KEY-ID"] == KEYS["NAVER_API_HUB_CLIENT_ID"]
    assert sent["naver"][1]["X-NCP-APIGW-API-KEY"] == KEYS["NAVER_API_HUB_CLIENT_SECRET"]
    assert "api_key=***" in caplog.text
    for shown in (caplog.text, repr(config), config.model_dump_json()):
        assert not any(key in shown for key in (*KEYS.values(), "fl1ckr"))


def test_the_older_naver_api_is_asked_with_its_own_keys(stand_in: StandIn, session: PoliteSession) -> None:
    old = {"NAVER_CLIENT_ID": "old-1d", "NAVER_CLIENT_SECRET": "old-s3cret"}
    source = make_sources(settings(stand_in, sources=["naver"], credentials=old))["naver"]
    assert len(source.search(session, "cat", None).hits) == 1
    name, _question, headers = stand_in.asked[-1]
    assert name == "naver"
    assert (headers["X-Naver-Client-Id"], headers["X-Naver-Client-Secret"]) == ("old-1d", "old-s3cret")


def test_a_redirect_to_another_host_does_not_get_the_key(stand_in: StandIn, session: PoliteSession) -> None:
    stand_in.state = "elsewhere"
    source = make_sources(settings(stand_in, sources=["kakao"]))["kakao"]
    assert len(source.search(session, "cat", None).hits) == 1
    (_, _, first), (_, _, second) = stand_in.asked
    assert first["Authorization"] == f"KakaoAK {KEYS['KAKAO_REST_API_KEY']}"
    assert second["Host"].startswith("localhost:")
    assert "Authorization" not in second


@pytest.mark.parametrize("state", ["captcha", "429", "changed", "403", "401"])
def test_failed_sources_are_rows_with_a_reason_the_rest_goes_on_and_no_key_is_stored(
    state: str, stand_in: StandIn, workspace
) -> None:
    names = ["flickr", "kakao", "naver"]
    values = {
        "classes": {"cat": "cat", "dog": "dog"},
        "search": settings(stand_in, sources=names, per_class=1).model_dump() | {"credentials": KEYS},
        "network": {"allow_private_addresses": True, "per_host_pause_s": 0, "attempts": 1},
    }
    config = WorkspaceConfig.model_validate(values)
    stand_in.state = state
    with pytest.raises(CollectError, match="no source found") as caught:
        search.run(workspace, config)
    reasons = {"captcha": "captcha", "429": "rate_limited", "changed": "changed", "403": "blocked", "401": "needs_key"}
    with workspace.open_catalog() as catalog:
        rows = catalog.all(Search)
    assert {(row.source, row.status, row.reason) for row in rows} == {
        (name, "failed", reasons[state]) for name in names
    }
    chain, error = [], caught.value
    while error is not None:
        chain.append(repr(error))
        error = error.__cause__ or error.__context__
    stored = b"".join(file.read_bytes() for file in sorted(workspace.root.rglob("*")) if file.is_file())
    for key in (*KEYS.values(), "fl1ckr"):
        assert key.encode() not in stored
        assert not any(key in text for text in chain)
    stand_in.state = "up"
    search.run(workspace, config)
    with workspace.open_catalog() as catalog:
        assert {hit.image_url for hit in catalog.all(Hit)} == {"https://p.example/1.jpg"}


def test_missing_keys_are_named_all_together_and_bad_ones_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"unknown altavista.*set FLICKR_API_KEY.*set KAKAO_REST_API_KEY"):
        make_sources(SearchConfig(sources=("flickr", "altavista", "kakao")))
    monkeypatch.setenv("FLICKR_API_KEY", "s3cr\net")
    with pytest.raises(ConfigError, match="value of FLICKR_API_KEY cannot be a key") as caught:
        make_sources(SearchConfig(sources=("flickr",)))
    assert "s3cr" not in str(caught.value)


def test_unknown_names_of_addresses_and_credentials_are_mistakes() -> None:
    with pytest.raises(ConfigError, match=r"\[search.NAME\]: unknown wikipedia; the known names are bing, "):
        make_sources(SearchConfig.model_validate({"wikipedia": {"url": "http://127.0.0.1:1"}}))
    with pytest.raises(ConfigError, match="search.credentials: unknown FLICKR_KEY"):
        make_sources(SearchConfig.model_validate({"credentials": {"FLICKR_KEY": "x"}}))


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("gbif", {"url": "ftp://x"}, "must start with http"),
        (
            "website",
            {"start_pages": {"cat": ["file:///etc"]}},
            "start page 'file:///etc' of 'cat' must start with http",
        ),
        ("website", {"start_pages": {"*": ["https://s.example/"]}}, "it needs {keyword} in it"),
    ],
)
def test_settings_of_sources_are_checked_where_they_are_read(setting: str, value: object, text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("{", r"\{")):
        SearchConfig.model_validate({setting: value})


def test_the_table_of_sources_names_keys_and_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAKAO_REST_API_KEY", "k")
    rows = {row.name: row for row in source_rows(SearchConfig())}
    assert rows.keys() == SOURCES.keys() | UNSUPPORTED.keys()
    assert rows["kakao"].key == "yes: KAKAO_REST_API_KEY (set)"
    assert rows["flickr"].key == "yes: FLICKR_API_KEY (not set)"
    assert rows["openverse"].key.startswith("optional: OPENVERSE_CLIENT_ID and")
    assert (rows["gbif"].key, rows["gbif"].licenses, rows["naver"].licenses) == ("no", "yes", "no")
    assert "exclude training" in rows["pexels"].summary
    assert "Opt-in" in rows["bing"].summary
    with pytest.raises(ConfigError, match="unsplash is not supported: its API's terms exclude training"):
        make_sources(SearchConfig(sources=("unsplash",)))


def test_a_source_failed_has_reason_and_detail(stand_in: StandIn, session: PoliteSession) -> None:
    stand_in.state = "captcha"
    with pytest.raises(SourceFailed) as caught:
        make_sources(settings(stand_in, sources=["flickr"]))["flickr"].search(session, "cat", None)
    assert "api_key=***" in caught.value.detail


@pytest.mark.parametrize("state", ["up", "captcha", "429", "changed"])
def test_the_command_prints_every_source_with_its_state_and_reason(
    state: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.source_table import list_sources, source_table

    stand_in.state = state
    config = WorkspaceConfig.model_validate(
        {
            "classes": {"cat": "cat", "dog": "dog"},
            "search": settings(stand_in).model_dump() | {"credentials": KEYS},
            "network": {"allow_private_addresses": True, "per_host_pause_s": 0, "attempts": 1},
        }
    )
    monkeypatch.setattr("workspace.terminal.CONSOLE", Console(width=400))
    table = source_table(list_sources(config, check=True), with_state=True)
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    said = {
        "up": "up: 1 picture",
        "captcha": "blocked: captcha: ",
        "429": "blocked: rate_limited: ",
        "changed": "changed: ",
    }
    for name in ASKED:
        assert said.get(state, f"{state}: ") in lines[name], lines[name]
    assert not any(key in "".join(lines.values()) for key in KEYS.values())


def test_a_service_is_asked_with_the_pause_that_its_source_names(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = dataclasses.replace(SOURCES["gbif"], url=f"{stand_in.url}/gbif", pause_s=0.3)
    monkeypatch.setitem(SOURCES, "gbif", slow)
    began = time.monotonic()
    with open_session(NetworkConfig(allow_private_addresses=True, per_host_pause_s=0)) as session:
        for _ in range(2):
            assert slow.factory(settings(stand_in)).search(session, "cat", None).hits
    assert time.monotonic() - began >= 0.3
    assert {name for name, info in SOURCES.items() if info.pause_s >= 1} == {"openverse", "inaturalist"}


def test_a_source_is_named_as_its_module() -> None:
    assert [info.name for info in SOURCES.values()] == list(SOURCES)


def test_the_log_of_requests_has_no_key_however_it_is_spelt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = "/x?API_KEY=s3cret&apikey=s3cret&client_id=s3cret&token=s3cret&client_secret=s3cret&q=cat"
    logging.getLogger("urllib3.connectionpool").debug("%s %s %d", url, ValueError("/y?Access_Token=s3cret"), 200)
    assert "s3cret" not in caplog.text
    assert "q=cat" in caplog.text and caplog.text.rstrip().endswith("200")
