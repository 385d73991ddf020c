"""Pools of isolated worker processes: a decoder that crashes, hangs or exhausts memory ends only its own worker.

`run_all` runs many jobs for one thread, `WorkerPool` one job each for several. A new worker replaces one that ended,
and a job that killed its worker is tried once more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, Generic, TypeGuard

from preprocessing.images.worker import FailedJob, Job, JobLimits, Result, Worker

_TRIES = 2  # a worker may have been killed for reasons outside it, as by the OOM killer


def run_all(
    jobs: Sequence[Job], work: Callable[[Job], Result], workers: int, limits: JobLimits
) -> Iterator[Result | FailedJob[Job]]:
    """Run every job in a worker process; yield one outcome per job, in no particular order.

    Args:
        jobs: can be pickled.
        work: the function that workers run; importable by name. Its exceptions are raised here, except MemoryError.
        workers: largest number of processes.
        limits: for each job.

    Raises:
        WorkspaceError: processes cannot be started from here.
    """
    waiting = deque((job, 1) for job in jobs)
    pool: list[Worker[Job, Result]] = []
    try:
        while waiting or any(worker.job is not None for worker in pool):
            while waiting and (idle := _idle(pool, work, min(workers, len(jobs)), limits)) is not None:
                idle.give(*waiting.popleft())
            for worker in _ready(pool):
                outcome = worker.outcome()
                if _crashed(outcome) and worker.tried < _TRIES:
                    waiting.append((outcome.job, worker.tried + 1))
                elif outcome is not None:
                    yield outcome
            pool = [worker for worker in pool if worker.alive]
    finally:
        for worker in pool:
            worker.end()


class WorkerPool(Generic[Job, Result]):
    """Worker processes that stay, for callers in several threads; they start when they are first needed.

    Args:
        work: the function that workers run; importable by name.
        workers: largest number of processes; a caller that finds all of them busy waits.
        limits: for each job.
    """

    def __init__(self, work: Callable[[Job], Result], workers: int, limits: JobLimits) -> None:
        self._work, self._limits = work, limits
        self._places = threading.BoundedSemaphore(workers)
        self._idle: list[Worker[Job, Result]] = []

    def run(self, job: Job) -> Result | FailedJob[Job]:
        """Run a job, which can be pickled, and wait for its outcome.

        What `work` raises is raised here, except MemoryError.

        Raises:
            WorkspaceError: processes cannot be started from here.
        """
        with self._places:
            for tried in range(1, _TRIES + 1):
                outcome = self._attempt(job, tried)
                if not _crashed(outcome):
                    break
            return outcome

    def _attempt(self, job: Job, tried: int) -> Result | FailedJob[Job]:
        worker = self._worker()
        try:
            worker.give(job, tried)
            while (outcome := worker.outcome()) is None:
                _ready([worker])
            return outcome
        finally:
            if worker.alive and worker.job is None:
                self._idle.append(worker)
            elif worker.alive:  # the caller was interrupted
                worker.end()

    def _worker(self) -> Worker[Job, Result]:
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread was faster
                worker = self._idle.pop()
                if worker.process.is_alive():
                    return worker
                worker.end()
        return Worker(self._work, self._limits)


def _crashed(outcome: object) -> TypeGuard[FailedJob[Any]]:
    return isinstance(outcome, FailedJob) and outcome.reason == "decoder_crashed"


def _idle(
    pool: list[Worker[Job, Result]], work: Callable[[Job], Result], most: int, limits: JobLimits
) -> Worker[Job, Result] | None:
    """Return an idle worker, a new one if the pool may grow, or None."""
    for worker in pool:
        if worker.job is None and worker.alive:
            return worker
    if len(pool) >= most:
        return None
    pool.append(Worker(work, limits))
    return pool[-1]


def _ready(pool: list[Worker[Job, Result]]) -> list[Worker[Job, Result]]:
    """Wait until a worker answers, dies or exceeds its time limit."""
    busy = [worker for worker in pool if worker.job is not None]
    patience = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
    ready = set(wait([part for worker in busy for part in (worker.pipe, worker.process.sentinel)], patience))
    now = time.monotonic()
    return [w for w in busy if w.pipe in ready or w.process.sentinel in ready or w.deadline <= now]
