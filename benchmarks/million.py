"""Seconds and peak memory of what grows with a collection: grouping, neighbours, split and the catalogue's queries.

    python -m benchmarks.million [--pictures 1000000] [--dim 1280] [--place DIR]

Makes the catalogue and the cached features of so many small pictures, without the pictures themselves, in a folder that
is deleted afterwards: a class for every 10,000, hashes as skewed as those of photographs, a copy planted for one in
ten, URLs that wait. Then it takes the figures, each stage in a process of its own. `clean` is what the
step does after decoding, at the default limits, with the mirrored hashes; aligning pairs of pictures is left out, as
there are none. `neighbours` is the search of curate for edited copies, `split` the whole step. A million needs 15 GB of
disk; 10,000, the default, half a minute.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hash_search import plant, skewed_hashes
from preprocessing import split
from preprocessing.duplicates.fingerprint import unpacked
from preprocessing.duplicates.hash_search import Hashes
from preprocessing.duplicates.registration import NONE
from preprocessing.neighbours import pairs_within
from preprocessing.verdicts import STAGES, verdicts_for
from workspace.catalog.class_progress import class_progress, urls_to_fetch
from workspace.catalog.counts import appearances, download_counts, same_bytes_count, stored_thumbs
from workspace.catalog.records import Download, Hit, ImageFacts
from workspace.config.model import WorkspaceConfig
from workspace.storage.arrays import ArrayStore, latest_features, point_to_features
from workspace.storage.paths import Workspace

_SHARD = 5_000
_PER_CLASS = 10_000


def config_of(count: int) -> WorkspaceConfig:
    """A class for every 10,000 pictures, two at least."""
    labels = [f"class{number:03}" for number in range(max(2, count // _PER_CLASS))]
    return WorkspaceConfig.model_validate({"classes": {label: (label,) for label in labels}})


def fill(workspace: Workspace, count: int, dim: int) -> None:
    """Write the catalogue of `count` pictures as clean leaves it without verdicts, and their features."""
    rng = np.random.default_rng(0)
    labels = list(config_of(count).classes)
    phash, dhash = skewed_hashes(count, rng)
    original = np.arange(count)
    for first, copy, _ in plant(phash, dhash, rng).tolist():
        original[copy] = first
    mirrored = skewed_hashes(count, rng)
    names = [rng.bytes(32).hex() for _ in range(count)]
    thumbs = np.random.default_rng(1).integers(0, 256, (4096, 1024), dtype=np.uint8)
    centres = rng.normal(size=(max(2, count // 500), dim)).astype(np.float32)
    store = ArrayStore(workspace.cache / "features-made")
    with workspace.open_catalog() as catalog:
        for start in range(0, count, _SHARD):
            rows = range(start, min(start + _SHARD, count))
            hits = [_hit(number, labels) for number in rows]
            catalog.add_new([*hits, *(_hit(number, labels, "waiting") for number in rows if number % 20 == 0)])
            catalog.put(_downloads(hits, rows, names))
            catalog.put(
                _facts(names[row], thumbs[original[row] * 7919 % len(thumbs)], (phash, dhash, *mirrored), row)
                for row in rows
            )
            for row in rows:  # the split looks whether each file is there
                file = workspace.images / names[row][:2] / f"{names[row]}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
            store.add([names[row] for row in rows], _features(centres, original[rows.start : rows.stop], rng))
    point_to_features(workspace, store)


def _hit(number: int, labels: list[str], prefix: str = "picture") -> Hit:
    url = f"https://images{number % 50}.example.org/{prefix}/{number:09}/large-original-file.jpg"
    return Hit(
        labels[number % len(labels)], "word", f"source{number % 5}", number // len(labels), url,
        page_url=f"https://www.example.org/photos/{number:09}", title=f"A picture with a title, number {number}",
        creator=f"creator {number // 3}" if number % 4 else "", license="cc-by" if number % 3 else "",
        width=640, height=480, found_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def _downloads(hits: list[Hit], rows: range, names: list[str]) -> Iterator[Download]:
    for row, hit in zip(rows, hits, strict=True):
        yield Download(hit.image_url, "ok", bytes=20_000, sha256=names[row], http_status=200, final_url=hit.image_url)


def _facts(name: str, thumb: Any, hashes: tuple[Hashes, ...], row: int) -> ImageFacts:
    phash, dhash, phash_mirror, dhash_mirror = (f"{int(words[row]):016x}" for words in hashes)
    return ImageFacts(
        brightness=0.5, contrast=0.2, entropy=7.0, sharpness=0.02, highlights=0.9, shadows=0.1, text=0.0,
        sha256=name, format="JPEG", mode="RGB", width=640, height=480, bytes=20_000, pixel_digest=name[::-1],
        phash=phash, dhash=dhash, phash_mirror=phash_mirror, dhash_mirror=dhash_mirror, thumb=thumb.tobytes().hex(),
    )  # fmt: skip


def _features(centres: Any, original: Any, rng: np.random.Generator) -> Any:
    """Features around 1 centre for 500 pictures; a copy has those of its original, a little changed."""
    dim = centres.shape[1]
    own = np.stack([np.random.default_rng(int(row)).normal(size=dim).astype(np.float32) for row in original])
    noise = rng.normal(size=own.shape).astype(np.float32)
    return centres[original % len(centres)] + 0.8 * own + 0.15 * noise


def clean_stage(workspace: Workspace, config: WorkspaceConfig) -> dict[str, Any]:
    """Judge every picture and write the verdicts, as the step does after decoding."""
    registered = 0

    def register(pairs: Any) -> Any:
        nonlocal registered
        registered = len(pairs)
        return [NONE] * len(pairs)

    with workspace.open_catalog() as catalog:
        verdicts = verdicts_for(
            catalog.each(ImageFacts),
            lambda names: unpacked(stored_thumbs(catalog, names)),
            appearances(catalog, config.classes),
            config.clean,
            register,
        )
        catalog.replace_verdicts(STAGES, verdicts)
    dropped = sum(verdict.verdict == "drop" for verdict in verdicts)
    return {"verdicts": len(verdicts), "dropped": dropped, "to align": registered}


def neighbours_stage(workspace: Workspace, config: WorkspaceConfig) -> dict[str, Any]:
    """Search the nearest neighbours of every picture that has features."""
    store = latest_features(workspace)
    with workspace.open_catalog() as catalog:
        names = sorted({sha for sha, _ in catalog.kept()})
    pairs, recall = pairs_within(
        lambda rows: store.get([names[row] for row in rows.tolist()]),
        len(names),
        config.clean.near_neighbours,
        config.clean.near_cosine,
        workspace.cache,
    )
    return {"pictures": len(names), "pairs": len(pairs), "recall": round(recall, 4)}


def split_stage(workspace: Workspace, config: WorkspaceConfig) -> dict[str, Any]:
    """Split, as the step does."""
    return dict(split.run(workspace, config).by_reason)


def queries_stage(workspace: Workspace, config: WorkspaceConfig) -> dict[str, Any]:
    """Seconds of each query of the catalogue that steps and pages ask."""
    labels = list(config.classes)
    with workspace.open_catalog() as catalog:
        queries: dict[str, Callable[[], Any]] = {
            "class_progress": lambda: class_progress(catalog, labels),
            "urls_to_fetch": lambda: urls_to_fetch(catalog, labels, 20_000),
            "kept": catalog.kept,
            "files_to_examine": catalog.files_to_examine,
            "same_bytes_count": lambda: same_bytes_count(catalog),
            "download_counts": lambda: download_counts(catalog),
            "hits_per_label": catalog.hits_per_label,
        }
        return {name: _seconds(query) for name, query in queries.items()}


STAGES_MEASURED: dict[str, Callable[[Workspace, WorkspaceConfig], dict[str, Any]]] = {
    "clean": clean_stage,
    "queries": queries_stage,
    "neighbours": neighbours_stage,
    "split": split_stage,
}


def _seconds(query: Callable[[], Any]) -> float:
    began = time.perf_counter()
    query()
    return round(time.perf_counter() - began, 2)


def main() -> None:
    """Fill a workspace, measure each stage in a process of its own, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=1280, help="length of a feature vector")
    parser.add_argument("--place", type=Path, help="an empty folder for the made workspace; default: a temporary one")
    parser.add_argument("--stage", choices=["fill", *STAGES_MEASURED], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        began, spent = time.perf_counter(), time.process_time()
        workspace = Workspace(given.place)
        if given.stage == "fill":
            told: dict[str, Any] = {}
            fill(workspace, given.pictures, given.dim)
        else:
            told = STAGES_MEASURED[given.stage](workspace, config_of(given.pictures))
        cost = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent}
        print(json.dumps(cost | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "told": told}))
        return
    with tempfile.TemporaryDirectory(dir=given.place) as folder:
        print(f"{given.pictures:,} pictures, {given.dim} numbers each\nstage        seconds  CPU s  peak MB")
        for stage in ("fill", *STAGES_MEASURED):
            command = [sys.executable, "-m", "benchmarks.million", "--stage", stage, "--place", folder]
            command += ["--pictures", str(given.pictures), "--dim", str(given.dim)]
            got = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            said = ", ".join(f"{name} {value:,}" for name, value in got["told"].items())
            print(f"{stage:11} {got['seconds']:8.1f} {got['cpu']:6.1f} {got['peak_mb']:8.0f}  {said}", flush=True)


if __name__ == "__main__":
    main()
