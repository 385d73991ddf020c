"""Cleaning many small pictures: how time and memory grow, and that a kill -9 in the middle loses next to nothing.

    python -m benchmarks.clean_size [--pictures 1000,10000,100000] [--kill]

Makes workspaces of different small JPEGs (96 x 72 px), as after a download, and runs the clean step on each in a
process of its own. "decoding MB" is the largest memory of the whole process tree (proportional set size) up to the
last file's facts, "whole MB" that of the whole step, with the search for copies. With --kill the run on the last
workspace is killed with SIGKILL when half of its pictures are done, and the same command then goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.support.copies_data import jpeg
from benchmarks.support.peers import CHECKOUT
from benchmarks.support.process_tree import measure
from workspace.catalog.records import Download, Hit
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

_SIZE_PX = (96, 72)
_CLEAN = """
import json, sys, time
from pathlib import Path
from preprocessing import clean
from workspace.config.model import WorkspaceConfig
from workspace.storage.paths import Workspace
from workspace.progress import Silent

class Clock(Silent):
    def __init__(self): self.told = 0.0
    def advance(self, count=1): self.told = time.monotonic()

if __name__ == "__main__":
    clock, began = Clock(), time.monotonic()
    config = WorkspaceConfig.model_validate({"classes": {"a": "a", "b": "b"}})
    counts = clean.run(Workspace(Path(sys.argv[1])), config, clock)
    print(json.dumps({"done": counts.done, "reused": counts.reused, "kept": counts.by_reason["kept"],
                      "decoding_s": clock.told - began, "whole_s": time.monotonic() - began}))
"""


def make_workspace(folder: Path, count: int) -> None:
    """Fill a workspace with `count` pictures of two classes; no two are alike."""
    workspace = Workspace(folder)
    images = ImageStore(workspace)
    rng = np.random.default_rng(0)
    with workspace.open_catalog() as catalog:
        for start in range(0, count, 1000):
            hits, downloads = [], []
            for number in range(start, min(start + 1000, count)):
                data = _drawn(rng)
                sha = hashlib.sha256(data).hexdigest()
                url = f"http://pictures.test/{number}"
                images.put(sha, ".jpg", data, durable=False)
                hits.append(Hit("ab"[number % 2], "word", "made", number, url))
                downloads.append(Download(url, "ok", bytes=len(data), sha256=sha))
            catalog.add_new(hits)
            catalog.put(downloads)


def _drawn(rng: np.random.Generator) -> bytes:
    """A small JPEG of coloured blobs, unlike every other."""
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return jpeg(coarse.resize(_SIZE_PX, Image.Resampling.BICUBIC), 80)


def clean(folder: Path, *, kill_at: int = 0) -> None:
    """Clean it and print a line; with `kill_at` kill the run when so many pictures have facts."""
    command: list[str | Path] = [sys.executable, folder.parent / "clean_it.py", folder]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    (folder.parent / "clean_it.py").write_text(_CLEAN)
    if kill_at:
        with subprocess.Popen([str(part) for part in command], env=env, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and _facts(folder) < kill_at:
                time.sleep(0.1)
            process.kill()
        print(f"killed with {_facts(folder)} done", flush=True)
    cost = measure(command, env)
    said = json.loads(cost.output.splitlines()[-1])
    print(
        f"{said['done'] + said['reused']:8} {said['done']:8} {said['reused']:8} {said['kept']:8}"
        f" {said['decoding_s']:11.1f} {said['whole_s']:8.1f} {cost.peak_before(said['decoding_s']):12.0f}"
        f" {cost.memory_mb:9.0f}",
        flush=True,
    )


def _facts(folder: Path) -> int:
    with sqlite3.connect(folder / "catalog.sqlite", timeout=30) as connection:
        return int(connection.execute("select count(*) from images").fetchone()[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", default="1000,10000,100000")
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    counts = [int(count) for count in options.pictures.split(",")]
    titles = ("pictures", "done", "reused", "kept", "decoding s", "whole s", "decoding MB", "whole MB")
    print(" ".join(f"{title:>{width}}" for title, width in zip(titles, (8, 8, 8, 8, 11, 8, 12, 9), strict=True)))
    with tempfile.TemporaryDirectory() as place:
        for count in counts:
            make_workspace(Path(place) / f"w{count}", count)
            clean(Path(place) / f"w{count}", kill_at=count // 2 if options.kill and count == counts[-1] else 0)


if __name__ == "__main__":
    main()
