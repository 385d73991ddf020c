"""Requests per second and latency of `serve --api`, beside a loop of its own over the same network and decoding.

    python -m benchmarks.serve --model data/pandas/runs/ID/model --photos photos/bears

The same photographs are answered on the same cores in turns: by a bare loop of one process that decodes and runs the
network (torch; and onnxruntime where `--onnx` names the model's export), by `predict` (worker processes and batches,
without HTTP), and by the service with a number of clients on loopback, each in a thread. The rounds alternate, so that
other work on the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import requests

from pages.api.serve import ServiceSettings, served_api
from preprocessing.images.decode import decode, decode_small
from training.inference.classifier import Classifier, ImageInput, predict
from workspace.config.clean import CleanConfig
from workspace.config.operate import ServeConfig, ServiceConfig
from workspace.image_files import list_images

BARE = "bare loop, torch"
_WARM_UP = 16


@dataclass(slots=True)
class Timing:
    """Answers per second of each round, and the seconds of each request."""

    per_second: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def line(self, name: str, bare: float) -> str:
        """Format a row: answers/s (median of the rounds), its ratio to the bare loop, p50 and p95 in ms."""
        rate = statistics.median(self.per_second)
        p50, p95 = (1000 * float(np.quantile(self.seconds, q)) for q in (0.5, 0.95))
        spread = f"{min(self.per_second):.1f} to {max(self.per_second):.1f}"
        return f"| {name} | {rate:.1f} | {spread} | {rate / bare:.2f} | {p50:.0f} | {p95:.0f} |"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--onnx", type=Path, help="the same model as `export --to onnx` wrote it")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--requests", type=int, default=200, help="per round and loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16], help="values of serve.batch")
    asked = parser.parse_args()
    files = [file.path.read_bytes() for file in list_images(asked.photos).files][:100]
    photos = [files[number % len(files)] for number in range(asked.requests)]
    classifier = Classifier.load(asked.model, "cpu")
    loops: dict[str, Callable[[Timing], None]] = {
        BARE: partial(_bare, classifier, photos),
        "`predict`: workers, batches of 32": partial(_predicted, classifier, photos),
    }
    if asked.onnx:
        loops["bare loop, onnxruntime"] = partial(_onnx, asked.onnx, photos)
    for batch in asked.batch:
        for clients in asked.clients:
            loops[f"service, batch {batch}, {clients} clients"] = partial(_served, asked.model, batch, clients, photos)
    timings = {name: Timing() for name in loops}
    for _ in range(asked.rounds):
        for name, loop in loops.items():
            loop(timings[name])
    bare = statistics.median(timings[BARE].per_second)
    print("| loop | answers/s | rounds | of the bare loop | p50 ms | p95 ms |\n|---|---:|---|---:|---:|---:|")
    for name, timing in timings.items():
        print(timing.line(name, bare))


def _bare(classifier: Classifier, photos: Sequence[bytes], timing: Timing) -> None:
    """Decode and answer one photograph after the other in this process, as an unprotected script does."""
    clean = CleanConfig()
    _timed(lambda data: classifier.probabilities([decode_small(data, clean)[1]]), photos, timing)


def _onnx(file: Path, photos: Sequence[bytes], timing: Timing) -> None:
    session = onnxruntime.InferenceSession(str(file))

    def answer(data: bytes) -> object:
        return session.run(["probabilities"], {"pictures": decode(data, max_megapixels=50).pixels[None]})

    _timed(answer, photos, timing)


def _timed(answer: Callable[[bytes], object], photos: Sequence[bytes], timing: Timing) -> None:
    began = time.perf_counter()
    for data in photos:
        start = time.perf_counter()
        answer(data)
        timing.seconds.append(time.perf_counter() - start)
    timing.per_second.append(len(photos) / (time.perf_counter() - began))


def _predicted(classifier: Classifier, photos: Sequence[bytes], timing: Timing) -> None:
    list(predict(classifier, [ImageInput("", lambda: photos[0])]))  # the workers have started
    began = start = time.perf_counter()
    for _ in predict(classifier, (ImageInput("", partial(bytes, data)) for data in photos)):
        now = time.perf_counter()
        timing.seconds.append(now - start)
        start = now
    timing.per_second.append(len(photos) / (time.perf_counter() - began))


def _served(model: Path, batch: int, clients: int, photos: Sequence[bytes], timing: Timing) -> None:
    config = ServiceConfig(ServeConfig(batch=batch, concurrency=max(32, clients)))
    local = threading.local()

    def ask(data: bytes) -> float:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        start = time.perf_counter()
        local.session.post(f"{url}/classify", data=data, timeout=60).raise_for_status()
        return time.perf_counter() - start

    settings = ServiceSettings(lambda: model, config, device="cpu")
    with served_api(settings) as url, ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, photos[:_WARM_UP]))
        began = time.perf_counter()
        timing.seconds += pool.map(ask, photos)
        timing.per_second.append(len(photos) / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
