import email.utils
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from collectors.http.hosts.rate_limit import RateLimiter
from collectors.http.session import PoliteSession
from collectors.http.transfer import retry_after_s
from workspace.config.collect import NetworkConfig
from workspace.errors import TransferFailed

PATIENT = {"read_timeout_s": 8, "transfer_timeout_s": 9}  # a busy machine makes no fault a time-out
ALONE = {"robots": False, "reservations": False}  # nothing honest is asked that could miss a short limit
IMPATIENT = {"hang": ALONE | {"read_timeout_s": 0.4}, "drip": ALONE | {"transfer_timeout_s": 1.2}}


def network(**more: object) -> NetworkConfig:
    quick = {"allow_private_addresses": True, "per_host_pause_s": 0, "attempts": 2}
    return NetworkConfig.model_validate(quick | PATIENT | more)


def fetch(url: str, max_bytes: int = 1_000_000, **more: object):
    out = io.BytesIO()
    with PoliteSession(network(**more)) as session:
        return session.fetch(url, out, max_bytes=max_bytes), out.getvalue()


def failure(url: str, max_bytes: int = 1_000_000, **more: object) -> TransferFailed:
    with pytest.raises(TransferFailed) as caught:
        fetch(url, max_bytes, **more)
    return caught.value


@pytest.fixture
def picture(site) -> tuple[str, bytes]:
    """A picture's name on the site, and its bytes."""
    name = next(row.url_path for row in site.truth() if row.keyword == "cat").removeprefix("/images/")
    answer, data = fetch(f"{site.base_url}/images/{name}")
    assert (answer.http_status, answer.bytes, answer.attempts) == (200, len(data), 1)
    return name, data


def test_a_picture_comes_byte_for_byte(picture, photos) -> None:
    assert picture[1] in photos.values()


@pytest.mark.parametrize("kind", ["busy_once", "500_once"])
def test_what_may_heal_is_tried_again_and_the_body_is_the_second_one(site, picture, kind) -> None:
    answer, data = fetch(f"{site.base_url}/fault/{kind}/{picture[0]}")
    assert (answer.attempts, data) == (2, picture[1])


def test_a_server_that_asks_for_a_pause_gets_it(site, picture) -> None:
    began = time.monotonic()
    fetch(f"{site.base_url}/fault/busy_once/{picture[0]}")
    assert time.monotonic() - began >= 1.0  # the gallery says Retry-After: 1


def test_a_pause_longer_than_our_patience_ends_it(site, picture) -> None:
    error = failure(f"{site.base_url}/fault/429/{picture[0]}", longest_wait_s=0.5)
    assert (error.reason, error.http_status, error.attempts) == ("rate_limited", 429, 1)
    assert "longest_wait_s" in error.detail


@pytest.mark.parametrize(
    ("kind", "status", "reason", "attempts"),
    [
        ("500", "failed", "http_500", 2),
        ("403", "failed", "http_403", 1),
        ("hang", "failed", "timeout", 2),
        ("drip", "failed", "too_slow", 1),
        ("reset", "failed", "connection", 2),
        ("early_close", "failed", "incomplete", 2),
        ("endless", "refused", "too_large", 1),
        ("gzip_bomb", "refused", "too_large", 1),
        ("redirect_loop", "failed", "too_many_redirects", 1),
    ],
)
def test_every_fault_has_its_reason_and_number_of_tries(site, picture, kind, status, reason, attempts) -> None:
    began = time.monotonic()
    error = failure(f"{site.base_url}/fault/{kind}/{picture[0]}", **IMPATIENT.get(kind, {}))
    assert (error.status, error.reason, error.attempts) == (status, reason, attempts)
    assert time.monotonic() - began < 60


def test_a_missing_page_is_not_tried_again(site) -> None:
    error = failure(f"{site.base_url}/images/none.jpg", attempts=5)
    assert (error.reason, error.http_status, error.attempts) == ("http_404", 404, 1)


def test_a_declared_size_over_the_limit_is_refused_before_the_body(site, picture) -> None:
    assert failure(f"{site.base_url}/images/{picture[0]}", max_bytes=100).reason == "too_large"


def test_a_name_that_does_not_exist_is_named() -> None:
    error = failure("http://no-such-host.invalid/x.jpg", attempts=1)
    assert (error.status, error.reason) == ("failed", "unknown_host")


def test_a_redirect_to_another_scheme_is_refused() -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        error = failure(f"http://127.0.0.1:{server.server_port}/x.jpg")
        server.shutdown()
        thread.join()
    assert (error.status, error.reason) == ("refused", "bad_url")


def test_the_user_agent_carries_the_contact() -> None:
    seen: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["User-Agent"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Listening) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        fetch(f"http://127.0.0.1:{server.server_port}/", contact="me@example.org")
        server.shutdown()
        thread.join()
    assert seen == ["collect-and-train/0.1 (image classifier training; me@example.org)"]


def test_retry_after_is_read_in_both_forms() -> None:
    assert retry_after_s("17") == 17
    later = email.utils.formatdate(time.time() + 3000, usegmt=True)
    assert 2900 <= (retry_after_s(later) or 0) <= 3000
    assert retry_after_s(email.utils.formatdate(time.time() - 30, usegmt=True)) == 0
    assert retry_after_s("") is None
    assert retry_after_s("soon") is None


def test_one_host_is_asked_in_turns_with_a_pause_and_others_are_not_held_up() -> None:
    limiter = RateLimiter(pause_s=0.15, connections=2, stopped=threading.Event())
    began = time.monotonic()
    for _ in range(3):
        with limiter.slot("slow.example"):
            pass
    assert time.monotonic() - began >= 0.3
    limiter.pause("slow.example", 3600)
    began = time.monotonic()
    with limiter.slot("other.example"):
        pass
    assert time.monotonic() - began < 60
