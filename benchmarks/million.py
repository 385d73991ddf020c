"""Seconds and peak memory of what grows with a collection: cleaning, the catalogue's queries, neighbours, split.

    python -m benchmarks.million [--pictures 1000,1000000] [--dim 1280] [--place DIR] [--drawn]

Makes, for each number of pictures, a workspace in a folder that is deleted afterwards: a class for every 10,000, a copy
planted for one in ten, URLs that wait, features. Then it takes the figures, each stage in a process of its own. The
pictures are empty files and hashes as skewed as those of photographs, and `clean` is what the step does after decoding,
at the default limits, with the mirrored hashes and without aligning pairs of pictures. With --drawn they are small
JPEGs, which `clean` decodes too. The features are made up: random ones around a centre for every 500 pictures.
`neighbours` is the search of `curate` for edited copies, `split` the whole step. Below `queries` each query of the
catalogue has its own line: the least of some runs where one is short, and rows/s for those that read a row for every
picture. A million needs 15 GB of disk, of which 10 GB are features: --dim 320 needs a quarter of those.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.support.large_workspace import config_of, fill
from benchmarks.support.process_tree import measure
from preprocessing import clean, split
from preprocessing.duplicates.fingerprint import unpacked
from preprocessing.duplicates.registration import NONE
from preprocessing.neighbours import pairs_within
from preprocessing.verdicts import STAGES, verdicts_for
from workspace.catalog import counts
from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import class_progress, urls_to_fetch
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.records import ImageFacts
from workspace.config.model import WorkspaceConfig
from workspace.storage.arrays import latest_features
from workspace.storage.paths import Workspace

_REPEAT_BELOW_S, _RUNS = 0.5, 5

Told = Mapping[str, Any]


def clean_stage(workspace: Workspace, config: WorkspaceConfig) -> Told:
    """Run the step, decoding included."""
    return clean.run(workspace, config).by_reason


def judge_stage(workspace: Workspace, config: WorkspaceConfig) -> Told:
    """Judge every picture and write the verdicts, as `clean` does after decoding."""
    registered = 0

    def register(pairs: Any) -> Any:
        nonlocal registered
        registered = len(pairs)
        return [NONE] * len(pairs)

    with workspace.open_catalog() as catalog:
        verdicts = verdicts_for(
            catalog.each(ImageFacts),
            lambda names: unpacked(counts.stored_thumbs(catalog, names)),
            counts.appearances(catalog, config.classes),
            config.clean,
            register,
        )
        catalog.replace_verdicts(STAGES, verdicts)
    dropped = sum(verdict.verdict == "drop" for verdict in verdicts)
    return {"verdicts": len(verdicts), "dropped": dropped, "to align": registered}


def neighbours_stage(workspace: Workspace, config: WorkspaceConfig) -> Told:
    """Search the nearest neighbours of every kept picture."""
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


def split_stage(workspace: Workspace, config: WorkspaceConfig) -> Told:
    """Run the step."""
    return split.run(workspace, config).by_reason


def queries_stage(workspace: Workspace, config: WorkspaceConfig) -> Told:
    """Time the queries of the catalogue that steps and pages ask: {name: (seconds, CPU seconds, rows)}."""
    with workspace.open_catalog() as catalog:
        return {name: _timed(query) for name, query in queries(catalog, list(config.classes)).items()}


def queries(catalog: Catalog, labels: list[str]) -> dict[str, Callable[[], Iterable[Any] | int]]:
    """Name the queries; those that give a row for every picture come last."""
    return {
        "class_progress": lambda: class_progress(catalog, labels),
        "urls_to_fetch": lambda: urls_to_fetch(catalog, labels, 20_000),
        "hits_per_label": catalog.hits_per_label,
        "download_counts": lambda: counts.download_counts(catalog),
        "same_bytes_count": lambda: counts.same_bytes_count(catalog),
        "files_to_examine": catalog.files_to_examine,
        "kept": catalog.kept,
        "sizes": lambda: counts.sizes(catalog),
        "best_ranks": lambda: counts.best_ranks(catalog),
        "licensed_files": lambda: counts.licensed_files(catalog),
        "creators": lambda: counts.creators(catalog),
        "appearances": lambda: counts.appearances(catalog),
        "collection_stats": lambda: read_collection_stats(catalog, labels).dropped,
    }


def _timed(query: Callable[[], Iterable[Any] | int]) -> tuple[float, float, int]:
    runs: list[tuple[float, float, int]] = []
    while not runs or (len(runs) < _RUNS and sum(seconds for seconds, _, _ in runs) < _REPEAT_BELOW_S):
        began, spent = time.perf_counter(), time.process_time()
        found = query()
        rows = 0
        if isinstance(found, collections.abc.Iterator):
            rows = sum(1 for _ in found)
        elif isinstance(found, collections.abc.Sized):
            rows = len(found)
        runs.append((time.perf_counter() - began, time.process_time() - spent, rows))
    return min(runs, key=lambda run: run[1])


STAGE_FUNCTIONS: dict[str, Callable[[Workspace, WorkspaceConfig], Told]] = {
    "clean": judge_stage,
    "queries": queries_stage,
    "neighbours": neighbours_stage,
    "split": split_stage,
}


def run_stage(stage: str, place: Path, count: int, dim: int, drawn: bool) -> dict[str, Any]:
    """Run one stage in this process: its seconds, CPU seconds, and what it told."""
    workspace, config = Workspace(place), config_of(count)
    began, spent = time.perf_counter(), sum(os.times()[:4])  # with the processes that decode
    told: Told = {}
    if stage == "fill":
        fill(workspace, count, dim, drawn=drawn)
    else:
        function = clean_stage if drawn and stage == "clean" else STAGE_FUNCTIONS[stage]
        told = function(workspace, config)
    return {"seconds": time.perf_counter() - began, "cpu_s": sum(os.times()[:4]) - spent, "told": told}


def measured(stage: str, place: Path, count: int, dim: int, drawn: bool) -> str:
    """Run one stage in a process of its own: its line, and one for each query."""
    command = [sys.executable, "-m", "benchmarks.million", "--stage", stage, "--place", str(place)]
    command += ["--pictures", str(count), "--dim", str(dim), *(["--drawn"] if drawn else [])]
    cost = measure(command)
    got = json.loads(cost.output.splitlines()[-1])
    told, lines = got["told"], []
    if stage == "queries":
        for name, (seconds, cpu, rows) in told.items():
            lines.append(f"  {name:16} {count:9,} {seconds:9.3f} {cpu:8.3f} {'':8}  {rows:,} rows")
        told = {}
    said = ", ".join(f"{name} {value:,}" for name, value in told.items())
    line = f"{stage:18} {count:9,} {got['seconds']:9.1f} {got['cpu_s']:8.1f} {cost.memory_mb:8.0f}  {said}"
    return "\n".join([line.rstrip(), *lines])


def main() -> None:
    """Fill a workspace for each number of pictures, measure each stage, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", default="1000,10000", help="comma-separated")
    parser.add_argument("--dim", type=int, default=1280, help="length of a feature vector")
    parser.add_argument(
        "--place", type=Path, help="a folder with room for the made workspace; default: a temporary one"
    )
    parser.add_argument("--drawn", action="store_true", help="real files, which clean decodes")
    parser.add_argument("--stage", choices=["fill", *STAGE_FUNCTIONS], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        print(json.dumps(run_stage(given.stage, given.place, int(given.pictures), given.dim, given.drawn)))
        return
    print(f"{given.dim} features each\nstage               pictures   seconds    CPU s  peak MB", flush=True)
    for count in map(int, given.pictures.split(",")):
        with tempfile.TemporaryDirectory(dir=given.place) as folder:
            for stage in ("fill", *STAGE_FUNCTIONS):
                print(measured(stage, Path(folder), count, given.dim, given.drawn), flush=True)


if __name__ == "__main__":
    main()
