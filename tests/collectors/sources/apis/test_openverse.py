"""Openverse with client credentials, and how deep it lets us look."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from collectors.http.session import PoliteSession
from collectors.sources.apis.openverse import Openverse
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed

CREDENTIALS = {"OPENVERSE_CLIENT_ID": "cl1ent-id", "OPENVERSE_CLIENT_SECRET": "cl1ent/s3cret"}


class Service(ThreadingHTTPServer):
    """Gives tokens, believes the latest one only, and answers 401 past 240 pictures as the real one does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.tokens = 0
        self.forms: list[dict[str, list[str]]] = []
        self.asked: list[dict[str, str]] = []


class _Answering(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.forms.append(form)
        if self.path != "/v1/auth_tokens/token/" or form["client_secret"] != ["cl1ent/s3cret"]:
            return self._send(401, {"error": "invalid_client"})
        self.server.tokens += 1
        return self._send(200, {"access_token": f"t0ken-{self.server.tokens}", "expires_in": 43200})

    def do_GET(self) -> None:
        question = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        self.server.asked.append(question)
        authorization = self.headers.get("Authorization")
        size, page = int(question["page_size"]), int(question["page"])
        allowed = 20 if authorization is None else 500
        if authorization not in {None, f"Bearer t0ken-{self.server.tokens}"} or size > allowed or size * page > 240:
            return self._send(401, {"detail": "no"})
        results = [{"url": f"https://p.example/{size * (page - 1) + n}.jpg"} for n in range(size)]
        return self._send(200, {"results": results, "page_count": 99})

    def _send(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def service(serve) -> Service:
    return serve(Service())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)


def source(service: Service, **credentials: str) -> Openverse:
    return Openverse(SearchConfig.model_validate({"openverse": {"url": service.url}, "credentials": credentials}))


def test_credentials_buy_larger_pages_with_one_token(service: Service, session: PoliteSession) -> None:
    page = source(service, **CREDENTIALS).search(session, "cat", None)
    assert len(page.hits) == 240
    assert page.next_cursor == "2/240"
    assert service.forms == [
        {
            "grant_type": ["client_credentials"],
            "client_id": ["cl1ent-id"],
            "client_secret": ["cl1ent/s3cret"],
        }
    ]


def test_a_token_that_is_no_longer_believed_is_asked_for_again(service: Service, session: PoliteSession) -> None:
    asking = source(service, **CREDENTIALS)
    asking.search(session, "cat", None)
    asking.search(session, "dog", None)
    assert service.tokens == 1
    service.tokens = 5  # the service forgot the first token
    assert len(asking.search(session, "cow", None).hits) == 240
    assert service.tokens == 6


def test_refused_credentials_are_named_and_not_shown(service: Service, session: PoliteSession) -> None:
    wrong = CREDENTIALS | {"OPENVERSE_CLIENT_SECRET": "wr0ng-secret"}
    with pytest.raises(SourceFailed) as caught:
        source(service, **wrong).search(session, "cat", None)
    assert caught.value.reason == "needs_key"
    assert "OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET" in caught.value.detail
    assert "wr0ng" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_half_of_the_credentials_is_anonymous(service: Service, session: PoliteSession) -> None:
    page = source(service, OPENVERSE_CLIENT_ID="cl1ent-id").search(session, "cat", None)
    assert (len(page.hits), service.forms) == (20, [])


def test_the_end_of_what_we_may_see_is_said_and_is_not_no_results(service: Service, session: PoliteSession) -> None:
    asking, cursor, seen = source(service), None, 0
    with pytest.raises(SourceFailed) as caught:
        while True:
            page = asking.search(session, "cat", cursor)
            seen, cursor = seen + len(page.hits), page.next_cursor
    assert seen == 240
    assert caught.value.reason == "depth_limit"
    assert "240 pictures for 'cat'" in caught.value.detail


def test_a_cursor_of_small_pages_goes_on_with_large_ones_and_misses_nothing(
    service: Service, session: PoliteSession
) -> None:
    source(service, **CREDENTIALS).search(session, "cat", "4/20")
    assert service.asked[-1] == {"q": "cat", "page": "1", "page_size": "240"}
    source(service).search(session, "cat", "3")  # as written by version 0.1
    assert service.asked[-1]["page"] == "3"
    with pytest.raises(SourceFailed, match="depth_limit"):
        source(service).search(session, "cat", "2/240")
    assert service.asked[-1]["page"] == "13"
