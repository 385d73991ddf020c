"""The page answers a dropped picture, says none with its reason, refuses what is no picture, and keeps nothing."""

import io
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser

from pages.local_auth import served_page
from pages.try_model import try_app
from training.inference.classifier import Classifier
from training.stats.calibration import Calibration
from training.stats.ood import OodLimits
from workspace.config.clean import CleanConfig

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, save_model: Callable[..., Path]) -> Classifier:
    folder = save_model(tmp_path_factory.mktemp("model"), ("ape", HOSTILE), resize_px=64, crop_px=64)
    return Classifier.load(folder, "cpu")


@pytest.fixture
def limits(classifier: Classifier) -> Iterator[Callable[[float], None]]:
    """Set the largest distance to training pictures that all lie far away."""

    def far(limit: float) -> None:
        reference = -np.ones((6, 1280), np.float16)
        classifier.calibration = Calibration(1.0, (OodLimits(0.95, 0.0, limit),), reference, 9)

    yield far
    classifier.calibration = None


def _session(address: str) -> tuple[requests.Session, str]:
    session = requests.Session()
    session.get(address, timeout=30)
    origin = address.split("/?")[0]
    session.headers["origin"] = origin
    return session, origin


def test_an_answer_has_every_class_and_none_has_its_reason(classifier, limits):
    with served_page(try_app(classifier, "apes")) as address:
        session, origin = _session(address)
        found = session.post(f"{origin}/answer", data=_png(1), timeout=30).json()
        assert found["answered"] is True and found["label"] == found["best"] == found["probabilities"][0][0]
        assert sum(share for _, share in found["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert found["size"] == "90 × 80 px, PNG"
        limits(0.01)
        none = session.post(f"{origin}/answer", data=_png(1), timeout=30).json()
        assert none["answered"] is False and none["reason"].startswith("unlike the training pictures")


def test_what_is_no_picture_or_too_large_is_refused_and_strangers_are_not_let_in(classifier):
    with served_page(try_app(classifier, "apes", max_mb=0.05)) as address:
        session, origin = _session(address)
        assert session.post(f"{origin}/answer", data=b"%PDF-1.7", timeout=30).status_code == 400
        too_large = session.post(f"{origin}/answer", data=b"\x89PNG" + bytes(60_000), timeout=30)
        assert too_large.status_code == 413 and "0.05 MB" in too_large.json()["detail"]
        assert requests.post(f"{origin}/answer", data=_png(1), timeout=30).status_code == 403


def _memory_mb(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


def _clear_png() -> bytes:
    """A small file that takes 0.6 GB to decode."""
    out = io.BytesIO()
    Image.new("RGBA", (6000, 6000)).save(out, "PNG", compress_level=9)
    return out.getvalue()


def test_hostile_uploads_at_once_take_the_memory_of_one_and_the_page_goes_on(classifier):
    clear, this = _clear_png(), psutil.Process()
    limits = CleanConfig(decoder_memory_mb=1500)
    with served_page(try_app(classifier, "apes", clean=limits)) as address, ThreadPoolExecutor(7) as browser:
        session, origin = _session(address)
        assert session.post(f"{origin}/answer", data=_png(1), timeout=60).ok  # a worker is there
        before = _memory_mb([this, *this.children(recursive=True)])
        files = [*[clear] * 6, _png(2)]
        asked = [browser.submit(session.post, f"{origin}/answer", data=data, timeout=120) for data in files]
        meanwhile, highest = 0, 0.0
        while not all(answer.done() for answer in asked):
            assert session.get(origin, timeout=60).status_code == 200
            meanwhile += not all(answer.done() for answer in asked)
            highest = max(highest, _memory_mb([this, *this.children(recursive=True)]))
            time.sleep(0.02)
        assert [answer.result().status_code for answer in asked] == [200] * 7
    assert meanwhile > len(files)  # not only between one file and the next
    assert 200 < highest - before < 1700


def test_an_upload_that_passes_a_limit_says_which_and_the_next_is_answered(classifier):
    limits = CleanConfig(decoder_memory_mb=200, decoder_timeout_s=20)
    with served_page(try_app(classifier, "apes", clean=limits)) as address:
        session, origin = _session(address)
        refused = session.post(f"{origin}/answer", data=_clear_png(), timeout=60)
        assert refused.status_code == 400
        assert "decoder_memory: it took more than 200 MB (decoder_memory_mb)" in refused.json()["detail"]
        assert session.post(f"{origin}/answer", data=_png(1), timeout=60).ok


def test_a_file_that_does_not_arrive_keeps_no_other_waiting(classifier, monkeypatch):
    monkeypatch.setattr("pages.try_model._ARRIVAL_S", 0.5)
    with served_page(try_app(classifier, "apes")) as address, ExitStack() as open_sockets:
        session, origin = _session(address)
        place = origin.removeprefix("http://")
        cookies = "; ".join(f"{one.name}={one.value}" for one in session.cookies)
        lines = f"Host: {place}\r\nOrigin: {origin}\r\nCookie: {cookies}\r\nContent-Length: 1000\r\n\r\n"
        host, port = place.split(":")
        stuck = [open_sockets.enter_context(socket.create_connection((host, int(port)), 60)) for _ in range(3)]
        for one in stuck:
            one.sendall(f"POST /answer HTTP/1.1\r\n{lines}".encode() + b"\x89PNG")
        deadline = time.monotonic() + 60
        while not session.post(f"{origin}/answer", data=_png(1), timeout=60).ok:
            assert time.monotonic() < deadline  # on a busy machine this one may arrive too late as well
        assert [one.recv(12) for one in stuck] == [b"HTTP/1.1 408"] * 3


def test_a_person_chooses_a_picture_and_sees_the_answer(chromium: Browser, classifier, limits, tmp_path: Path):
    limits(2.0)
    file = tmp_path / "ape.png"
    file.write_bytes(_png(2))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    with served_page(try_app(classifier, "apes", ("Only a test.",))) as address:
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        page.goto(address)
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.get_by_text("Only a test.").is_visible() and page.title() == "apes: what is this?"
        page.set_input_files("#file", file)
        page.wait_for_selector(".answer")
        assert page.locator(".answer progress").count() == 2 and page.locator(".answer.none").count() == 0
        assert page.locator(".answer img").evaluate("image => image.naturalWidth") == 90
        limits(0.01)
        page.set_input_files("#file", file)
        page.wait_for_selector(".answer.none")
        assert "None of these" in page.locator(".answer").first.inner_text()
        page.set_input_files("#file", tmp_path / "broken.jpg")
        page.get_by_text("cannot be read").wait_for()
        assert page.title() == "apes: what is this?" and errors == []  # no class's name became markup
        page.close()
