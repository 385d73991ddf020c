"""The interface of an engine: whatever runs a function on the machines of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from workspace.errors import CollectAndTrainError
from workspace.spread.shards import Shared

Value = TypeVar("Value")

Handle = Hashable
"""Stands for a shard that was handed out."""


class WorkerLost(Exception):
    """The process or the machine that did a shard is gone; says what is known of its end."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a shard: its results, and the error that ended it, if any."""

    results: Sequence[Any]
    error: CollectAndTrainError | None = None


class Engine(Protocol):
    """A running cluster."""

    def places(self, gpus: float) -> int:
        """Count the shards that can be done at once, each with a core and so many GPUs."""

    def share(self, value: Value) -> Shared[Value]:
        """Send a value to the cluster, for many shards to read."""

    def submit(self, work: Callable[[Any], Iterable[Any]], shard: Any, gpus: float) -> Handle:
        """Hand out a shard."""

    def wait(self, handles: Collection[Handle], seconds: float) -> Handle | None:
        """Return the handle of a shard that has ended, in whatever way; None: none has, for so long."""

    def take(self, handle: Handle) -> Done:
        """Take what came of a shard that has ended.

        Raises:
            WorkerLost: its process or its machine is gone.
        """

    def cancel(self, handles: Collection[Handle]) -> None:
        """End these shards and forget them."""


def do_shard(work: Callable[[Any], Iterable[Any]], shard: Any) -> Done:
    """Do a shard in a worker; a foreseen error comes after the results before it."""
    results: list[Any] = []
    try:
        results.extend(work(shard))
    except CollectAndTrainError as error:
        return Done(results, error)
    return Done(results)
