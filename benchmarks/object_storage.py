"""Storing and fetching pictures: the workspace's folder against object storage, wall and CPU time per picture.

    python -m benchmarks.object_storage [--place s3://bucket/prefix] [--pictures 400]

Without --place it asks moto's server on this machine, which answers slower than a real S3 and without its distance.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.support.object_storage import BUCKET, temporary_storage
from workspace.config.storage import StorageConfig
from workspace.files.objects import CONNECTIONS, each
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

PICTURE_BYTES = 130_000


def main() -> None:
    """Measure both places, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--place", default="")
    parser.add_argument("--pictures", type=int, default=400)
    given = parser.parse_args()
    pictures = [secrets.token_bytes(PICTURE_BYTES) for _ in range(given.pictures)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not given.place:
            os.environ.update(stack.enter_context(temporary_storage()))
        place = f"{given.place or f's3://{BUCKET}'}/benchmark-{secrets.token_hex(4)}"
        print(f"{given.pictures} pictures of {PICTURE_BYTES / 1000:.0f} kB, {CONNECTIONS} at a time; ms per picture")
        print("| place | put | CPU | get | CPU |\n|---|---:|---:|---:|---:|")
        for name, storage in (("folder", StorageConfig()), (place, StorageConfig(files=place))):
            _measure(name, ImageStore(Workspace(folder, storage)), pictures)


def _measure(name: str, store: ImageStore, pictures: list[bytes]) -> None:
    named = [(hashlib.sha256(data).hexdigest(), data) for data in pictures]
    put = _timed(lambda: each(lambda one: store.put(one[0], ".jpg", one[1], durable=False), named))

    def fetch() -> None:
        for portion in store.portions([sha for sha, _ in named]):
            assert all(file.read_bytes() for _, file in portion)

    get = _timed(fetch)
    for sha, _ in named:
        store.delete(sha)
    print(f"| {name} | " + " | ".join(f"{1000 * seconds / len(pictures):.2f}" for seconds in (*put, *get)) + " |")


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
