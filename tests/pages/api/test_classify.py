"""A picture, several of them, or addresses go in; each gets its answer or its own error, in their order."""

import contextlib
import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from pages.api import service
from training.inference.classifier import Classifier
from training.stats.calibration import Calibration
from training.stats.ood import OodLimits


@pytest.fixture
def far(monkeypatch):
    """The model finds every picture far from its training pictures."""

    def load(folder, device="auto"):
        classifier = original(folder, device)
        classifier.calibration = Calibration(1.0, (OodLimits(0.95, 0.0, 0.01),), -np.ones((6, 1280), np.float16), 9)
        return classifier

    original = Classifier.load
    monkeypatch.setattr(Classifier, "load", staticmethod(load))


def test_one_picture_as_the_body_has_its_answer_and_all_probabilities_where_asked(plain, png) -> None:
    url = plain
    found = requests.post(f"{url}/classify", data=png(1), timeout=30)
    assert found.status_code == 200 and found.json()["model"] == "model"
    (answer,) = found.json()["answers"]
    assert answer["answered"] and answer["label"] == answer["best"] and 0.5 <= answer["probability"] <= 1
    assert "probabilities" not in answer and "error" not in answer
    every = requests.post(f"{url}/classify?all=true", data=png(1), timeout=30).json()["answers"][0]
    assert sum(every["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert next(iter(every["probabilities"])) == answer["best"]  # the most probable first
    assert every["probability"] == answer["probability"]


def test_several_pictures_are_answered_in_their_order_and_a_broken_one_costs_no_other_its_answer(plain, png) -> None:
    url = plain
    broken = png(2)[:200]
    files = [("pictures", ("a.png", png(1))), ("pictures", ("b.png", broken)), ("pictures", ("c.txt", b"<html>"))]
    files += [("other", ("d.png", png(3)))]
    found = requests.post(f"{url}/classify", files=files, timeout=30)
    a, b, c, d = found.json()["answers"]
    assert found.status_code == 200
    assert [one["picture"] for one in (a, b, c, d)] == ["a.png", "b.png", "c.txt", "d.png"]
    assert a["answered"] and d["answered"]
    assert b["error"]["reason"] == "truncated" and c["error"]["reason"] == "not_an_image"
    assert (
        a["probability"]
        == requests.post(f"{url}/classify", data=png(1), timeout=30).json()["answers"][0]["probability"]
    )


def test_none_has_its_reason_and_pictures_that_cannot_be_read_are_422(start, far, png) -> None:
    url = start()
    answer = requests.post(f"{url}/classify", data=png(1), timeout=30).json()["answers"][0]
    assert (answer["answered"], answer["label"]) == (False, "none")
    assert answer["reason"].startswith("unlike the training pictures") and answer["distance"] > 0.01
    assert requests.post(f"{url}/classify", data=b"%PDF-1.7", timeout=30).status_code == 422
    wrong = requests.post(f"{url}/classify?accept=0.5", data=png(1), timeout=30)
    assert wrong.status_code == 422 and "limits for 0.95" in wrong.json()["detail"]
    assert requests.post(f"{url}/classify?accept=0.95", data=png(1), timeout=30).status_code == 200


def test_concurrent_requests_share_a_forward_pass_and_each_gets_its_own_answer(start, png, monkeypatch) -> None:
    sizes = []
    original = Classifier.answers

    def answers(self, images, accept=None):
        sizes.append(len(images))
        return original(self, images, accept)

    monkeypatch.setattr(Classifier, "answers", answers)
    url = start(clean={"workers": 2})
    sizes.clear()  # of the start
    alone = [_probability(url, png(number)) for number in range(8)]
    assert sizes == [1] * 8
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(lambda number: _probability(url, png(number)), [*range(8)] * 3))
    assert together == pytest.approx(alone * 3, abs=1e-5)
    assert max(sizes) > 1 and sum(sizes) == 8 + 24


def _probability(url: str, data: bytes) -> float:
    answer = requests.post(f"{url}/classify", data=data, timeout=30).json()["answers"][0]
    return answer["probability"] if answer["best"] == "ape" else 1 - answer["probability"]


def test_a_decoder_that_dies_ends_neither_the_service_nor_another_request(start, png) -> None:
    heavy = io.BytesIO()
    Image.new("RGB", (6000, 6000)).save(heavy, "PNG")
    url, done = start(), threading.Event()
    workers = [worker for helper in psutil.Process().children() for worker in helper.children()]
    idle_bytes = max(worker.memory_info().rss for worker in workers)

    def kill() -> None:  # whoever is decoding the large picture
        while not done.wait(0.01):
            for helper in psutil.Process().children():
                for worker in helper.children():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if worker.memory_info().rss > idle_bytes + 50e6:
                            worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(20):
            found = requests.post(f"{url}/classify", data=heavy.getvalue(), timeout=60)
            if not found.ok:
                break  # else this thread's `kill` came too late, as it may on a busy machine
        assert requests.get(f"{url}/health/live", timeout=30).ok
    finally:
        done.set()
        killer.join()
    assert found.status_code == 422
    assert found.json()["answers"][0]["error"]["reason"] == "decoder_crashed"
    assert requests.post(f"{url}/classify", data=png(2), timeout=60).ok


def test_openapi_describes_every_path_with_examples_and_the_page_shows_them(plain) -> None:
    url = plain
    schema = requests.get(f"{url}/openapi.json", timeout=30).json()
    assert {"/classify", "/health/live", "/health/ready", "/metrics"} <= schema["paths"].keys()
    classify = schema["paths"]["/classify"]["post"]
    assert set(classify["requestBody"]["content"]) == {"image/*", "multipart/form-data", "application/json"}
    assert {"200", "400", "401", "408", "413", "422", "503"} <= classify["responses"].keys()
    for status, response in classify["responses"].items():
        assert "example" in response["content"]["application/json"], status
    page = requests.get(f"{url}/docs", timeout=30).text
    assert "curl -F pictures=@1.jpg" in page and "unlike the training pictures" in page
    assert "://" not in page.replace("http://127.0.0.1:8000", "").replace("https://example.org", "").replace(
        "https://pictures.example.org", ""
    )  # nothing is loaded from another site
    assert json.dumps(schema).count("HTTPBearer") >= 1


def test_health_says_which_model_answers(plain) -> None:
    url = plain
    assert requests.get(f"{url}/health/live", timeout=30).json() == {"status": "live"}
    ready = requests.get(f"{url}/health/ready", timeout=30)
    assert ready.status_code == 200 and ready.json() == requests.get(f"{url}/health", timeout=30).json()
    assert (ready.json()["status"], ready.json()["model"], ready.json()["classes"]) == (
        "ready",
        "model",
        ["ape", "bee"],
    )


def test_the_pictures_of_one_large_request_leave_room_for_a_small_one(start, png, monkeypatch) -> None:
    monkeypatch.setattr("pages.api.service._PER_REQUEST", 1)
    url, go, decoded, original = start(), threading.Event(), [], service.decode_isolated

    def decode(data: bytes, *limits):
        decoded.append(data)
        go.wait(100)
        return original(data, *limits)

    monkeypatch.setattr(service, "decode_isolated", decode)
    files = [("pictures", (f"{number}.png", png(number % 4))) for number in range(40)]
    host, port = url.removeprefix("http://").split(":")
    with ThreadPoolExecutor(1) as client, socket.create_connection((host, int(port)), 100) as small:
        large = client.submit(requests.post, f"{url}/classify", files=files, timeout=100)
        wait_until(lambda: decoded)
        picture = png(9, (8, 8))
        lines = f"POST /classify HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(picture)}\r\n\r\n"
        small.sendall(lines.encode() + picture)  # in one piece, so that it is there as a whole once it is at work
        wait_until(lambda: "requests_at_work 2.0" in requests.get(f"{url}/metrics", timeout=30).text)
        go.set()
        assert small.recv(12) == b"HTTP/1.1 200"
        assert len(large.result().json()["answers"]) == 40
    assert decoded.index(picture) < 20


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
