"""What is needed next, made ready by threads while the network works: Pillow, OpenCV and numpy release the GIL."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Wanted = TypeVar("Wanted")
Made = TypeVar("Made")

AHEAD = 2
"""Results that wait ready for each worker, at most."""


def prefetched(
    wanted: Iterable[Wanted], make: Callable[[Wanted], Made], workers: int
) -> Generator[tuple[Wanted, Made]]:
    """Make things in order, ahead of their use; what comes out does not depend on the number of workers.

    Args:
        wanted: what to make things from.
        make: has no side effects, and may run in any thread.
        workers: threads; 0 makes each thing when its turn comes.
    """
    if not workers:
        yield from ((item, make(item)) for item in wanted)
        return
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        waiting: deque[tuple[Wanted, Future[Made]]] = deque()
        for item in wanted:
            waiting.append((item, pool.submit(make, item)))
            if len(waiting) > AHEAD * workers:
                first, ready = waiting.popleft()
                yield first, ready.result()
        for first, ready in waiting:
            yield first, ready.result()
    finally:
        pool.shutdown(cancel_futures=True)  # what nobody will ask for any more is not made
