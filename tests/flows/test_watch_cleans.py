"""`watch` cleans whatever is not cleaned yet, also where an earlier `watch` was killed before it could."""

import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collectors import inbox
from flows import watch
from preprocessing import clean
from workspace.catalog.records import StepCounts
from workspace.errors import WorkspaceError
from workspace.resolve import open_workspace
from workspace.storage.paths import Workspace

STEPS = {"inbox": inbox.run, "clean": clean.run}


@pytest.fixture
def cleaned(monkeypatch) -> list[str]:
    """The steps that ran, without Prefect."""
    ran: list[str] = []

    def task(name: str):
        def run(workspace, config) -> StepCounts:
            ran.append(name)
            return STEPS[name](workspace, config)

        return run

    monkeypatch.setattr(watch, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(watch, "step_task", task)
    return ran


def put(workspace: Workspace, name: str, seed: int) -> None:
    file = workspace.inbox / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((120, 120), Image.Resampling.BICUBIC).save(file, "PNG")
    os.utime(file, (time.time() - 600,) * 2)


def look(workspace: Workspace) -> int:
    return watch.watch.fn(str(workspace.root))[str(workspace.root)]


@pytest.mark.parametrize("same_bytes", [False, True], ids=["new file", "file that another class has"])
def test_what_a_killed_watch_took_in_is_cleaned_and_counted_by_the_next(
    tmp_path: Path, cleaned, monkeypatch, same_bytes: bool
) -> None:
    workspace, _ = open_workspace(tmp_path / "ws", ["cat", "dog"], {"clean.workers": 1, "retrain.search_again_h": 0})
    put(workspace, "cat/1.png", 1)
    assert look(workspace) == 1
    put(workspace, "dog/2.png", 1 if same_bytes else 2)
    if same_bytes:
        (workspace.inbox / "cat/1.png").unlink()
    with monkeypatch.context() as patch:
        patch.setitem(STEPS, "clean", _full_disk)
        with pytest.raises(WorkspaceError, match="no space"):
            look(workspace)
    del cleaned[:]
    assert look(workspace) == (1 if same_bytes else 2)
    assert cleaned == ["inbox", "clean"]
    look(workspace)
    assert cleaned == ["inbox", "clean", "inbox"]  # nothing is left to clean
    with workspace.open_catalog() as catalog:
        assert {label for _, label in catalog.kept()} == ({"dog"} if same_bytes else {"cat", "dog"})


def _full_disk(*_: object) -> StepCounts:
    raise WorkspaceError("no space")
