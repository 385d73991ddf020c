"""The flow on a real server, and the deployment through a real worker: started once, on free ports of loopback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from workspace.paths import Workspace

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspaces") / "drawn"


def artifacts(api: str) -> dict[str, str]:
    """Artifacts of the server by key, the latest data as text."""
    answer = requests.post(f"{api}/artifacts/latest/filter", json={"limit": 100}, timeout=10)
    answer.raise_for_status()
    return {artifact["key"]: str(artifact["data"]) for artifact in answer.json()}


def test_run_makes_a_classifier_and_says_what_came_of_it(site, quick_words, command, server, folder) -> None:
    words = [*site.keywords, "--workspace", folder, "--per-class", "40", *quick_words]
    done = command("collect-and-train", "run", *words, PREFECT_API_URL=server)
    assert done.returncode == 0, done.stderr
    run = Workspace(folder).latest_run()
    for file in (run.report_file, run.metrics_file, run.dataset_file, run.model / "model.safetensors"):
        assert file.stat().st_size > 1000
    for part in ("found", "kept", "test accuracy", "95 % interval", str(run.report_file), f"predict -w {folder}"):
        assert part in done.stderr, part
    shown = artifacts(server)
    assert {"search-counts", "clean-counts", "train-counts", "report"} <= set(shown)
    assert "test accuracy" in shown["report"]

    asked = dict(site.requests)
    files = {
        file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file() and "sqlite" not in file.name
    }
    again = command("collect-and-train", "run", "--workspace", folder, PREFECT_API_URL=server)
    assert again.returncode == 0, again.stderr
    assert dict(site.requests) == asked
    assert again.stderr.count("0 done now") == 10
    latest = Workspace(folder).runs / "latest"
    changed = [file for file, stamp in files.items() if file.stat().st_mtime_ns != stamp and file != latest]
    assert changed == []


def test_the_deployment_does_the_job(site, quick, command, server, environment, folder, tmp_path) -> None:
    target = tmp_path / "deployed"
    pool = command("prefect", "work-pool", "create", "collect-and-train", "--type", "process", PREFECT_API_URL=server)
    assert pool.returncode == 0, pool.stdout + pool.stderr
    worker = subprocess.Popen(
        [
            Path(sys.executable).parent / "prefect",
            "worker",
            "start",
            "--pool",
            "collect-and-train",
            "--type",
            "process",
        ],
        env=environment | {"PREFECT_API_URL": server},
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deployed = command("prefect", "--no-prompt", "deploy", "--all", PREFECT_API_URL=server)
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        parameters = {
            "workspace": str(target),
            "keywords": list(site.keywords),
            "per_class": 40,
            "settings": quick,
        }
        words = [word for name, value in parameters.items() for word in ("--param", f"{name}={json.dumps(value)}")]
        done = command(
            "prefect", "deployment", "run", "collect-and-train/local", *words, "--watch", PREFECT_API_URL=server
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        worker.terminate()
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            worker.terminate()  # an idle worker may need to be told twice
            worker.wait(20)
    made, by_hand = Workspace(target).latest_run(), Workspace(folder).latest_run()
    assert made.report_file.is_file()
    assert made.dataset_file.read_bytes() == by_hand.dataset_file.read_bytes()


def test_a_wrong_workspace_fails_with_the_remedy_and_no_retry(command, server, tmp_path) -> None:
    done = command("collect-and-train", "run", "--workspace", tmp_path / "none", PREFECT_API_URL=server)
    assert done.returncode == 1
    assert "collect-and-train init" in done.stderr
    assert "Traceback" not in done.stderr
