"""Openverse with client credentials, and how deep it lets us look."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from collectors.http.session import PoliteSession
from collectors.sources.apis.openverse import Openverse
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed

CREDENTIALS = {"OPENVERSE_CLIENT_ID": "cl1ent-id", "OPENVERSE_CLIENT_SECRET": "cl1ent/s3cret"}


class Service:
    """Gives tokens, accepts the latest one only, and answers 401 past 240 images as the real one does."""

    def __init__(self) -> None:
        self.url = ""
        self.tokens = 0
        self.forms: list[dict[str, list[str]]] = []
        self.asked: list[dict[str, str]] = []

    def respond(self, request) -> tuple[int, list[tuple[str, str]], bytes]:
        status, answer = self._token(request) if request.command == "POST" else self._images(request)
        return status, [("Content-Type", "application/json")], json.dumps(answer).encode()

    def _token(self, request) -> tuple[int, object]:
        form = parse_qs(request.form.decode())
        self.forms.append(form)
        if request.path != "/v1/auth_tokens/token/" or form["client_secret"] != ["cl1ent/s3cret"]:
            return 401, {"error": "invalid_client"}
        self.tokens += 1
        return 200, {"access_token": f"t0ken-{self.tokens}", "expires_in": 43200}

    def _images(self, request) -> tuple[int, object]:
        params = {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}
        self.asked.append(params)
        authorization = request.headers.get("Authorization")
        size, page = int(params["page_size"]), int(params["page"])
        allowed = 20 if authorization is None else 500
        if authorization not in {None, f"Bearer t0ken-{self.tokens}"} or size > allowed or size * page > 240:
            return 401, {"detail": "no"}
        results = [{"url": f"https://p.example/{size * (page - 1) + n}.jpg"} for n in range(size)]
        return 200, {"results": results, "page_count": 99}


@pytest.fixture
def service(answers) -> Service:
    made = Service()
    made.url = answers(made.respond) + "/v1"
    return made


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
