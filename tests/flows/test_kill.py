"""kill -9 in the middle of a step, then the same step: it finishes, repeats nothing, and ends with equal files."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.step_table import step_function
from workspace.catalog.records import StepCounts
from workspace.progress import SILENT
from workspace.resolve import open_workspace
from workspace.storage.paths import Workspace

BIN = Path(sys.executable).parent


def run_step(name: str, folder: Path) -> StepCounts:
    return step_function(name)(*open_workspace(folder), SILENT)


def kill_in_step(name: str, folder: Path, far_enough: Callable[[], bool]) -> None:
    """Start a step as a person would and kill it once it has come so far."""
    process = subprocess.Popen(
        [BIN / "collect-and-train", name, "-w", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 100
    while not far_enough() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, f"{name} ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory, site, quick) -> Path:
    """A workspace that is collected and cleaned, with small batches so that there is a middle to be killed in."""
    folder = tmp_path_factory.mktemp("killed") / "whole"
    settings = quick | {"search.per_class": 40, "features.batch_size": 12, "train.epochs": 3, "train.batch_size": 12}
    open_workspace(folder, site.keywords, settings)
    for name in ("search", "download", "clean"):
        run_step(name, folder)
    return folder


def copy_of(folder: Path, name: str) -> Path:
    """A second workspace with the same collection and no cache of features, as hard links."""
    target = folder.parent / name
    subprocess.run(["cp", "-al", folder, target], check=True)
    (target / "catalog.sqlite").unlink()
    subprocess.run(["cp", folder / "catalog.sqlite", target / "catalog.sqlite"], check=True)
    return target


def test_a_run_that_was_killed_twice_ends_like_one_that_was_not(cleaned) -> None:
    killed = copy_of(cleaned, "killed")
    for name in ("features", "split", "train"):
        run_step(name, cleaned)
    whole = Workspace(cleaned).latest_run()

    shards = Workspace(killed).cache
    kill_in_step("features", killed, lambda: any(shards.glob("features-*/*.json")))
    written = {file: file.stat().st_mtime_ns for file in shards.glob("*/*.npy")}
    assert written
    assert run_step("features", killed).reused > 0
    assert {file: file.stat().st_mtime_ns for file in written} == written
    run_step("split", killed)
    again = Workspace(killed).latest_run()
    kill_in_step("train", killed, lambda: any(again.checkpoints.glob("*.pt")))
    assert not (again.model / "card.json").exists()
    run_step("train", killed)

    assert again.dataset_file.read_bytes() == whole.dataset_file.read_bytes()
    assert not again.checkpoints.exists()
    histories = [json.loads((run.root / "history.json").read_text()) for run in (whole, again)]
    assert histories[0] == histories[1]
    weights = [(run.model / "model.safetensors").read_bytes() for run in (whole, again)]
    assert weights[0] == weights[1]
