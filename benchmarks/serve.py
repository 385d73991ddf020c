"""Requests per second and latency of `serve --api`, beside a loop of its own over the same network and decoding.

    python -m benchmarks.serve --model data/pandas/runs/ID/model --photos photos/bears

The same photographs are answered on the same cores in turns: by a bare loop of one process that decodes and runs the
network (torch; and onnxruntime where `--onnx` names the model's export), and by services with a number of clients on
loopback, each in a thread. Every loop is started once and warm; they take turns every few photographs, so that other
work on the machine falls on all of them. CPU time counts this process, its clients included, and the decoders; unlike
answers per second it hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
import requests

from pages.api.serve import ServiceSettings, served_api
from preprocessing.images.decode import decode, decode_small
from training.inference.classifier import Classifier
from workspace.config.clean import CleanConfig
from workspace.config.operate import ServeConfig, ServiceConfig
from workspace.image_files import list_images

BARE = "bare loop, torch"

Answer = Callable[[bytes], object]
Loop = Callable[[Sequence[bytes]], list[float]]


@dataclass(slots=True)
class Timing:
    """Seconds and CPU seconds of each turn, answers of all, and the seconds of each answer."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    answers: int = 0
    seconds: list[float] = field(default_factory=list)

    def per_second(self) -> float:
        """Answers per second in all turns together."""
        return self.answers / sum(self.wall_s)

    def line(self, name: str, bare: Timing) -> str:
        """Format a row: answers/s and their ratio to the bare loop, p50 and p95 in ms, CPU ms of an answer."""
        p50, p95 = (1000 * float(np.quantile(self.seconds, q)) for q in (0.5, 0.95))
        rate, cpu_ms = self.per_second(), 1000 * self.cpu_s / self.answers
        return f"| {name} | {rate:.1f} | {rate / bare.per_second():.2f} | {p50:.0f} | {p95:.0f} | {cpu_ms:.0f} |"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--onnx", type=Path, help="the same model as `export --to onnx` wrote it")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--turn", type=int, default=32, help="photographs that each loop answers in a turn")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16], help="values of serve.batch")
    asked = parser.parse_args()
    photos = [file.path.read_bytes() for file in list_images(asked.photos).files][: asked.turn]
    with ExitStack() as running:
        loops: dict[str, Loop] = {BARE: partial(_in_turn, _bare(Classifier.load(asked.model, "cpu")))}
        if asked.onnx:
            loops["bare loop, onnxruntime"] = partial(_in_turn, _onnx(asked.onnx))
        for batch in asked.batch:
            for clients in asked.clients:
                ask = _service(running, asked.model, batch, clients)
                pool = running.enter_context(ThreadPoolExecutor(clients))
                loops[f"service, batches of {batch}, {clients} clients"] = partial(_at_once, ask, pool)
        timings = {name: Timing() for name in loops}
        for turn in range(asked.turns + 1):
            for name, loop in loops.items():
                _measure(loop, photos, timings[name] if turn else Timing())  # the first turn warms up
    print("| loop | answers/s | of the bare loop | p50 ms | p95 ms | CPU ms |\n|---|---:|---:|---:|---:|---:|")
    for name, timing in timings.items():
        print(timing.line(name, timings[BARE]))


def _measure(loop: Loop, photos: Sequence[bytes], timing: Timing) -> None:
    began, cpu = time.perf_counter(), _cpu_s()
    timing.seconds += loop(photos)
    timing.wall_s.append(time.perf_counter() - began)
    timing.cpu_s += _cpu_s() - cpu
    timing.answers += len(photos)


def _cpu_s() -> float:
    """Read the CPU time of this process and of all below it, in seconds."""
    total, this = 0.0, psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _in_turn(answer: Answer, photos: Sequence[bytes]) -> list[float]:
    return [_seconds(answer, data) for data in photos]


def _at_once(answer: Answer, pool: ThreadPoolExecutor, photos: Sequence[bytes]) -> list[float]:
    return list(pool.map(partial(_seconds, answer), photos))


def _seconds(answer: Answer, data: bytes) -> float:
    start = time.perf_counter()
    answer(data)
    return time.perf_counter() - start


def _bare(classifier: Classifier) -> Answer:
    """Decode and answer a photograph in this process, as an unprotected script does."""
    clean = CleanConfig()
    return lambda data: classifier.probabilities([decode_small(data, clean)[1]])


def _onnx(file: Path) -> Answer:
    session = onnxruntime.InferenceSession(str(file))
    return lambda data: session.run(["probabilities"], {"pictures": decode(data, max_megapixels=50).pixels[None]})


def _service(running: ExitStack, model: Path, batch: int, clients: int) -> Answer:
    config = ServiceConfig(ServeConfig(batch=batch, concurrency=max(32, clients)))
    url = running.enter_context(served_api(ServiceSettings(lambda: model, config, device="cpu")))
    local = threading.local()

    def ask(data: bytes) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        local.session.post(f"{url}/classify", data=data, timeout=120).raise_for_status()

    return ask


if __name__ == "__main__":
    main()
