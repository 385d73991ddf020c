"""A worker process: it runs one job at a time, under limits of time and memory, and can crash without harm.

A worker holds one job at a time, so the job that ended it is known. The parent enforces the time limit by killing;
the operating system enforces the memory limit (RLIMIT_AS).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from workspace.errors import WorkspaceError

Job = TypeVar("Job")
Result = TypeVar("Result")

_START_S = 120.0  # Python, numpy, SciPy and Pillow on a busy machine with a cold disk


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits of one job: seconds, and bytes of address space beyond those of a worker at its start."""

    seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class FailedJob(Generic[Job]):
    """A job that has no result: `reason` is decoder_crashed, decoder_timeout or decoder_memory."""

    job: Job
    reason: str
    detail: str


class Worker(Generic[Job, Result]):
    """A process and the pipe to it; `job` is its current job, None when idle.

    Args:
        work: the function that it runs; importable by name.
        limits: for each job.

    Raises:
        WorkspaceError: processes cannot be started from here.
    """

    def __init__(self, work: Callable[[Job], Result], limits: JobLimits) -> None:
        self.job: Job | None = None
        self.tried = 0
        self.alive = True
        self.deadline = 0.0
        self._limits = limits
        context = _context()
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, work, limits), daemon=True)
        self.process.start()
        theirs.close()
        self._await_start()

    def _await_start(self) -> None:
        try:
            started = self.pipe.poll(_START_S) and self.pipe.recv() == "ready"
        except (EOFError, OSError):
            started = False
        if not started:
            self.end()
            raise WorkspaceError(
                "the worker processes that decode images did not start; in a script of your own, put the code under "
                "`if __name__ == '__main__':`; otherwise see their messages above (too little memory, or too many "
                "processes)"
            )

    def give(self, job: Job, tried: int) -> None:
        """Start a job, for the `tried`-th time, in an idle worker."""
        self.job, self.tried = job, tried
        self.deadline = time.monotonic() + self._limits.seconds
        with contextlib.suppress(OSError):  # it died while it was idle: seen as a crash, and tried again
            self.pipe.send(job)

    def outcome(self) -> Result | FailedJob[Job] | None:
        """Return the result of the job, or None while it runs; what the work raised is raised here."""
        job = self.job
        assert job is not None
        if self.pipe.poll():
            try:
                kind, value = self.pipe.recv()
            except (EOFError, OSError):
                return self._crashed(job)
            self.job = None
            if kind == "memory":
                self.end()  # it may still hold the memory
                return FailedJob(
                    job,
                    "decoder_memory",
                    f"it took more than {self._limits.memory_bytes / 1e6:g} MB (decoder_memory_mb)",
                )
            if kind == "error":
                raise value
            return value  # type: ignore[no-any-return]
        if not self.process.is_alive():
            return self._crashed(job)
        if time.monotonic() < self.deadline:
            return None
        self.end()
        self.job = None
        return FailedJob(job, "decoder_timeout", f"not decoded after {self._limits.seconds:g} s (decoder_timeout_s)")

    def _crashed(self, job: Job) -> FailedJob[Job]:
        self.process.join(5)
        code = self.process.exitcode
        self.end()
        self.job = None
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        return FailedJob(job, "decoder_crashed", f"the process that decoded it died, {self.tried} times: {how}")

    def end(self) -> None:
        """End the process: an idle one by itself, a busy one by SIGKILL."""
        self.alive = False
        if self.job is None and self.process.is_alive():
            self.pipe.close()  # an idle worker ends by itself then
            self.process.join(1)
        else:
            self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


def _context() -> ForkServerContext | SpawnContext:
    # Never a plain fork: the caller may have threads (Prefect has), whose locks a fork would copy.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "preprocessing.extract_facts"])
    return context


def _serve(pipe: Connection, work: Callable[[Any], Any], limits: JobLimits) -> None:
    """Run jobs in a worker until the parent closes the pipe."""
    _silence_c_libraries()
    _cap_memory(limits.memory_bytes)
    pipe.send("ready")
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        # Should the parent be gone, nobody kills a decoder that hangs: the system does (default action of SIGALRM).
        _alarm(limits.seconds + 10)
        try:
            answer: tuple[str, Any] = ("done", work(job))
        except MemoryError:
            answer = ("memory", None)
        except Exception as error:
            answer = ("error", error)
        _alarm(0)
        try:
            pipe.send(answer)
        except OSError:
            return


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _cap_memory(extra_bytes: int) -> None:
    """Limit the address space to its present size plus `extra_bytes`; Linux only."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + extra_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _silence_c_libraries() -> None:
    """Discard what libtiff and others print about a file: the reason is in its row."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
