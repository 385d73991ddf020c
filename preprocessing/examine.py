"""One stored file to its facts and its cached pixels; many files over processes, none of which can stop the others."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from preprocessing.checks import measure
from preprocessing.decode import Decoded
from preprocessing.hashing import fingerprint
from preprocessing.pixels import PixelCache, decode_small
from workspace.clean_config import CleanConfig
from workspace.errors import ImageRefused, WorkspaceError
from workspace.paths import Workspace
from workspace.records import ImageFacts

FEW = 8
"""Up to so many files are examined in this process: starting others takes longer."""

_IN_FLIGHT_PER_WORKER = 4  # keeps workers busy, and few files under suspicion when one of them crashes


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One file to examine."""

    sha256: str
    workspace: Workspace
    clean: CleanConfig


def examine(job: Job) -> ImageFacts:
    """Decode a file, put its pixels into the cache, measure and hash them.

    Measures and hashes are those of the cached picture; the pixel digest is that of the upright one as it was
    decoded, so that files that differ in their metadata alone have equal digests.

    Raises:
        WorkspaceError: the file is gone, or the cache cannot be written.
    """
    data = job.workspace.find_image(job.sha256).read_bytes()
    try:
        decoded, small = decode_small(data, job.clean)
    except ImageRefused as refused:
        return ImageFacts(job.sha256, error=refused.reason, detail=refused.detail, bytes=len(data))
    PixelCache(job.workspace, job.clean).write(job.sha256, small)
    return ImageFacts(
        sha256=job.sha256,
        format=decoded.format,
        mode=decoded.mode,
        width=decoded.width,
        height=decoded.height,
        frames=decoded.frames,
        bytes=len(data),
        pixel_digest=_pixel_digest(decoded),
        **dataclasses.asdict(fingerprint(small)),
        **dataclasses.asdict(measure(small)),
    )


def examine_all(
    jobs: Sequence[Job], workers: int, examine_one: Callable[[Job], ImageFacts] = examine
) -> Iterator[ImageFacts]:
    """Examine files over processes and give their facts as they come, in no particular order.

    When a worker dies, every file that was being examined is tried again alone in a process of its own; the one
    that kills that too gets the error `decoder_crashed`.

    Args:
        jobs: the files.
        workers: processes; 0: one per core.
        examine_one: what a worker runs; importable by name.
    """
    if len(jobs) <= FEW:
        yield from map(examine_one, jobs)
        return
    waiting = deque(jobs)
    count = min(workers or os.cpu_count() or 1, len(jobs))
    while waiting:
        suspects: list[Job] = []
        with _pool(count) as pool:
            running: dict[Future[ImageFacts], Job] = {}
            while (waiting or running) and not suspects:
                try:
                    while waiting and len(running) < count * _IN_FLIGHT_PER_WORKER:
                        running[pool.submit(examine_one, waiting[0])] = waiting[0]
                        waiting.popleft()  # only now: a broken pool refuses, and the file must not be lost
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield future.result()
                        del running[future]
                except BrokenProcessPool:
                    suspects = list(running.values())
        for job in suspects:
            yield _examine_alone(job, examine_one)


def _examine_alone(job: Job, examine_one: Callable[[Job], ImageFacts]) -> ImageFacts:
    with _pool(1) as pool:
        try:
            return pool.submit(examine_one, job).result()
        except BrokenProcessPool:
            detail = "the process that decoded it died: the decoder crashed or took too much memory"
            return ImageFacts(job.sha256, error="decoder_crashed", detail=detail)


def _pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes that have been seen to start, so that one that dies later died of a file.

    Raises:
        WorkspaceError: processes cannot be started from here.
    """
    # Never a plain fork: the caller may have threads (Prefect has), whose locks a fork would copy.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["__main__", __name__])
    pool = ProcessPoolExecutor(workers, context, _end_with_parent)
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        pool.shutdown()
        raise WorkspaceError(
            "the processes that decode pictures do not start; if this is a script of your own, put what it runs under "
            "`if __name__ == '__main__':`, else see their messages above (too little memory, or too many processes)"
        ) from error
    return pool


def _end_with_parent() -> None:
    """Make a worker end when its parent is killed: left alone, it would wait for work for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _pixel_digest(decoded: Decoded) -> str:
    shape = f"{decoded.width}x{decoded.height}:".encode()
    return hashlib.sha256(shape + decoded.pixels.tobytes()).hexdigest()
