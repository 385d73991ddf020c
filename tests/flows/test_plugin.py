"""The bare name in `prefect deployment run NAME`, without Prefect's command line."""

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import psutil
import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from flows import plugin


@pytest.mark.parametrize(
    ("words", "position"),
    [
        ("prefect deployment run it", 3),
        ("prefect --no-prompt deployment run it --watch", 4),
        ("prefect deployment run --watch it", 4),
        ("prefect deployment run --param a=1 -p b=2 --start-in=1h it", 8),
        ("prefect deployment run flow/it", None),
        ("prefect deployment run --id 12", None),
        ("prefect deployment run", None),
        ("prefect deployment ls", None),
        ("prefect flow-run ls", None),
    ],
)
def test_where_the_bare_name_stands(words: str, position: int | None) -> None:
    assert plugin.bare_name(words.split()) == position


@pytest.fixture
def api() -> Iterator[SimpleNamespace]:
    """An API that answers the one question with the deployments it was given."""
    state = SimpleNamespace(names=[], statuses=itertools.repeat(200), asked=[])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps([{"name": name} for name in state.names]).encode()
            self.send_response(next(state.statuses))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_error(404)  # no CSRF tokens, as Prefect's server by default

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}/api"
        yield state
        server.shutdown()
        thread.join()


def run(monkeypatch, url: str | None, words: str):
    monkeypatch.setattr(sys, "argv", words.split())
    return plugin.setup_environment(ctx=SimpleNamespace(api_url=url))


def test_a_name_that_fits_one_deployment_is_completed_and_any_other_left_alone(monkeypatch, api) -> None:
    for names, expected in ((["local"], "it/local"), ([], "it"), (["local", "nightly"], "it")):
        api.names = names
        assert run(monkeypatch, api.url, "/bin/prefect deployment run it") is None
        assert sys.argv[-1] == expected
    assert api.asked[0]["flows"] == {"name": {"any_": ["it"]}}
    api.names, api.statuses = ["local"], itertools.repeat(500)
    run(monkeypatch, api.url, "/bin/prefect deployment run it")
    assert sys.argv[-1] == "it"


def test_a_server_that_is_busy_is_asked_again(monkeypatch, api) -> None:
    """503 is what Prefect's server answers while another request holds its SQLite database."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    api.names, api.statuses = ["local"], iter([503, 503, 200])
    run(monkeypatch, api.url, "/bin/prefect deployment run it")
    assert (sys.argv[-1], len(api.asked)) == ("it/local", 3)


def test_other_programs_are_left_alone(monkeypatch, api) -> None:
    api.names = ["local"]
    run(monkeypatch, api.url, "/bin/other deployment run it")
    assert (sys.argv[-1], api.asked) == ("it", [])


def test_without_an_address_that_of_a_running_up_is_used_and_never_that_of_a_dead_one(
    monkeypatch, api, tmp_path
) -> None:
    api.names = ["local"]
    note = tmp_path / plugin.NOTE
    with temporary_settings({PREFECT_HOME: tmp_path}):
        assert run(monkeypatch, None, "/bin/prefect deployment run it") is None
        began = psutil.Process().create_time()
        for pid, started, expected in (
            (os.getpid(), began, "it/local"),
            (2**22 + 1, began, "it"),
            (os.getpid(), began - 60, "it"),  # the number of a dead one, which another program has now
        ):
            note.write_text(json.dumps({"api_url": api.url, "pid": pid, "started": started}))
            result = run(monkeypatch, None, "/bin/prefect deployment run it")
            assert sys.argv[-1] == expected
            assert (result.env if result else None) == (
                {"PREFECT_API_URL": api.url} if expected == "it/local" else None
            )
        note.write_text("{")
        assert run(monkeypatch, None, "/bin/prefect flow ls") is None
