"""Addresses made to reach where they must not, and honest ones that only look odd; as the download step asks them."""

import io
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from collectors.http.session import PoliteSession
from workspace.config.collect import NetworkConfig
from workspace.errors import TransferFailed

PRIVATE = [
    # this machine, by every spelling that a resolver understands
    "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "017700000001",
    "0x7f000001", "0x7F.0x0.0x0.0x1", "0177.0.0.1", "127.0.0.0x1", "00000177.1", "0", "0.0.0.0", "127.255.255.254",
    # private, link-local and metadata services
    "10.0.0.1", "0xa000001", "167772161", "012.1", "172.16.0.1", "192.168.1.1", "192.168.257", "169.254.169.254",
    "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "100.64.0.1", "100.100.100.200", "168.63.129.16",
    # reserved, documentation, multicast, broadcast
    "198.18.0.1", "192.0.2.1", "198.51.100.7", "203.0.113.9", "192.0.0.8", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "192.88.99.1",
    # IPv6, and IPv4 inside it
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a00:1::1]",
    "[2001:0:7f00:1::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]",
    "[2001:db8::1]", "[3fff::1]",
    # a name of which one address is private
    "rebound.test",
]  # fmt: skip
MALFORMED = [
    # user names that look like hosts, and hosts that two readers read differently
    "http://user@127.0.0.1/", "http://user:secret@front.test/", "http://front.test@127.0.0.1/", "http://@127.0.0.1/",
    "http://front.test\\@127.0.0.1/", "http://127.0.0.1\\.front.test/", "http://front.test%2f@127.0.0.1/",
    "http://127.0.0.1%00.front.test/", "http://127.0.0.1%2f.front.test/", "http://front%2etest/",
    "http://front.test:80\\@127.0.0.1/", "http://front.test／@127.0.0.1/", "http://front.test?@127.0.0.1\r\n/",
    # line breaks and other control characters
    "http://front.test/x.jpg\r\nHost: inner", "http://front.test/\nGET /admin", "http://127.0.0.1\t.front.test/",
    "ht\ntp://127.0.0.1/", "http://front.test/\x00x.jpg", "http://exa mple.test/x.jpg",
    # other alphabets' dots and digits, which some readers take for plain ones
    "http://127。0。0。1/", "http://127.0.0。1/", "http://１２７．０．０．１/", "http://１２７.0.0.1/", "http://①②⑦.0.0.1/",
    "http://loc\u00adalhost/", "http://127.0.0.1\u200b/", "http://front．test＠127.0.0.1/",
    # zone ids, broken brackets
    "http://[fe80::1%25eth0]/", "http://[::1%25lo]/", "http://[::1/", "http://[127.0.0.1]/", "http://[::1].front.test/",
    "http://[v1.fe80]/", "http://::1/",
    # no host, and ports of other services
    "http:///x.jpg", "http:127.0.0.1/x.jpg", "http:/127.0.0.1/x.jpg", "//127.0.0.1/x.jpg", "http://:80/", "x.jpg", "",
    "http://front.test:22/", "http://front.test:25/", "http://front.test:0/", "http://front.test:99999/",
    "http://front.test:-80/", "http://front.test:80a/", "http://front.test:6667/",
    # other schemes
    "file:///etc/passwd", "file://front.test/etc/passwd", "ftp://u:secret@front.test/x.jpg", "gopher://127.0.0.1:25/_x",
    "data:image/png;base64,iVBORw0KGgo=", "javascript:alert(1)", "dict://127.0.0.1:11211/", "ldap://127.0.0.1/",
    "jar:http://front.test!/", "view-source:http://front.test/", "folder:../../etc/passwd", "blob:http://front.test/1",
]  # fmt: skip


