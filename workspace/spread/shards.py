"""Shards of pure work: a step hands them out and takes records back, and alone writes the catalogue.

A shard is a small value of names and settings. The function that does it is pure but for caches, importable by name,
and may run twice: where a machine is lost, its shard is done again elsewhere. A shard holds no database, no key and no
password, and says in `str()` what it is, for the message when it cannot be done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from workspace.errors import CollectAndTrainError

Shard = TypeVar("Shard")
Result = TypeVar("Result")
Item = TypeVar("Item")
Value = TypeVar("Value")
Held = TypeVar("Held", covariant=True)


class Shared(Protocol[Held]):
    """A value that many shards read; it travels to each machine once."""

    def get(self) -> Held:
        """Return the value; not to be changed."""


class Spread(Protocol):
    """Where shards are done.

    Attributes:
        alone: whether one process does all of them, one after the other, so that none is done twice or beside another.
    """

    @property
    def alone(self) -> bool:
        """See above."""

    def shard_size(self, weight: float = 1.0) -> int:
        """Choose how many items make a shard; `weight`: how many pictures' decoding an item costs."""

    def processes(self, wanted: int) -> int:
        """Choose how many processes or threads one shard may use; `wanted` is a setting, 0: one per core."""

    def share(self, value: Value) -> Shared[Value]:
        """Prepare a large value for being read by many shards."""

    def run(
        self,
        work: Callable[[Shard], Iterable[Result]],
        lanes: Iterable[Iterable[Shard]],
        *,
        name: str,
        gpus: float = 0,
    ) -> Iterator[Result]:
        """Do every shard, and yield the results as they come.

        The shards of one lane run one after the other: the next is taken from the lane when all results of the one
        before were taken from here. Lanes run beside each other, in no particular order.

        Args:
            work: does one shard; a module-level function, or a value that can be pickled.
            lanes: of shards.
            name: of the work, for people.
            gpus: how many GPUs a shard needs, or which share of one.

        Raises:
            CollectAndTrainError: what `work` raised.
            ShardLost: a shard ended each process that did it; raised when all others are done.
        """


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Value]):
    value: Value

    def get(self) -> Value:
        return self.value


class Here:
    """Does shards in this process, lane by lane; results come while a shard is under way."""

    alone = True

    def shard_size(self, weight: float = 1.0) -> int:
        """Put all items into one shard."""
        return sys.maxsize

    def processes(self, wanted: int) -> int:
        """Use what the settings say, else every core."""
        return wanted or os.cpu_count() or 1

    def share(self, value: Value) -> Shared[Value]:
        """Keep the value as it is."""
        return _Kept(value)

    def run(
        self,
        work: Callable[[Shard], Iterable[Result]],
        lanes: Iterable[Iterable[Shard]],
        *,
        name: str,
        gpus: float = 0,
    ) -> Iterator[Result]:
        """Do every shard, and yield each result when it is there."""
        for lane in lanes:
            for shard in lane:
                yield from work(shard)


HERE: Spread = Here()
"""The default of every step."""


def divide(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut items into parts of at most `size`; none where there are no items.

    Example:
        >>> list(divide("abcde", 2))
        ['ab', 'cd', 'e']
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]


def side_by_side(shards: Iterable[Shard]) -> Iterator[tuple[Shard]]:
    """Put each shard into a lane of its own."""
    return ((shard,) for shard in shards)


def batches(results: Iterable[Result], size: int) -> Iterator[list[Result]]:
    """Collect results into lists of `size`, the last one shorter; what came before an error is yielded before it."""
    batch: list[Result] = []
    try:
        for result in results:
            batch.append(result)
            if len(batch) == size:
                yield batch
                batch = []
    except CollectAndTrainError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
