"""What a cluster costs and gives: the overhead of a shard, and 2 workers of one core against 1.

    python -m benchmarks.cluster [--pictures 600] [--featured 300]

On Ray nodes of this machine, which it starts and ends; so this says what the seam costs, not what a network does.
Decoding and hashing are the clean step's, of photo-like JPEGs of 1,024 x 768; features are those of an untrained
efficientnet_lite0. The first shards, in which workers start and load the network, are not timed.
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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.support.photo_server import numbered, photo
from benchmarks.support.ray_nodes import missing, temporary_nodes
from flows.cluster.spread import spread_for
from preprocessing.extract_facts import ExamineShard, examine_shard
from workspace.config.cluster import ClusterConfig
from workspace.config.model import WorkspaceConfig
from workspace.spread.shards import HERE, Spread, divide, side_by_side
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

NOTHING, SHARD = 300, 50  # shards without work; pictures of the others


def no_work(shard: int) -> list[int]:
    """Do nothing with a shard."""
    return [shard]


def put_pictures(workspace: Workspace, count: int) -> list[str]:
    """Store photo-like JPEGs; returns their sha256."""
    photos, store, names = [photo(seed) for seed in range(32)], ImageStore(workspace), []
    for number in range(count):
        data = numbered(photos[number % len(photos)], number)
        names.append(hashlib.sha256(data).hexdigest())
        store.put(names[-1], ".jpg", data, durable=False)
    return names


def timed(spread: Spread, work: Callable[[Any], Iterable[Any]], shards: list[Any], warm: list[Any]) -> float:
    """Do shards, after others that are not timed; returns the seconds."""
    for _ in spread.run(work, side_by_side(warm), name="warm"):
        pass
    began = time.perf_counter()
    for _ in spread.run(work, side_by_side(shards), name="timed"):
        pass
    return time.perf_counter() - began


def measure(spread: Spread, pictures: int, featured: int) -> dict[str, float]:
    """Measure where shards are done: ms per empty shard, and seconds of decoding and of features."""
    from training.network.backbone import load_backbone
    from training.network.device import choose_device
    from training.network.features import Extractor, FeatureShard, extract_shard

    config = WorkspaceConfig.model_validate(
        {
            "classes": {"a": "a", "b": "b"},
            "clean": {"workers": 1},
            "train": {"backbone": "efficientnet_lite0", "weights": "random", "device": "cpu"},
        }
    )
    found = {"ms per shard": timed(spread, no_work, list(range(NOTHING)), [0, 1]) / NOTHING * 1000}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        names = put_pictures(workspace, pictures + 4)

        def examined(some: list[str]) -> Iterator[ExamineShard]:
            return (ExamineShard(part, workspace, config.clean) for part in divide(some, SHARD))

        warm = [ExamineShard([name], workspace, config.clean) for name in names[:4]]
        found["decode s"] = timed(spread, examine_shard, list(examined(names[4:])), warm)
        backbone, _ = load_backbone(config.train, config.seed)
        name = Extractor(workspace, config, backbone, choose_device("cpu")).name
        shards = [FeatureShard(part, workspace, config, name) for part in divide(names[4 : featured + 4], SHARD)]
        warm_up = [FeatureShard([sha], workspace, config, name) for sha in names[4:8]]
        found["features s"] = timed(spread, extract_shard, shards, warm_up)
    return found


def main() -> None:
    """Measure here, with one worker and with two, each in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--featured", type=int, default=300)
    parser.add_argument("--nodes", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if why := missing():
        raise SystemExit(why)
    if options.nodes is not None:
        if not options.nodes:
            print(json.dumps(measure(HERE, options.pictures, options.featured)))
            return
        with temporary_nodes(options.nodes) as address:
            spread = spread_for(ClusterConfig(engine="ray", address=address))
            print(json.dumps(measure(spread, options.pictures, options.featured)))
        return
    results = []
    for nodes in (0, 1, 2):
        command = [sys.executable, "-m", "benchmarks.cluster", "--nodes", str(nodes)]
        command += ["--pictures", str(options.pictures), "--featured", str(options.featured)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        results.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'':<14}{'here, 1 core':>14}{'1 worker':>12}{'2 workers':>12}{'ratio':>8}")
    for name in results[0]:
        here, one, two = (result[name] for result in results)
        ratio = "" if name.startswith("ms") else f"{one / two:.2f}"
        print(f"{name:<14}{here:>14.2f}{one:>12.2f}{two:>12.2f}{ratio:>8}")


if __name__ == "__main__":
    main()
