"""Work that logs each execution of a shard, and ends its own process in the middle of some."""

from __future__ import annotations

import hashlib
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Killing:
    """Does a shard as `work` does, but writes a line into `log` before, and is killed with -9 after the first result.

    Attributes:
        work: does a shard.
        log: a folder; one file per execution.
        doomed: a part of the text of the shard that kills.
        times: how many of its executions are killed.
    """

    work: Callable[[Any], Iterable[Any]]
    log: Path
    doomed: str = "nothing"
    times: int = 1

    def __call__(self, shard: Any) -> Iterator[Any]:
        text = str(shard)
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        earlier = len(list(self.log.glob(f"{name}-*")))
        (self.log / f"{name}-{uuid.uuid4().hex}").write_text(text)
        kills = self.doomed in text and earlier < self.times
        for result in self.work(shard):
            yield result
            if kills:
                os.kill(os.getpid(), signal.SIGKILL)
        if kills:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Waiting:
    """Does the first shard as `work` does; each other one waits first, so that its flow can be interrupted.

    Attributes:
        work: does a shard.
        go: a file that ends the waiting once it is there.
    """

    work: Callable[[Any], Iterable[Any]]
    go: Path

    def __call__(self, shard: Any) -> Iterator[Any]:
        try:
            self.go.with_suffix(".first").touch(exist_ok=False)
        except FileExistsError:
            deadline = time.monotonic() + 300
            while not self.go.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
        yield from self.work(shard)


def executions(log: Path) -> Counter[str]:
    """How often each shard was begun, by its text."""
    return Counter(file.read_text() for file in log.iterdir())


class Logged:
    """A spread whose work is `Killing`.

    Args:
        spread: does the shards.
        log: folder of the log.
        kill: name of the work in which a shard kills: the first one that is handed out.
        times: how many of its executions are killed.
    """

    alone = False

    def __init__(self, spread: Any, log: Path, kill: str = "", times: int = 1) -> None:
        self._spread, self._log, self._kill, self._times = spread, log, kill, times
        self.doomed = ""
        log.mkdir(parents=True, exist_ok=True)
        self.shard_size, self.processes, self.share = spread.shard_size, spread.processes, spread.share

    def run(self, work: Any, lanes: Iterable[Iterable[Any]], *, name: str, gpus: float = 0) -> Iterator[Any]:
        listed = iter(lanes)
        doomed = "nothing"
        if name == self._kill and not self.doomed and (lane := next(listed, None)) is not None:
            shards = iter(lane)
            first = next(shards)
            self.doomed = doomed = str(first)
            listed = _before((first,), shards, listed)
        yield from self._spread.run(Killing(work, self._log, doomed, self._times), listed, name=name, gpus=gpus)


def _before(first: Iterable[Any], rest: Iterator[Any], lanes: Iterator[Iterable[Any]]) -> Iterator[Iterable[Any]]:
    def lane() -> Iterator[Any]:
        yield from first
        yield from rest

    yield lane()
    yield from lanes