class Front(ThreadingHTTPServer):
    """A public-looking site: answers with a picture, or sends its visitor to `target`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.target = ""
        self.asked: list[str] = []
        self.hosts: list[str] = []


class _Answering(BaseHTTPRequestHandler):
    server: Front

    def do_GET(self) -> None:
        if self.path in {"/robots.txt", "/.well-known/tdmrep.json"}:
            self.send_error(404)
            return
        self.server.asked.append(self.path)
        self.server.hosts.append(self.headers["Host"])
        self.send_response(302 if self.server.target else 200)
        if self.server.target:
            self.send_header("Location", self.server.target)
        self.end_headers()
        self.wfile.write(b"\xff\xd8\xff picture")

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with Front() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch, front: Front) -> list[tuple[str, int]]:
    """Every address that a socket was connected to; the names of tests are known to the resolver."""
    made: list[tuple[str, int]] = []
    front.target = ""
    front.asked.clear()
    front.hosts.clear()
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def noted(self: socket.socket, address: tuple[str, int]) -> None:
        made.append(address[:2])
        if not address[0].startswith("127.") and address[0] != "::1":
            raise ConnectionRefusedError("tests connect to nowhere else")
        connect(self, address)

    def resolve(host: object, port: int, *args: object, **more: object) -> list[tuple[object, ...]]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name == "rebound.test":
            ips = ["93.184.215.14", "127.0.0.1"]
        elif name.rstrip(".").endswith((".test", ".example")):
            ips = ["127.0.0.1"]
        else:
            return look_up(host, port, *args, **more)  # type: ignore[arg-type, return-value]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ips]

    monkeypatch.setattr(socket.socket, "connect", noted)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return made


def refusal(url: str, **more: object) -> TransferFailed:
    network = NetworkConfig.model_validate({"attempts": 3, "per_host_pause_s": 0, "connect_timeout_s": 2} | more)
    with PoliteSession(network) as session, pytest.raises(TransferFailed) as caught:
        session.fetch(url, io.BytesIO(), max_bytes=1000, crawled=True)
    return caught.value


def test_there_are_enough_of_them() -> None:
    assert len(set(PRIVATE)) == len(PRIVATE) >= 60
    assert len(set(MALFORMED)) == len(MALFORMED) >= 40
    assert len(HONEST) >= 20


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_in_any_spelling_is_refused_without_a_connection(
    host: str, front: Front, connections: list[tuple[str, int]]
) -> None:
    error = refusal(f"http://{host}:{front.server_port}/x.jpg")
    assert (error.status, error.reason, error.attempts) == ("refused", "private_address", 1), error
    assert connections == []
    assert front.asked == []


@pytest.mark.parametrize("url", MALFORMED)
def test_what_is_no_plain_web_address_is_refused_without_a_connection(
    url: str, front: Front, connections: list[tuple[str, int]]
) -> None:
    error = refusal(url, allow_private_addresses=True)
    assert (error.status, error.reason, error.attempts) == ("refused", "bad_url", 1), error
    assert error.detail
    assert "secret" not in str(error)
    assert connections == []


ABSOLUTE = [f"http://{host}:{{port}}/x.jpg" for host in PRIVATE if host.isascii()] + [
    url for url in MALFORMED if "://" in url and url.isascii() and not any(mark in url for mark in "\r\n\x00")
]


def test_a_redirect_leads_to_none_of_them(front: Front, connections: list[tuple[str, int]]) -> None:
    here = f"http://front.test:{front.server_port}/x.jpg"
    for target in ABSOLUTE:
        if target.startswith("http:///"):
            continue  # joined with where it stands, it is an address of that same host
        front.target = target.replace("{port}", str(front.server_port))
        error = refusal(here, private_hosts=["front.test"])
        assert (error.status, error.reason in {"private_address", "bad_url"}) == ("refused", True), (target, error)
    assert set(connections) == {("127.0.0.1", front.server_port)}
    assert len(ABSOLUTE) > 80
    assert set(front.asked) == {"/x.jpg"}
    assert set(front.hosts) == {f"front.test:{front.server_port}"}


def test_a_redirect_may_be_relative_and_in_any_script(front: Front, connections: list[tuple[str, int]]) -> None:
    front.target = "/고양이.jpg".encode().decode("latin-1")
    error = refusal(f"http://front.test:{front.server_port}/x.jpg", private_hosts=["front.test"], max_redirects=1)
    assert error.reason == "too_many_redirects"
    assert front.asked == ["/x.jpg", "/%EA%B3%A0%EC%96%91%EC%9D%B4.jpg"]


def test_a_name_that_changes_its_answer_gets_no_private_connection(
    monkeypatch: pytest.MonkeyPatch, front: Front, connections: list[tuple[str, int]]
) -> None:
    answers = iter(["93.184.215.14", "93.184.215.14", "127.0.0.1"])

    def rebinding(host: str, port: int, *_args: object, **_more: object) -> list[tuple[object, ...]]:
        ip = host if host[0].isdigit() else next(answers)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    error = refusal(f"http://rebinding.test:{front.server_port}/x.jpg", robots=False, reservations=False)
    assert (error.status, error.reason, error.attempts) == ("refused", "private_address", 3)
    assert connections == [("93.184.215.14", front.server_port)] * 2
    assert front.asked == []


def test_allowing_one_private_host_allows_no_other_spelling_of_it(
    front: Front, connections: list[tuple[str, int]]
) -> None:
    for host in ("127.1", "2130706433", "localhost", "[::ffff:127.0.0.1]"):
        error = refusal(f"http://{host}:{front.server_port}/x.jpg", private_hosts=["127.0.0.1"])
        assert error.reason == "private_address"
    assert connections == []


# an address → how it arrives
HONEST = {
    "http://front.example:{port}/a%20b.jpg": "/a%20b.jpg",
    "http://front.example:{port}/a b.jpg": "/a%20b.jpg",
    "  http://front.example:{port}/ends.jpg": "/ends.jpg",
    "http://front.example:{port}/고양이.jpg": "/%EA%B3%A0%EC%96%91%EC%9D%B4.jpg",
    "http://front.example:{port}/caf%C3%A9.jpg": "/caf%C3%A9.jpg",
    "http://front.example:{port}/café.jpg": "/caf%C3%A9.jpg",
    "http://front.example:{port}/a.jpg?x=1&y=%26&z": "/a.jpg?x=1&y=%26&z",
    "http://front.example:{port}/a.jpg?q=" + "x" * 6000: "/a.jpg?q=" + "x" * 6000,
    "http://front.example:{port}/a.jpg#top": "/a.jpg",
    "http://front.example:{port}/a.jpg#@127.0.0.1/": "/a.jpg",
    "HTTP://FRONT.EXAMPLE:{port}/A.JPG": "/A.JPG",
    "http://front.example.:{port}/dot.jpg": "/dot.jpg",
    "http://münchen.example:{port}/idn.jpg": "/idn.jpg",
    "http://xn--mnchen-3ya.example:{port}/idn.jpg": "/idn.jpg",
    "http://고양이.example:{port}/idn.jpg": "/idn.jpg",
    "http://under_score.example:{port}/a.jpg": "/a.jpg",
    "http://127-0-0-1.front.example:{port}/a.jpg": "/a.jpg",
    "http://1e100.example:{port}/a.jpg": "/a.jpg",
    "http://front.example:{port}/a;v=1,2+3.jpg": "/a;v=1,2+3.jpg",
    "http://front.example:{port}/100%.jpg": "/100%25.jpg",
    "http://front.example:{port}/a/../b%2F.jpg": "/b%2F.jpg",
    "http://front.example:{port}/a//b.jpg": "/a//b.jpg",
    "http://front.example:{port}/me@home.jpg?u=http://a@b/": "/me@home.jpg?u=http://a@b/",
    "http://front.example:{port}/a|b[1].jpg": "/a%7Cb%5B1%5D.jpg",
    "http://front.example:{port}/a\\b.jpg": "/a%5Cb.jpg",
    "http://front.example:{port}?only=query": "/?only=query",
}


@pytest.mark.parametrize("url", HONEST)
def test_an_odd_but_honest_address_is_fetched(url: str, front: Front, connections: list[tuple[str, int]]) -> None:
    body = io.BytesIO()
    with PoliteSession(NetworkConfig(allow_private_addresses=True, per_host_pause_s=0, attempts=1)) as session:
        answer = session.fetch(url.replace("{port}", str(front.server_port)), body, max_bytes=1000, crawled=True)
    assert (answer.http_status, body.getvalue()) == (200, b"\xff\xd8\xff picture")
    assert front.asked == [HONEST[url]]
