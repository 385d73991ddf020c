"""How fast pictures are fetched, beside icrawler 0.6.10 and img2dataset 1.47.0, at 32 connections.

    python -m benchmarks.collect [--urls 2000] [--repeats 3] [--only this_project,raw]
    python -m benchmarks.collect --memory 1000,100000

The first serves photo-like JPEGs from a process on loopback, each answer 20 ms late, and lets every collector fetch the
same list into an empty folder, in turns; medians over the turns. "images/s" runs from the call to the last file,
"whole run" is the process from start to exit with its imports. CPU seconds and peak memory are those of the whole
process tree. `raw` keeps nothing: it shows what the server can give.

The second fetches tiny pictures with this project alone, and shows whether memory grows with the number of urls.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.support.peers import CHECKOUT, peer_python
from benchmarks.support.process_tree import Cost, measure

CONNECTIONS = 32
_SCRIPT = CHECKOUT / "benchmarks" / "support" / "collect_clients.py"
_PEERS = {"icrawler": "icrawler==0.6.10", "img2dataset": "img2dataset==1.47.0"}
NAMES = ("this_project", *_PEERS, "raw")


@contextmanager
def photo_server(*options: str) -> Iterator[str]:
    """The server of benchmarks/support/photo_server.py while the block runs; gives its base address."""
    command = [sys.executable, "-m", "benchmarks.support.photo_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


def fetch_all(name: str, base_url: str, count: int) -> tuple[dict[str, float], Cost]:
    """Let one collector fetch /0.jpg to /<count - 1>.jpg into an empty folder: what it says, and what it cost."""
    python = peer_python(name, _PEERS[name]) if name in _PEERS else Path(sys.executable)
    env = os.environ | ({"PYTHONPATH": ""} if name in _PEERS else {"PYTHONPATH": str(CHECKOUT)})
    with tempfile.TemporaryDirectory() as folder:
        urls = Path(folder) / "urls.txt"
        urls.write_text("\n".join(f"{base_url}/{n}.jpg" for n in range(count)) + "\n")
        cost = measure([python, _SCRIPT, name, urls, Path(folder) / "out", str(CONNECTIONS)], env)
    said: dict[str, float] = json.loads(cost.output.splitlines()[-1])
    return said, cost


def compare(names: tuple[str, ...], count: int, repeats: int) -> None:
    """Print the table of all collectors, in turns, medians."""
    results: dict[str, list[tuple[dict[str, float], Cost]]] = {name: [] for name in names}
    with photo_server("--delay-ms", "20") as base_url:
        for _ in range(repeats):
            for name in names:
                results[name].append(fetch_all(name, base_url, count))
    print(f"{count} photographs, {CONNECTIONS} connections, 20 ms delay, medians of {repeats}")
    print(f"{'collector':14} {'images/s':>9} {'whole run s':>12} {'CPU s':>7} {'peak MB':>8} {'files':>6} {'MB':>6}")
    for name, runs in results.items():
        files = statistics.median(said["files"] for said, _ in runs)
        print(
            f"{name:14} {statistics.median(said['files'] / said['seconds'] for said, _ in runs):9.0f}"
            f" {statistics.median(cost.seconds for _, cost in runs):12.1f}"
            f" {statistics.median(cost.cpu_s for _, cost in runs):7.1f}"
            f" {statistics.median(cost.memory_mb for _, cost in runs):8.0f}"
            f" {files:6.0f} {statistics.median(said['bytes'] for said, _ in runs) / 1e6:6.0f}"
        )


def memory(counts: list[int]) -> None:
    """Print this project's peak memory by the number of urls."""
    print(f"{'urls':>8} {'images/s':>9} {'peak MB':>8}")
    with photo_server("--delay-ms", "0", "--tiny") as base_url:
        for count in counts:
            said, cost = fetch_all("this_project", base_url, count)
            print(f"{count:8} {said['files'] / said['seconds']:9.0f} {cost.memory_mb:8.0f}", flush=True)


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--memory", default="", help="numbers of urls, such as 1000,100000")
    options = parser.parse_args()
    if options.memory:
        memory([int(count) for count in options.memory.split(",")])
    else:
        compare(tuple(options.only.split(",")), options.urls, options.repeats)


if __name__ == "__main__":
    main()
