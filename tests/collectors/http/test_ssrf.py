import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from urllib3.util.connection import create_connection

from collectors.http import ssrf
from collectors.http.session import PoliteSession
from collectors.http.ssrf import is_public
from workspace.config.collect import NetworkConfig
from workspace.errors import TransferFailed


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_private_and_reserved_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


def refusal(url: str) -> TransferFailed:
    with PoliteSession(NetworkConfig(attempts=3)) as session, pytest.raises(TransferFailed) as caught:
        session.fetch(url, io.BytesIO(), max_bytes=1000)
    return caught.value


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "127.1", "0177.0.0.1"]
)
def test_a_loopback_server_is_refused_however_it_is_spelt_and_hears_nothing(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        error = refusal(f"http://{host}:{server.getsockname()[1]}/picture.jpg")
        assert (error.status, error.reason, error.attempts) == ("refused", "private_address", 1)
        assert "private_hosts" in error.detail
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("93.184.215.14", "10.0.0.8")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: answers)
    assert refusal("http://rebinding.example/x.jpg").reason == "private_address"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x.jpg",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//example.org/x.jpg",
        "http:///x.jpg",
        "http://user@example.org/x.jpg",
        "http://user:secret@example.org/x.jpg",
        "http://[::1/x.jpg",
        "",
    ],
)
def test_what_is_not_a_plain_web_address_is_refused_without_a_try(url: str) -> None:
    error = refusal(url)
    assert (error.status, error.reason, error.attempts) == ("refused", "bad_url", 1)
    assert "secret" not in str(error)


def addresses_of(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses; those of literal addresses stay as they are."""
    real = socket.getaddrinfo

    def look_up(host, port, *args, **more):
        if host[0].isdigit():
            return real(host, port, *args, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def silent() -> Iterator[Callable[..., list[str]]]:
    """Addresses on loopback at which connections to a port time out, since their queues are full."""
    with ExitStack() as ending:

        def fill(port: int, count: int = 1) -> list[str]:
            addresses = [f"127.0.0.{number + 2}" for number in range(count)]
            for address in addresses:
                ending.enter_context(socket.create_server((address, port), backlog=0))
                for _ in range(3):
                    waiting = ending.enter_context(socket.socket())
                    waiting.setblocking(False)
                    waiting.connect_ex((address, port))
            return addresses

        yield fill


def timed(url: str, **network: object) -> tuple[str, float]:
    """Fetch a url; return the reason of the failure, if any, and the seconds."""
    began = time.monotonic()
    settings = NetworkConfig.model_validate({"attempts": 1, "allow_private_addresses": True} | network)
    with PoliteSession(settings) as session:
        try:
            session.fetch(url, io.BytesIO(), max_bytes=1000)
        except TransferFailed as error:
            return error.reason, time.monotonic() - began
    return "", time.monotonic() - began


@pytest.mark.parametrize("dead", [1, 3])
def test_a_host_answers_at_its_second_address_although_the_first_is_silent(
    dead: int, answers, silent, monkeypatch
) -> None:
    port = urlsplit(answers(lambda _request: (200, [], b"here"))).port
    addresses_of(monkeypatch, *silent(port, dead), "127.0.0.1")
    assert timed(f"http://dual.example:{port}/x.jpg", connect_timeout_s=2)[0] == ""


def test_a_host_that_is_silent_at_every_address_has_the_time_of_one(silent, monkeypatch) -> None:
    shares: list[float] = []

    def connect(address, share_s, **more):
        shares.append(share_s)
        return create_connection(address, share_s, **more)

    monkeypatch.setattr(ssrf, "create_connection", connect)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        addresses_of(monkeypatch, *silent(port, 3), "127.0.0.9")  # nobody listens at the last
        reason, seconds = timed(f"http://dual.example:{port}/x.jpg", connect_timeout_s=0.6)
    assert reason == "timeout" and 0.3 < seconds < 15
    assert len(shares) == 4 and sum(shares) < 0.9, "at most 0.6, were no share rounded up"


def test_the_handshake_after_the_connection_has_the_whole_timeout(monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        addresses_of(monkeypatch, "127.0.0.1", "127.0.0.9", "127.0.0.8", "127.0.0.7")
        url = f"https://dual.example:{listening.getsockname()[1]}/x.jpg"
        reason, seconds = timed(url, connect_timeout_s=0.8)  # it accepts, and says nothing
    assert reason == "timeout" and seconds > 0.7
