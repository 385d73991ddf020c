"""Finding copies among photo-like JPEGs of 1,000 x 750, beside imagededup and cleanvision: time, memory, what is found.

    python -m benchmarks.clean [--n 5000] [--data DIR] [--only ours,near,imagededup,cleanvision]

A fifth of the pictures are copies of others: at half size, compressed at quality 40, cropped by 5 %, watermarked,
brightened, mirrored. Everybody reads the same files, one after the other; each peer has an environment of its own.
`ours` is the clean step, which also checks and caches every picture and writes its verdicts; `near` goes on with
features (efficientnet_lite0) and the copies found by them. Seconds are those of the whole process; memory is the
largest sum of the resident memory of it and its children, seen every fifth of a second. Precision counts pairs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.support.copies_data import KINDS, make
from benchmarks.support.peers import peer_python
from preprocessing import clean
from preprocessing.edited_copies import STAGE, find_edited_copies
from workspace.catalog.records import Download, Hit, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

IMAGEDEDUP = """
import json, sys, time
from imagededup.methods import PHash
if __name__ == "__main__":
    began = time.time()
    hasher = PHash(verbose=False)
    encodings = hasher.encode_images(image_dir=sys.argv[1])
    encoded = time.time()
    found = hasher.find_duplicates(encoding_map=encodings)
    pairs = sorted({tuple(sorted((a, b))) for a, others in found.items() for b in others})
    print(json.dumps({"pairs": pairs, "parts": {"encode": encoded - began, "search": time.time() - encoded}}))
"""
CLEANVISION = """
import contextlib, io, itertools, json, os, sys, time
from cleanvision import Imagelab
if __name__ == "__main__":
    began = time.time()
    with contextlib.redirect_stdout(io.StringIO()):
        lab = Imagelab(data_path=sys.argv[1])
        lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}})
    sets = [*lab.info["exact_duplicates"]["sets"], *lab.info["near_duplicates"]["sets"]]
    pairs = {tuple(sorted(map(os.path.basename, pair))) for one in sets for pair in itertools.combinations(one, 2)}
    print(json.dumps({"pairs": sorted(pairs), "parts": {"all": time.time() - began}}))
"""
TORCH = ("torch==2.14.1", "torchvision==0.29.1")
PEERS = {
    "imagededup": (IMAGEDEDUP, ("imagededup==0.3.3.post2", *TORCH)),
    "cleanvision": (CLEANVISION, ("cleanvision==0.3.7",)),
}


def prepare(pictures: Path, root: Path) -> None:
    """A workspace as it is after the download of these pictures."""
    workspace = Workspace(root)
    images = ImageStore(workspace)
    hits, downloads = [], []
    for rank, path in enumerate(sorted(pictures.iterdir())):
        data = path.read_bytes()
        sha = hashlib.sha256(data).hexdigest()
        images.put(sha, ".jpg", data, durable=False)
        url = f"http://pictures.test/{path.name}"
        hits.append(Hit("picture", "picture", "benchmark", rank, url))
        downloads.append(Download(url, "ok", bytes=len(data), sha256=sha))
    with workspace.open_catalog() as catalog:
        catalog.add_new(hits)
        catalog.put(downloads)


def run_ours(root: Path, near: bool) -> None:
    """Clean a workspace, and with `near` go on to features; print the pairs and the seconds."""
    workspace = Workspace(root)
    config = WorkspaceConfig.model_validate(
        {"classes": {"picture": ("picture",), "other": ("other",)}, "train": {"backbone": "efficientnet_lite0"}}
    )
    began = time.time()
    clean.run(workspace, config)
    parts = {"clean": time.time() - began}
    if near:
        from training.network import features

        features.run(workspace, config)
        parts["features"] = time.time() - began - sum(parts.values())
        with workspace.open_catalog() as catalog:
            catalog.replace_verdicts([STAGE], find_edited_copies(workspace, config, catalog).verdicts)
        parts["near"] = time.time() - began - sum(parts.values())
    with workspace.open_catalog() as catalog:
        name = {one.sha256: Path(one.image_url).name for one in catalog.all(Download)}
        drops = [one for one in catalog.all(Verdict) if one.verdict == "drop" and one.group]
    pairs = sorted({tuple(sorted((name[one.sha256], name[one.group]))) for one in drops if one.group != one.sha256})
    print(json.dumps({"pairs": pairs, "parts": parts}))


def watched(command: Sequence[str | Path], folder: Path) -> tuple[dict[str, object], float, float]:
    """Run a command: what it printed last, its seconds, and its tree's peak memory in MB."""
    began, peak = time.monotonic(), 0.0
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        while process.poll() is None:
            peak = max(peak, _tree_mb(process.pid))
            time.sleep(0.2)
        seconds = time.monotonic() - began
        if process.returncode:
            err.seek(0)
            raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{err.read()[-2000:]}")
        out.seek(0)
        return json.loads(out.read().splitlines()[-1]), seconds, peak


def _tree_mb(root: int) -> float:
    parents, memory = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                memory[int(entry.name)] = int((entry / "statm").read_text().split()[1])
            except (OSError, ProcessLookupError):
                continue
    tree = {root}
    for _ in range(6):  # generations of children
        tree |= {pid for pid, parent in parents.items() if parent in tree}
    return sum(memory.get(pid, 0) for pid in tree) * os.sysconf("SC_PAGE_SIZE") / 1e6


def line(name: str, got: dict[str, object], seconds: float, peak: float, truth: list[tuple[str, str, str]]) -> str:
    """A row of the table."""
    found = {tuple(pair) for pair in got["pairs"]}  # type: ignore[attr-defined]
    wanted = {kind: {tuple(sorted((file, of))) for file, what, of in truth if what == kind} for kind in KINDS}
    right = found & set().union(*wanted.values())
    recalls = "  ".join(f"{len(found & wanted[kind]) / len(wanted[kind]):9.3f}" for kind in KINDS)
    parts = ", ".join(f"{part} {spent:.1f} s" for part, spent in got["parts"].items())  # type: ignore[attr-defined]
    precision = len(right) / max(1, len(found))
    return f"{name:12} {seconds:8.1f} {peak:8.0f} {precision:10.4f}  {recalls}   {parts}"


def main() -> None:
    """Make the data where it is missing, run everybody, print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=5000, help="pictures, a fifth of them copies")
    parser.add_argument("--data", type=Path, help="where the pictures are kept; a temporary folder by default")
    parser.add_argument("--only", default="ours,imagededup,cleanvision", help="comma-separated; near takes minutes")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--near", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        run_ours(given.ours, given.near)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = given.data or Path(folder) / "data"
        truth = make(data, given.n)
        print(f"{given.n:,} pictures, {len(truth):,} of them copies; recall by kind of copy")
        print(f"{'':12} {'seconds':>8} {'peak MB':>8} {'precision':>10}  " + "  ".join(f"{kind:>9}" for kind in KINDS))
        for name in given.only.split(","):
            if name in PEERS:
                script, requirements = PEERS[name]
                program = Path(folder) / f"run_{name}.py"  # not the package's own name
                program.write_text(script)
                command: list[str | Path] = [peer_python(name, *requirements), program, data / "pictures"]
            else:
                root = Path(folder) / name
                prepare(data / "pictures", root)
                command = [sys.executable, "-m", "benchmarks.clean", "--ours", root, *(["--near"] * (name == "near"))]
            print(line(name, *watched(command, Path(folder)), truth), flush=True)


if __name__ == "__main__":
    main()
