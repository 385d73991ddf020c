"""Each door's limit, tried: sizes, numbers, types, times, and how many at once."""

import io
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress

import pytest
import requests
from PIL import Image

from pages.api.bodies import Refused, within
from training.inference.classifier import Classifier


def ask(url: str, timeout: float = 60, **request: object) -> requests.Response:
    return requests.post(f"{url}/classify", timeout=timeout, **request)


def test_a_body_that_is_too_large_is_refused_declared_or_not(start, png) -> None:
    url = start(max_mb=0.05)
    refused = ask(url, data=b"\x89PNG" + bytes(60_000))
    assert refused.status_code == 413
    assert refused.json() == {"reason": "too_large", "detail": "larger than 0.05 MB (serve.max_mb)"}

    def chunks():
        for _ in range(100):
            yield bytes(10_000)

    with suppress(requests.ConnectionError):  # uvicorn closes it while the rest is being sent
        assert ask(url, data=chunks()).status_code == 413
    assert ask(url, data=png(1)).status_code == 200
    assert ask(url, data=(part for part in [png(1)[:100], png(1)[100:]])).status_code == 200  # chunked, and small


def test_a_form_that_is_too_large_or_holds_one_that_is_too_large(start, png) -> None:
    url = start(max_mb=0.05, max_request_mb=0.1)
    files = [("pictures", ("a.png", png(1))), ("pictures", ("b.png", bytes(60_000)))]
    found = ask(url, files=files)
    assert found.status_code == 200
    assert found.json()["answers"][1]["error"] == {
        "reason": "too_large",
        "detail": "larger than 0.05 MB (serve.max_mb)",
    }
    with suppress(requests.ConnectionError):
        whole = ask(url, files=[("pictures", (f"{number}.png", bytes(30_000))) for number in range(5)])
        assert whole.status_code == 413 and "serve.max_request_mb" in whole.json()["detail"]


def test_1001_pictures_are_too_many(plain, png) -> None:
    refused = ask(plain, files=[("pictures", (f"{number}.png", b"x")) for number in range(1001)])
    assert refused.status_code == 413
    assert refused.json() == {
        "reason": "too_many",
        "detail": "a form holds files alone, at most 1000 (serve.max_pictures)",
    }
    field = ask(plain, files={"pictures": ("a.png", png(1))}, data={"comment": "x"})
    assert field.status_code == 413 and "files alone" in field.json()["detail"]


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"data": b""}, 400, "empty"),
        ({"data": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "bad_form"),
        ({"data": b"x", "headers": {"content-type": "multipart/form-data; boundary=y"}}, 400, "bad_form"),
        ({"data": b"--y--\r\n", "headers": {"content-type": "multipart/form-data; boundary=y"}}, 400, "empty"),
        ({"data": b"{", "headers": {"content-type": "application/json"}}, 422, "bad_json"),
        ({"data": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 422, "bad_json"),
        ({"json": {"addresses": []}}, 422, "bad_json"),
        ({"json": {"addresses": [1]}}, 422, "bad_json"),
        ({"json": {"addresses": ["http://x.test"], "other": 1}}, 422, "bad_json"),
        ({"json": {"addresses": ["http://x.test"] * 21}}, 413, "too_many"),
        (
            {"data": b'{"addresses": ["' + b"x" * 1_000_001, "headers": {"content-type": "application/json"}},
            413,
            "too_large",
        ),
    ],
)
def test_what_is_no_request_is_refused_with_its_reason(plain, request_, status, reason) -> None:
    refused = ask(plain, **request_)
    assert (refused.status_code, refused.json()["reason"]) == (status, reason), refused.text
    assert refused.json()["detail"]


