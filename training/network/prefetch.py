"""What is needed next, made ready by threads or processes while the network works."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from training.network.shared_arrays import Slots, make_into
from workspace.errors import WorkspaceError

Wanted = TypeVar("Wanted")
Made = TypeVar("Made")

AHEAD = 2
"""Results that wait ready for each worker, at most."""

WORTH_PROCESSES = 150
"""Batches from which processes pay: each takes some seconds to start, in which a thread makes as many."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Who makes things ready.

    Attributes:
        count: how many at once; 0 makes each thing when its turn comes.
        processes: instead of threads, of which more than one or two share the GIL, where there is much to make.
    """

    count: int
    processes: bool = False

    def pool(self, things: int) -> Executor:
        """Start what makes so many things."""
        if not self.processes or things < WORTH_PROCESSES:
            return ThreadPoolExecutor(self.count)
        # Never a plain fork: the caller has threads, and a GPU's context does not survive it.
        known = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")
        return ProcessPoolExecutor(self.count, context, _use_one_core)


def prefetched(
    wanted: Sequence[Wanted], make: Callable[[Wanted], Made], workers: Workers
) -> Generator[tuple[Wanted, Made]]:
    """Make things in order, ahead of their use; what comes out does not depend on the workers.

    Args:
        wanted: what to make things from.
        make: has no side effects, and may run in any thread or, pickled, in any process.
        workers: who makes them.

    Raises:
        WorkspaceError: a process that makes them was killed, or there is no shared memory for them.
    """
    if not workers.count:
        yield from ((item, make(item)) for item in wanted)
        return
    pool = workers.pool(len(wanted))
    slots: Slots | None = None
    try:
        if isinstance(pool, ProcessPoolExecutor):
            slots = Slots(AHEAD * workers.count + 2)
        waiting: deque[tuple[Wanted, Callable[[], Made]]] = deque()
        for item in wanted:
            waiting.append((item, _begin(pool, slots, make, item)))
            if len(waiting) > AHEAD * workers.count:
                first, result = waiting.popleft()
                yield first, result()
        for first, result in waiting:
            yield first, result()
    except BrokenProcessPool as error:
        raise WorkspaceError(
            f"one of the {workers.count} processes that make views for the GPU was killed, most often for want of "
            "memory (in a container, of shared memory too); set features.workers to fewer and run it again, which "
            "goes on from the last finished epoch"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)  # what nobody will ask for any more is not made
        if slots:
            slots.close()


def _begin(pool: Executor, slots: Slots | None, make: Callable[[Wanted], Made], item: Wanted) -> Callable[[], Any]:
    """Begin to make something; what is returned waits for it."""
    if slots is None:
        return pool.submit(make, item).result
    slot = slots.take()
    future = pool.submit(make_into, slot.name, make, item)
    return lambda: slots.give_back(slot, future.result())


def _use_one_core() -> None:
    """Keep a process from starting a thread per core for each picture: there is a process per core already."""
    import cv2

    cv2.setNumThreads(1)
