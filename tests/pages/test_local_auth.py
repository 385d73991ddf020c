import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from fastapi import FastAPI
from starlette.responses import HTMLResponse

from pages.files import new_app
from pages.local_auth import HEADERS, serve_page, served_page
from workspace.errors import ConfigError


def little_app() -> FastAPI:
    app = new_app([])

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse("the page")

    @app.post("/change")
    def change() -> dict[str, bool]:
        return {"changed": True}

    return app


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served_page(little_app()) as url:
        yield url


@pytest.fixture
def base(address: str) -> str:
    return address.partition("/?")[0]


@pytest.fixture
def browser(address: str) -> Iterator[requests.Session]:
    """A session that has opened the printed address; it sends its cookie with every request, whatever the host."""
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(address, timeout=30).text == "the page"
        session.headers["cookie"] = "; ".join(f"{one.name}={one.value}" for one in session.cookies)
        session.cookies.clear()
        yield session


def test_the_token_opens_the_page_and_leaves_the_address(address, base) -> None:
    answer = requests.get(address, timeout=30, allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.casefold()
    assert f"page_{urlsplit(base).port}=" in cookie


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token=%FF%00", "/nowhere"])
def test_without_the_token_nothing_is_served(base, path) -> None:
    answer = requests.get(base + path, timeout=30)
    assert answer.status_code == 403
    assert "the page" not in answer.text
    assert "token" in answer.text


def test_a_wrong_cookie_is_no_token(base) -> None:
    name = f"page_{urlsplit(base).port}"
    assert requests.get(base, timeout=30, headers={"cookie": f"{name}=wrong"}).status_code == 403


def test_a_malformed_cookie_of_another_program_does_not_lock_the_person_out(base, browser) -> None:
    name = f"page_{urlsplit(base).port}"
    mine = browser.headers["cookie"]
    answer = requests.get(base, timeout=30, headers={"cookie": f'bad[name]="x; =; {name}2=y; {mine}'})
    assert answer.text == "the page"


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.test:{port}", ""])
def test_dns_rebinding_another_host_is_refused_even_with_the_cookie(base, browser, host) -> None:
    answer = browser.get(base, timeout=30, headers={"host": host.format(port=urlsplit(base).port)})
    assert answer.status_code == 421


def test_localhost_is_this_page_too(base, browser) -> None:
    answer = browser.get(base, timeout=30, headers={"host": f"localhost:{urlsplit(base).port}"})
    assert answer.text == "the page"


@pytest.mark.parametrize(
    "headers",
    [
        {},  # no browser changes something without naming the origin
        {"origin": "http://evil.test"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
        {"origin": "{base}", "sec-fetch-site": "cross-site"},
        {"origin": "{base}", "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_csrf_a_change_asked_for_by_another_page_is_refused_even_with_the_cookie(base, browser, headers) -> None:
    sent = {name: value.format(base=base) for name, value in headers.items()}
    assert browser.post(f"{base}/change", timeout=30, headers=sent).status_code == 403


@pytest.mark.parametrize("headers", [{"origin": "{base}"}, {"origin": "null", "sec-fetch-site": "same-origin"}])
def test_the_page_s_own_requests_pass(base, browser, headers) -> None:
    sent = {name: value.format(base=base) for name, value in headers.items()}
    assert browser.post(f"{base}/change", timeout=30, headers=sent).json() == {"changed": True}


def test_another_page_may_link_here_but_load_nothing_from_here(base, browser) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    part = {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}
    assert browser.get(base, timeout=30, headers=link).status_code == 200
    assert browser.get(base, timeout=30, headers=part).status_code == 403


def test_every_answer_carries_the_headers_refusals_and_errors_too(base, browser) -> None:
    for answer in (browser.get(base, timeout=30), browser.get(f"{base}/nowhere", timeout=30), requests.get(base)):
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_the_redirect_stays_here(address, base) -> None:
    token = address.partition("?")[2]
    answer = requests.get(f"{base}//evil.test/x?a=1&{token}", timeout=30, allow_redirects=False)
    assert answer.headers["location"] == "/evil.test/x?a=1"


def test_it_listens_on_loopback_alone(base) -> None:
    # Another address of this machine, which a listener on every address would answer.
    other = "127.0.0.2" if sys.platform == "linux" else socket.gethostbyname(socket.gethostname())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((other, urlsplit(base).port), timeout=30).close()


def test_a_taken_port_is_an_error_that_names_it(base) -> None:
    port = urlsplit(base).port
    with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 .* 0 for a free one"):
        serve_page(little_app(), lambda _: None, port=port)


def test_tokens_are_long_and_never_the_same(address) -> None:
    with served_page(little_app()) as other:
        assert len({url.partition("token=")[2] for url in (address, other)}) == 2
    assert len(address.partition("token=")[2]) >= 32


def test_ctrl_c_ends_it_quietly(tmp_path) -> None:
    code = (
        "from pages.files import new_app; from pages.local_auth import serve_page;"
        "serve_page(new_app([]), lambda url: print(url, flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert requests.get(url, timeout=30).status_code == 404  # served; the little application has no page
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_a_web_socket_is_a_request_like_any_other(base, browser) -> None:
    wanted = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    key = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert requests.get(base, timeout=30, headers=wanted | key).status_code == 403
    assert browser.get(base, timeout=30, headers=wanted | key | {"origin": "http://evil.test"}).status_code == 403


def test_only_the_named_files_of_the_package_are_served() -> None:
    with served_page(new_app(["page.css"])) as url, requests.Session() as session:
        session.get(url, timeout=30)
        base = url.partition("/?")[0]
        style = session.get(f"{base}/static/page.css", timeout=30)
        assert style.headers["content-type"] == "text/css; charset=utf-8"
        for name in ("local_auth.py", "..%2Fworkspace%2Fstorage%2Fpaths.py", "page.js"):
            assert session.get(f"{base}/static/{name}", timeout=30).status_code == 404
