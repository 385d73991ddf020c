"""Decode in worker processes, under the limits of the clean step: for every file that comes from outside.

A hostile file can take minutes, gigabytes or its whole process. The workers start with the first file and stay; every
caller with the same limits shares them, in any thread.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import threading
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from preprocessing.images.decode import Decoded, decode, decode_small
from preprocessing.images.worker import FailedJob, JobLimits
from preprocessing.images.worker_pool import WorkerPool
from workspace.config.clean import CleanConfig
from workspace.errors import ImageRefused

Result = TypeVar("Result")

_ONE_POOL = threading.Lock()


def decode_isolated(data: bytes, clean: CleanConfig) -> Decoded:
    """Decode a file and shrink it to the size in the cache, as `decode_small` does: pixels uint8 [h, w, 3].

    Raises:
        ImageRefused: as `decode` does, and with the reasons `decoder_timeout`, `decoder_memory`, `decoder_crashed`.
        WorkspaceError: processes cannot be started from here.
    """
    return run_isolated(_small, data, clean)


def decode_full_isolated(data: bytes, clean: CleanConfig) -> Decoded:
    """Decode a file in full size: pixels uint8 [H, W, 3]; otherwise as `decode_isolated`."""
    return run_isolated(_full, data, clean)


def read_file(path: Path, clean: CleanConfig) -> bytes:
    """Read a local file; one that has more bytes than its decoding may take memory is not read.

    Raises:
        OSError: it is missing, cannot be read, or is no file: to open a pipe may wait for ever.
        ImageRefused: `decoder_memory`: it is too large.
    """
    if not (path.is_file() or path.is_dir()) and path.exists():
        raise OSError(0, "it is a pipe or a device, not a file")
    with path.open("rb") as stream:
        return read_stream(stream, clean)


def read_stream(stream: BinaryIO, clean: CleanConfig) -> bytes:
    """Read a stream to its end; otherwise as `read_file`."""
    most = int(clean.decoder_memory_mb * 1e6)
    data = stream.read(most + 1)
    if len(data) > most:
        raise ImageRefused("decoder_memory", f"the file is larger than {most / 1e6:g} MB (decoder_memory_mb)")
    return data


def run_isolated(work: Callable[[bytes, CleanConfig], Result], data: bytes, clean: CleanConfig) -> Result:
    """Do something with a file in a worker process.

    Args:
        work: importable by name; what it raises is raised here.
        data: the whole file.
        clean: how many processes, and what a file may take.

    Raises:
        ImageRefused: the file took too long or too much memory, or crashed the process (twice).
        WorkspaceError: processes cannot be started from here.
    """
    if multiprocessing.current_process().daemon:  # a rank of several GPUs: it reads what clean decoded, and such a
        return work(data, clean)  # process may have no children
    limits = JobLimits(clean.decoder_timeout_s, int(clean.decoder_memory_mb * 1e6))
    with _ONE_POOL:
        pool: WorkerPool[tuple[bytes, CleanConfig], Result] = _pool(
            work, clean.workers or os.cpu_count() or 1, limits, os.getpid()
        )
    outcome = pool.run((data, clean))
    if isinstance(outcome, FailedJob):
        raise ImageRefused(outcome.reason, outcome.detail)
    return outcome


@cache
def _pool(
    work: Callable[[bytes, CleanConfig], Result], workers: int, limits: JobLimits, _process: int
) -> WorkerPool[tuple[bytes, CleanConfig], Result]:
    return WorkerPool(partial(_in_worker, work), workers, limits)


def _in_worker(work: Callable[[bytes, CleanConfig], Result], job: tuple[bytes, CleanConfig]) -> Result:
    try:
        return work(*job)
    except ImageRefused as refused:
        if refused.reason == "decoder_memory":
            raise MemoryError from refused  # this process may have leaked: a new one takes over
        raise


def _small(data: bytes, clean: CleanConfig) -> Decoded:
    decoded, small = decode_small(data, clean)
    return dataclasses.replace(decoded, pixels=small)


def _full(data: bytes, clean: CleanConfig) -> Decoded:
    return decode(data, max_megapixels=clean.max_megapixels)
