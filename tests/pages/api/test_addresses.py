"""An address goes through the guard of collection: private hosts, redirects, sizes, times, robots and reservations."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from workspace.config.collect import NetworkConfig


class Site(ThreadingHTTPServer):
    """Answers each path by `pages[path](handler)`; counts what is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no traceback."""


class _Answer(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path in self.server.pages:
            self.server.pages[self.path](self)
        else:
            self.send_error(404)

    def log_message(self, *_words: object) -> None:
        pass


def sends(body: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.fixture
def site(png) -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        site.pages["/1.png"] = sends(png(1))
        yield site
        site.shutdown()
        thread.join()


MINE = NetworkConfig(private_hosts=("127.0.0.1",), per_host_pause_s=0)


def answers(url: str, *addresses: str) -> list[dict]:
    return requests.post(f"{url}/classify", json={"addresses": addresses}, timeout=60).json()["answers"]


def test_addresses_are_answered_in_their_order_and_a_failure_costs_no_other(start, site, png) -> None:
    url = start(network=MINE)
    good, gone = f"{site.url}/1.png", f"{site.url}/gone.png"
    found = answers(url, gone, good, "ftp://example.org/1.png", "http://[::1")
    assert [one["picture"] for one in found[:2]] == [gone, good]
    upload = requests.post(f"{url}/classify", data=png(1), timeout=30).json()["answers"][0]
    assert found[1]["probability"] == upload["probability"]
    assert [one["error"]["reason"] for one in found if "error" in one] == ["http_404", "bad_url", "bad_url"]


@pytest.mark.parametrize("allow", [False, True])
def test_a_private_address_is_refused_whatever_collection_allows(start, site, allow) -> None:
    url = start(network=NetworkConfig(allow_private_addresses=allow))
    private = ("http://127.0.0.1", "http://localhost", "http://[::1]", "http://2130706433", "http://0x7f.1")
    found = answers(url, *(f"{host}:{site.server_port}/1.png" for host in private), "http://169.254.169.254/latest")
    assert {one["error"]["reason"] for one in found} <= {"private_address", "bad_url", "unknown_host"}
    assert found[0]["error"]["reason"] == found[1]["error"]["reason"] == "private_address"
    assert site.asked == []


def test_a_redirect_to_a_private_address_is_refused(start, site) -> None:
    elsewhere = f"http://localhost:{site.server_port}/1.png"
    site.pages["/to-private"] = sends(b"", 302, Location=elsewhere)
    (answer,) = answers(start(network=MINE), f"{site.url}/to-private")
    assert answer["error"]["reason"] == "private_address"
    assert site.asked.count("/1.png") == 0


def test_a_name_that_changes_its_address_is_refused_at_the_socket(start, site, monkeypatch) -> None:
    looked_up = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1", "127.0.0.1"])
    original = socket.getaddrinfo

    def changing(host, port, *args, **kwargs):
        if host == "rebinding.test":
            return original(next(looked_up), port, *args, **kwargs)
        return original(host, port, *args, **kwargs)

    connected = []

    def connect(address, *_args, **_kwargs):
        connected.append(address[0])
        raise OSError("not in a test")

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    monkeypatch.setattr("collectors.http.ssrf.create_connection", connect)
    url = start(network=NetworkConfig(per_host_pause_s=0, robots=False, reservations=False))
    reasons = [answers(url, f"http://rebinding.test/{number}.png")[0]["error"]["reason"] for number in range(2)]
    assert reasons == ["connection", "private_address"]
    assert connected == ["93.184.216.34"]  # what was checked is what is connected to


def test_what_is_too_large_or_too_slow_ends(start, site) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(200):
            request.wfile.write(b"\x89")
            request.wfile.flush()
            time.sleep(0.05)

    site.pages |= {"/large": sends(b"\x89PNG" + bytes(60_000)), "/slow": drip}
    (slow,) = answers(start(network=MINE, fetch_timeout_s=0.6), f"{site.url}/slow")
    assert slow["error"]["reason"] == "too_slow"
    url = start(network=MINE, max_mb=0.05, fetch_timeout_s=30)
    large, good = answers(url, f"{site.url}/large", f"{site.url}/1.png")
    assert large["error"]["reason"] == "too_large"
    assert good["answered"]


@pytest.mark.parametrize("path", ["/slow", "/to-slow"])
def test_a_slow_host_keeps_no_other_waiting(start, site, path) -> None:
    done, asked = threading.Event(), threading.Event()

    def hang(_request: BaseHTTPRequestHandler) -> None:
        asked.set()
        done.wait(100)

    site.pages |= {"/slow": hang, "/to-slow": sends(b"", 302, Location="/slow")}
    both, patient = {"private_hosts": ("127.0.0.1", "localhost")}, {"read_timeout_s": 50, "transfer_timeout_s": 50}
    url = start(network=MINE.model_copy(update=both | patient), fetch_timeout_s=50)
    slow = threading.Thread(target=answers, args=(url, *[f"{site.url}{path}?{number}" for number in range(20)]))
    site.pages |= {f"{path}?{number}": site.pages[path] for number in range(20)}
    slow.start()
    try:
        assert asked.wait(60)
        time.sleep(0.2)  # as many of them as may be are at work
        began = time.monotonic()
        (other,) = answers(url, f"http://localhost:{site.server_port}/1.png")
        assert other.get("answered"), other
        assert time.monotonic() - began < 40  # the slow host's are given up after 50
    finally:
        done.set()
        slow.join()


def test_robots_and_reservations_hold_as_for_collection(start, site, png) -> None:
    site.pages["/robots.txt"] = sends(b"User-agent: *\nDisallow: /private/\n")
    site.pages["/private/1.png"] = sends(png(1))
    site.pages["/reserved.png"] = sends(png(1), tdm_reservation="1")
    found = answers(start(network=MINE), f"{site.url}/private/1.png", f"{site.url}/reserved.png", f"{site.url}/1.png")
    assert [one.get("error", {}).get("reason") for one in found] == ["robots", "reserved", None]
    assert "/private/1.png" not in site.asked


def test_addresses_can_be_turned_off(start, site) -> None:
    refused = requests.post(
        f"{start(network=MINE, max_addresses=0)}/classify", json={"addresses": [f"{site.url}/1.png"]}, timeout=30
    )
    assert refused.status_code == 413 and "serve.max_addresses" in refused.json()["detail"]


def test_a_service_does_not_remember_every_host_that_strangers_name(start, site, monkeypatch) -> None:
    monkeypatch.setattr("pages.api.fetching._FETCHES_PER_SESSION", 3)
    opened = []
    original = __import__("pages.api.fetching", fromlist=["open_session"]).open_session
    monkeypatch.setattr(
        "pages.api.fetching.open_session", lambda *args, **more: opened.append(original(*args, **more)) or opened[-1]
    )
    url = start(network=MINE)
    for _ in range(7):
        assert answers(url, f"{site.url}/1.png")[0]["answered"]
    assert [session.stopped.is_set() for session in opened] == [True, True, False]
