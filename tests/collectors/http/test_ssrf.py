import io
import socket

import pytest

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
