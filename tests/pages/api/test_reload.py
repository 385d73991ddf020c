"""A new model takes over without a request being dropped; one that cannot be loaded leaves the present one."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from pages.api.live_model import LiveModel
from workspace.clock import utc_now
from workspace.errors import CollectAndTrainError, WorkspaceError
from workspace.storage.champion import CHAMPION, DECISIONS, Decision, answering_run, record_decision
from workspace.storage.paths import Workspace


def publish(workspace: Workspace, run_id: str) -> None:
    record_decision(workspace, Decision(run_id, "published", run_id, "better", utc_now()))


@pytest.fixture
def published(tmp_path: Path, model: Path) -> Workspace:
    workspace = Workspace(tmp_path / "w")
    shutil.copytree(model, workspace.run("first").model)
    (workspace.run("first").metrics_file).write_text("{}")
    publish(workspace, "first")
    return workspace


@pytest.fixture
def choose(published: Workspace) -> Callable[[], Path]:
    return lambda: answering_run(published).model


@pytest.fixture(autouse=True)
def often(monkeypatch) -> None:
    monkeypatch.setattr("pages.api.service._CHECK_S", 0.05)


def wait_for(url: str, until: Callable[[dict], bool]) -> dict:
    deadline = time.monotonic() + 120
    while not until(found := requests.get(f"{url}/health", timeout=30).json()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_the_new_champion_answers_and_no_request_is_dropped(start, png, published, choose, save_model) -> None:
    url, stop, statuses, models = start(choose), threading.Event(), [], []

    def client() -> None:
        while not stop.is_set():
            answer = requests.post(f"{url}/classify", data=png(1), timeout=30)
            statuses.append(answer.status_code)
            models.append(answer.json()["model"])

    clients = [threading.Thread(target=client) for _ in range(3)]
    for thread in clients:
        thread.start()
    try:
        wait_for(url, lambda found: len(statuses) > 5)
        save_model(published.run("second").model, ("ape", "bee", "cow"), resize_px=64, crop_px=64)
        published.run("second").metrics_file.write_text("{}")
        publish(published, "second")
        found = wait_for(url, lambda found: found["model"] == "second")
        asked = len(statuses)
        wait_for(url, lambda found: len(statuses) > asked + 5)
    finally:
        stop.set()
        for thread in clients:
            thread.join()
    assert found["classes"] == ["ape", "bee", "cow"] and found["problem"] == ""
    assert set(statuses) == {200} and {"first", "second"} == set(models)


def test_a_champion_without_its_files_leaves_the_present_one_until_they_are_there(
    start, png, published, choose, model
) -> None:
    url = start(choose)
    publish(published, "second")
    found = wait_for(url, lambda found: found["problem"])
    assert found["model"] == "first" and "has no card.json" in found["problem"]
    assert requests.post(f"{url}/classify", data=png(1), timeout=30).json()["model"] == "first"
    assert requests.get(f"{url}/health/ready", timeout=30).status_code == 200
    shutil.copytree(model, published.run("second").model)
    published.run("second").metrics_file.write_text("{}")
    assert wait_for(url, lambda found: found["model"] == "second")["problem"] == ""


def test_a_champion_file_that_is_damaged_or_gone_changes_nothing(start, png, published, choose) -> None:
    url = start(choose)
    (published.root / CHAMPION).write_text("{")
    (published.root / DECISIONS).write_text("{")
    assert "cannot be used" in wait_for(url, lambda found: found["problem"])["problem"]
    shutil.rmtree(published.run("first").model)
    assert requests.post(f"{url}/classify", data=png(1), timeout=30).status_code == 200


def test_a_failure_that_nobody_foresaw_does_not_end_the_looking(start, published, choose, model, caplog) -> None:
    full = threading.Event()

    def choose_or_fail() -> Path:
        if full.is_set():
            raise RuntimeError("CUDA out of memory")
        return choose()

    url = start(choose_or_fail)
    full.set()
    wait_for(url, lambda found: found["problem"] == "CUDA out of memory")
    shutil.copytree(model, published.run("second").model)
    published.run("second").metrics_file.write_text("{}")
    publish(published, "second")
    full.clear()
    wait_for(url, lambda found: found["model"] == "second" and not found["problem"])
    assert "first goes on answering: CUDA out of memory" in caplog.text and "Traceback" in caplog.text


def test_without_a_model_a_service_does_not_begin_and_says_why(tmp_path: Path, published, choose) -> None:
    empty = Workspace(tmp_path / "empty")
    with pytest.raises(WorkspaceError, match=r"has no run yet; make one with: collect-and-train split"):
        LiveModel(lambda: answering_run(empty).model, "cpu")
    published.run("first").weights_file.unlink()
    with pytest.raises(CollectAndTrainError, match=r"has no model.safetensors; train first"):
        LiveModel(choose, "cpu")