def png_of_size(data: bytes, side_px: int) -> bytes:
    """A PNG whose header says that it is larger."""
    header = b"IHDR" + struct.pack(">II", side_px, side_px) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def test_files_that_are_no_pictures_or_bombs_have_their_reason(start, png) -> None:
    heavy = io.BytesIO()
    Image.new("RGBA", (6000, 6000)).save(heavy, "PNG", compress_level=1)
    url = start(clean={"decoder_memory_mb": 200})
    files = {
        "bomb": png_of_size(png(1), 20_000),
        "heavy": heavy.getvalue(),
        "cut": png(1)[:300],
        "page": b"<html>",
        "nothing": b"",
    }
    found = ask(url, timeout=60, files=[("pictures", (name, data)) for name, data in files.items()])
    assert found.status_code == 422
    reasons = [answer["error"]["reason"] for answer in found.json()["answers"]]
    assert reasons == ["too_many_pixels", "decoder_memory", "truncated", "not_an_image", "empty"]
    assert ask(url, data=png(1)).status_code == 200


def test_a_header_without_end_in_a_form_does_not_keep_the_service_busy(plain) -> None:
    endless = b"--y\r\nContent-Disposition: " + b"x" * 20_000_000
    began = time.monotonic()
    with suppress(requests.ConnectionError):
        assert ask(plain, data=endless, headers={"content-type": "multipart/form-data; boundary=y"}).status_code == 400
    assert time.monotonic() - began < 30  # the time does not grow with the square of its length
    assert requests.get(f"{plain}/health/live", timeout=30).ok


def hastened(seconds: float, refusal: Refused) -> AbstractAsyncContextManager[None]:
    """As `within`, 60 times as fast: with a short `serve.timeout_s` a busy machine would not decode in time either."""
    return within(seconds / 60, refusal)


def test_a_request_that_does_not_arrive_is_given_up_and_one_that_was_cut_off_ends_nothing(start, monkeypatch) -> None:
    monkeypatch.setattr("pages.api.bodies.within", hastened)
    url = start(timeout_s=30)
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as slow:
        slow.sendall(b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
    with socket.create_connection((host, int(port)), 60) as cut:
        cut.sendall(b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
    assert requests.get(f"{url}/health/ready", timeout=30).ok


@pytest.mark.parametrize("query", ["accept=2", "accept=0", "accept=nan", "accept=x", "all=perhaps"])
def test_a_wrong_parameter_is_named(plain, png, query) -> None:
    refused = requests.post(f"{plain}/classify?{query}", data=png(1), timeout=30)
    assert (refused.status_code, refused.json()["reason"]) == (422, "bad_parameter")
    assert refused.json()["detail"].startswith(query.partition("=")[0])


@pytest.fixture
def stuck(monkeypatch):
    """The network answers nothing while the test has cleared the event."""
    go, original = threading.Event(), Classifier.answers
    go.set()

    def answers(self, images, accept=None):
        go.wait(100)
        return original(self, images, accept)

    monkeypatch.setattr(Classifier, "answers", answers)
    yield go
    go.set()


def test_more_requests_than_may_be_at_work_are_told_when_to_ask_again(start, stuck, png) -> None:
    url = start(concurrency=2)
    stuck.clear()
    with ThreadPoolExecutor(2) as clients:
        held = [clients.submit(ask, url, data=png(number)) for number in range(2)]
        deadline = time.monotonic() + 60
        while "requests_at_work 2.0" not in requests.get(f"{url}/metrics", timeout=30).text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        refused = ask(url, data=png(3))
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1" and refused.json()["reason"] == "busy"
        assert requests.get(f"{url}/health/ready", timeout=30).status_code == 503
        assert requests.get(f"{url}/health/live", timeout=30).status_code == 200
        stuck.set()
        assert [one.result().status_code for one in held] == [200, 200]
    assert requests.get(f"{url}/health/ready", timeout=30).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(start, stuck, png, monkeypatch) -> None:
    url = start(timeout_s=30)
    stuck.clear()
    with monkeypatch.context() as patch:
        patch.setattr("pages.api.app.within", hastened)
        late = ask(url, data=png(1))
    assert (late.status_code, late.json()["reason"]) == (503, "timeout")
    assert late.headers["retry-after"] == "1"
    stuck.set()
    assert ask(url, data=png(2)).status_code == 200
