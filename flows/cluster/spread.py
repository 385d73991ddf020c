"""Spread shards over an engine: a bounded window, lanes in order, lost shards again, and what is given up by name."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

from flows.cluster.engine import Done, Engine, Handle, ShardTask, WorkerLost, placed
from workspace.config.cluster import ClusterConfig
from workspace.errors import ClusterError, ShardLost
from workspace.spread.shards import HERE, Shared, Spread

Shard = TypeVar("Shard")
Result = TypeVar("Result")
Value = TypeVar("Value")

_LOG = logging.getLogger("collect_and_train.cluster")

TRIES = 3
"""Processes that may end over a shard before it is given up: a machine may also be lost for reasons of its own."""

_POLL_S = 1.0
_PATIENCE_S = 120.0  # a cluster without a single core may be about to get machines


class ShardRuns(Protocol):
    """Shows shards to people as they are handed out and end."""

    def began(self, name: str, shard: str) -> Any:
        """Show a shard that was handed out; what is returned stands for it."""

    def ended(self, shown: Any, lost: str = "") -> None:
        """Show the end of a shard; `lost`: why it was given up."""


class Unseen:
    """Shows nothing."""

    def began(self, name: str, shard: str) -> Any:
        """Do nothing."""

    def ended(self, shown: Any, lost: str = "") -> None:
        """Do nothing."""


UNSEEN: ShardRuns = Unseen()


def spread_for(config: ClusterConfig, runs: ShardRuns = UNSEEN) -> Spread:
    """Return where the settings want shards to be done; a cluster is checked when it is first asked for.

    Raises:
        ClusterError: the engine is not installed, does not answer, or its machines have other versions of the code.
    """
    return EngineSpread(_connect(config.engine, config.address), config, runs) if config.engine else HERE


@cache
def _connect(engine: str, address: str) -> Engine:
    """Connect this process to a cluster, once."""
    if engine == "ray":
        from flows.cluster.ray_engine import RayEngine

        return RayEngine(address)
    from flows.cluster.dask_engine import DaskEngine

    return DaskEngine(address)


@dataclass(eq=False, slots=True)
class _Job:
    """A shard that was handed out, and the lane that it is from."""

    shard: Any
    lane: Iterator[Any]
    shown: Any
    tries: int = 1


class EngineSpread:
    """Does shards on the machines of a cluster; see workspace.spread.shards.Spread.

    Args:
        engine: runs them.
        config: sizes and numbers.
        runs: shows them.
    """

    alone = False

    def __init__(self, engine: Engine, config: ClusterConfig, runs: ShardRuns = UNSEEN) -> None:
        self._engine, self._config, self._runs = engine, config, runs

    def shard_size(self, weight: float = 1.0) -> int:
        """Choose as many items as take as long as `cluster.shard` pictures take to decode."""
        return max(1, round(self._config.shard / weight))

    def processes(self, wanted: int) -> int:
        """Give each shard one core: shards fill the machines."""
        return 1

    def share(self, value: Value) -> Shared[Value]:
        """Send a value to the cluster."""
        return self._engine.share(value)

    def run(
        self,
        work: Callable[[Shard], Iterable[Result]],
        lanes: Iterable[Iterable[Shard]],
        *,
        name: str,
        gpus: float = 0,
    ) -> Iterator[Result]:
        """Do every shard, and yield the results of each when it has ended; see Spread.run."""
        waiting, fresh = deque[_Job](), iter(lanes)
        running: dict[Handle, _Job] = {}
        lost: list[str] = []
        try:
            while True:
                self._fill(running, waiting, fresh, work, name, gpus)
                if not running:
                    break
                job = running.pop(handle := self._ended(running, gpus))
                done = self._taken(handle, job, name, lost)
                if done is None:
                    if job.tries <= TRIES:
                        waiting.append(job)
                        continue
                    done = Done(())
                yield from done.results
                if done.error is not None:
                    yield from self._rest(running, name)
                    raise done.error
                if (following := next(job.lane, None)) is not None:
                    waiting.append(self._job(following, job.lane, name))
        finally:
            self._engine.cancel(running)
            for job in running.values():
                self._runs.ended(job.shown, "the step ended before it")
        if lost:
            raise ShardLost(_lost_text(name, lost))

    def _fill(
        self,
        running: dict[Handle, _Job],
        waiting: deque[_Job],
        fresh: Iterator[Iterable[Any]],
        work: Callable[[Any], Iterable[Any]],
        name: str,
        gpus: float,
    ) -> None:
        """Hand out shards until enough are under way: first those of lanes that were begun."""
        window = max(1, self._config.ahead * self._engine.places(gpus))
        while len(running) < window:
            if not waiting:
                lane = next(fresh, None)
                if lane is None:
                    return
                shards = iter(lane)
                if (shard := next(shards, None)) is not None:
                    waiting.append(self._job(shard, shards, name))
                continue
            job = waiting.popleft()
            running[self._engine.submit(ShardTask(work, job.shard, self._config.scratch), gpus)] = job

    def _job(self, shard: Any, lane: Iterator[Any], name: str) -> _Job:
        return _Job(placed(shard), lane, self._runs.began(name, str(shard)))

    def _ended(self, running: dict[Handle, _Job], gpus: float) -> Handle:
        """Wait until one of them ends."""
        deadline = time.monotonic() + _PATIENCE_S
        while (handle := self._engine.wait(running, _POLL_S)) is None:
            if self._engine.places(gpus):
                deadline = time.monotonic() + _PATIENCE_S
            elif time.monotonic() > deadline:
                what = f"{gpus:g} GPUs a shard (cluster.feature_gpus)" if gpus else "a core"
                raise ClusterError(
                    f"the cluster has had no machine with {what} for {_PATIENCE_S:.0f} s; let machines join it, then "
                    "run the same command again: it goes on where this one stopped"
                )
        return handle

    def _rest(self, running: dict[Handle, _Job], name: str) -> Iterator[Any]:
        """Yield the results of those that have ended already, before an error ends the step."""
        while running and (handle := self._engine.wait(running, 0)) is not None:
            if (done := self._taken(handle, running.pop(handle), name, [])) is not None:
                yield from done.results

    def _taken(self, handle: Handle, job: _Job, name: str, lost: list[str]) -> Done | None:
        """Take what came of a shard; None: its worker was lost, and the shard was counted or given up."""
        try:
            done = self._engine.take(handle)
        except WorkerLost as error:
            job.tries += 1
            if job.tries <= TRIES:
                _LOG.warning("%s: a worker was lost (%s); doing again: %s", name, error, job.shard)
                return None
            lost.append(f"{job.shard} ({error})")
            self._runs.ended(job.shown, f"{TRIES} processes ended over it, the last with: {error}")
            return None
        self._runs.ended(job.shown)
        return done


def _lost_text(name: str, lost: list[str]) -> str:
    others = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
    return (
        f"{name}: {TRIES} worker processes ended over {lost[0]}{others}; everything else of this step is done. Most "
        "often a worker has too little memory: give it more, or take a smaller cluster.shard; then run the same "
        "command again, which does only what is missing (with --set cluster.engine='' on this machine)"
    )
