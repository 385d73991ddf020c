"""SQLite and PostgreSQL side by side: writing a catalogue of so many pictures, and asking it what steps and pages ask.

    python -m benchmarks.catalogues [--pictures 1000000] [--place DIR]

Each picture has a hit, a download, facts and two verdicts; a class for every 10,000. PostgreSQL is a server of its own
with the settings that it is installed with, on a free port, and is deleted afterwards; it needs the Debian package
`postgresql` and the extra `postgres`. Each database is measured in a process of its own. A million needs 11 GB of disk
and half an hour; 10,000, the default, a quarter of a minute.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.postgresql import temporary_server
from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import class_progress, urls_to_fetch
from workspace.catalog.counts import appearances, same_bytes_count, stored_thumbs
from workspace.catalog.records import Download, Hit, ImageFacts, Verdict

_ROWS = 1000
_FETCHED = 64  # rows of a transaction of `download`
_FEW = 20_000  # of them: a million such transactions would measure the disk's waiting alone
_ADDRESS = "BENCHMARK_CATALOG"


def measure(catalog: Catalog, count: int) -> dict[str, tuple[float, float]]:
    """Write and ask; return seconds and this process's CPU seconds by what was done."""
    names = [np.random.default_rng(row).bytes(32).hex() for row in range(count)]
    labels = [f"class{number:03}" for number in range(max(2, count // 10_000))]
    verdicts = [
        Verdict(sha, labels[row % len(labels)], stage, "keep")
        for stage in ("check", "copy")
        for row, sha in enumerate(names)
    ]
    rows, download = range(count), functools.partial(_download, names=names)
    work: dict[str, Callable[[], Any]] = {
        "add_hits, by 1,000": lambda: _each(catalog.add_new, (_hit(row, labels) for row in range(count)), _ROWS),
        "put 20,000 downloads, by 64": lambda: _each(catalog.put, map(download, rows[:_FEW]), _FETCHED),
        "put the others, by 1,000": lambda: _each(catalog.put, map(download, rows[_FEW:]), _ROWS),
        "put images, by 1,000": lambda: _each(catalog.put, (_facts(row, names) for row in range(count)), _ROWS),
        "replace_verdicts, first": lambda: catalog.replace_verdicts(("check", "copy"), verdicts),
        "replace_verdicts, again": lambda: catalog.replace_verdicts(("check", "copy"), verdicts),
        "class_progress": lambda: class_progress(catalog, labels),
        "urls_to_fetch": lambda: urls_to_fetch(catalog, labels, 20_000),
        "kept": catalog.kept,
        "files_to_examine": catalog.files_to_examine,
        "same_bytes_count": lambda: same_bytes_count(catalog),
        "appearances": lambda: Counter(sha for sha, _ in appearances(catalog)),
        "each(ImageFacts)": lambda: sum(1 for _ in catalog.each(ImageFacts)),
        "stored_thumbs of 10,000": lambda: stored_thumbs(catalog, names[:10_000]),
    }
    told = {}
    for name, do in work.items():
        began, spent = time.perf_counter(), time.process_time()
        do()
        told[name] = time.perf_counter() - began, time.process_time() - spent
        print(f"{catalog.engine.dialect.name}: {name} {told[name][0]:.1f} s", file=sys.stderr, flush=True)
    return told


def _each(write: Callable[[list[Any]], None], rows: Iterator[Any], at_a_time: int) -> None:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == at_a_time:
            write(batch)
            batch = []
    if batch:
        write(batch)


def _url(row: int) -> str:
    return f"https://images{row % 50}.example.org/picture/{row:09}/large-original-file.jpg"


def _hit(row: int, labels: list[str]) -> Hit:
    return Hit(
        labels[row % len(labels)], "word", f"source{row % 5}", row // len(labels), _url(row),
        page_url=f"https://www.example.org/photos/{row:09}", title=f"A picture with a title, number {row}",
        creator=f"creator {row // 3}", license="by", width=640, height=480, found_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def _download(row: int, names: list[str]) -> Download:
    return Download(_url(row), "ok", bytes=20_000, sha256=names[row], http_status=200, final_url=_url(row))


def _facts(row: int, names: list[str]) -> ImageFacts:
    return ImageFacts(
        brightness=0.5, contrast=0.2, entropy=7.0, sharpness=0.02, highlights=0.9, shadows=0.1, sha256=names[row],
        format="JPEG", mode="RGB", width=640, height=480, bytes=20_000, pixel_digest=names[row][::-1],
        phash=names[row][:16], dhash=names[row][16:32], phash_mirror=names[row][32:48], dhash_mirror=names[row][48:],
        thumb=names[row] * 32,
    )  # fmt: skip


@contextmanager
def _locations(place: Path) -> Iterator[dict[str, str]]:
    with temporary_server(settings=()) as address:
        yield {"SQLite": str(place / "catalog.sqlite"), "PostgreSQL": address}


def _measured(location: str, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.catalogues", "--measure", "--pictures", str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {_ADDRESS: location})
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> None:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--place", type=Path, help="folder for SQLite's file; default: a temporary one")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        location = os.environ[_ADDRESS]
        with Catalog(location if "://" in location else Path(location)) as catalog:
            told = measure(catalog, given.pictures)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"told": told, "peak_mb": peak}))
        return
    with tempfile.TemporaryDirectory(dir=given.place) as folder, _locations(Path(folder)) as locations:
        got = {name: _measured(location, given.pictures) for name, location in locations.items()}
    print(f"| seconds (this process's CPU), {given.pictures:,} pictures | {' | '.join(got)} |\n|---|---:|---:|")
    for what in next(iter(got.values()))["told"]:
        cells = [f"{seconds:.1f} ({cpu:.1f})" for seconds, cpu in (each["told"][what] for each in got.values())]
        print(f"| {what} | {' | '.join(cells)} |")
    peaks = [f"{each['peak_mb']:,.0f}" for each in got.values()]
    print(f"| peak memory, MB | {' | '.join(peaks)} |")


if __name__ == "__main__":
    main()
