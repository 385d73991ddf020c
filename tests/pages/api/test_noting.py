"""What the service notes: counters for Prometheus, sums for drift, and pictures only where it is told to keep them."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from workspace.catalog.records import Download, Withdrawal
from workspace.config.collect import NetworkConfig
from workspace.served.answers import AnswersFile
from workspace.served.kept import KeptPictures
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

KEEP_ALL = {"keep": True, "keep_below": 1.0}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path / "w")


@pytest.fixture(autouse=True)
def often(monkeypatch) -> None:
    monkeypatch.setattr("pages.api.service._CHECK_S", 0.05)


def ask(url: str, data: bytes, query: str = "") -> dict:
    return requests.post(f"{url}/classify{query}", data=data, timeout=30).json()["answers"][0]


def metrics(url: str) -> dict[str, float]:
    text = requests.get(f"{url}/metrics", timeout=30)
    assert text.headers["content-type"].startswith("text/plain; version=")
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True) if sample.labels else ''}": sample.value
        for family in text_string_to_metric_families(text.text)
        for sample in family.samples
    }


def test_metrics_count_requests_refusals_and_classes(start, png) -> None:
    url = start(max_mb=0.05)
    answer = ask(url, png(1))
    ask(url, b"<html>")
    requests.post(f"{url}/classify", data=bytes(60_000), timeout=30)
    requests.post(f"{url}/classify", data=png(1), headers={"host": "evil.example"}, timeout=30)
    requests.get(f"{url}/health", timeout=30)
    found = metrics(url)
    assert found['classifier_requests_total{"door": "body", "status": "200"}'] == 1
    assert found['classifier_requests_total{"door": "body", "status": "422"}'] == 1
    assert found['classifier_requests_total{"door": "body", "status": "413"}'] == 1
    assert found['classifier_requests_total{"door": "body", "status": "421"}'] == 1
    assert found["classifier_request_seconds_count"] == 4
    refused = {name: value for name, value in found.items() if name.startswith("classifier_refusals_total")}
    assert sorted(refused) == [
        f'classifier_refusals_total{{"reason": "{reason}"}}' for reason in ("not_an_image", "too_large", "wrong_host")
    ]
    assert set(refused.values()) == {1}
    assert found[f'classifier_answers_total{{"label": "{answer["best"]}"}}'] == 1
    assert found["classifier_queue_pictures"] == 0 and found["classifier_requests_at_work"] == 0
    assert found['classifier_model{"run": "model"}'] == 1 and found["classifier_batch_pictures_count"] == 1


def test_nothing_is_kept_unless_it_is_asked_for(start, png, workspace) -> None:
    url = start(workspace=workspace)
    ask(url, png(1))
    assert not (workspace.served / "pictures").exists()


def test_the_least_sure_are_kept_once_with_what_was_answered(start, png, workspace) -> None:
    url = start(workspace=workspace, **KEEP_ALL)
    answer = ask(url, png(1))
    ask(url, png(1))
    ask(url, b"<html>")
    (record,) = KeptPictures(workspace).undecided()
    assert record.sha256 == hashlib.sha256(png(1)).hexdigest() and record.suffix == ".png"
    assert (record.best, round(record.probability, 6)) == (answer["best"], answer["probability"])
    assert record.run_id == "model" and record.kept_at and record.url == ""
    assert KeptPictures(workspace).read(record.sha256) == png(1)
    assert metrics(url)["classifier_kept_total"] == 1


def test_sure_answers_pictures_of_the_collection_and_withdrawn_ones_are_not_kept(start, png, workspace) -> None:
    known, withdrawn, forgotten = (hashlib.sha256(png(number)).hexdigest() for number in (1, 2, 3))
    ImageStore(workspace).put(known, ".png", png(1))
    with workspace.open_catalog() as catalog:
        catalog.put([Download("https://x.test/2.png", "withdrawn", "url", sha256=withdrawn)])
        catalog.put([Withdrawal("file", forgotten)])
    url = start(workspace=workspace, **KEEP_ALL)
    for number in range(1, 5):
        ask(url, png(number))
    assert [one.sha256 for one in KeptPictures(workspace).undecided()] == [hashlib.sha256(png(4)).hexdigest()]
    sure = start(workspace=Workspace(workspace.root / "other"), keep=True, keep_below=0.0)
    ask(sure, png(5))
    assert KeptPictures(Workspace(workspace.root / "other")).undecided() == []


def test_what_came_from_an_address_says_which_and_a_withdrawn_address_is_not_kept(start, png, workspace) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = png(int(self.path[1])) if self.path.endswith(".png") else b""
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        base = f"http://127.0.0.1:{site.server_port}"
        with workspace.open_catalog() as catalog:
            catalog.put([Withdrawal("url", f"{base}/2.png")])
        mine = NetworkConfig(private_hosts=("127.0.0.1",), per_host_pause_s=0)
        url = start(workspace=workspace, network=mine, **KEEP_ALL)
        addresses = {"addresses": [f"{base}/1.png", f"{base}/2.png"]}
        assert requests.post(f"{url}/classify", json=addresses, timeout=30).status_code == 200
        site.shutdown()
        thread.join()
    assert [one.url for one in KeptPictures(workspace).undecided()] == [f"{base}/1.png"]


def test_a_full_disk_costs_no_answer(start, png, workspace) -> None:
    workspace.root.mkdir()
    workspace.served.write_text("a file where the folder should be")
    url = start(workspace=workspace, **KEEP_ALL)
    assert ask(url, png(1))["answered"]


def test_answers_are_counted_without_pictures_and_survive_a_restart(start, png, workspace) -> None:
    url = start(workspace=workspace)
    for number in range(3):
        ask(url, png(number))
    assert metrics(url)["classifier_drift_answers"] == 3
    for _ in range(3000):
        if workspace.answers_file.is_file() and AnswersFile.read(workspace.answers_file).tally().n == 3:
            break
        threading.Event().wait(0.02)
    file = AnswersFile.read(workspace.answers_file)
    assert (file.run_id, file.classes, file.tally().n) == ("model", ("ape", "bee"), 3)
    assert "png" not in workspace.answers_file.read_text()
    again = start(workspace=workspace)
    ask(again, png(4))
    assert metrics(again)["classifier_drift_answers"] == 4
