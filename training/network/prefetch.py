"""What is needed next, made ready by threads or processes while the network works."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

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
        WorkspaceError: a process that makes them was killed.
    """
    if not workers.count:
        yield from ((item, make(item)) for item in wanted)
        return
    pool = workers.pool(len(wanted))
    try:
        waiting: deque[tuple[Wanted, Future[Made]]] = deque()
        for item in wanted:
            waiting.append((item, pool.submit(make, item)))
            if len(waiting) > AHEAD * workers.count:
                first, ready = waiting.popleft()
                yield first, ready.result()
        for first, ready in waiting:
            yield first, ready.result()
    except BrokenProcessPool as error:
        raise WorkspaceError(
            f"one of the {workers.count} processes that make views for the GPU was killed, most often for want of "
            "memory; set features.workers to fewer and run it again, which goes on from the last finished epoch"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)  # what nobody will ask for any more is not made


def _use_one_core() -> None:
    """Keep a process from starting a thread per core for each picture: there is a process per core already."""
    import cv2

    cv2.setNumThreads(1)
