"""Dask as the engine: tested with workers on one machine, never measured on several.

Start each worker with DASK_DISTRIBUTED__WORKER__DAEMON=False, since it decodes in processes of its own. Dask hands a
shard to another worker by itself, up to `distributed.scheduler.allowed-failures` times, before it calls it lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any, TypeVar

from flows.cluster.code_version import code_version, differences
from flows.cluster.engine import Done, Handle, ShardTask, WorkerLost, do_shard
from workspace.errors import ClusterError, needed_extra
from workspace.spread.shards import HERE, Shared

Value = TypeVar("Value")

_ANSWER_S = "60s"  # scheduler and workers answer nothing while they import


class DaskEngine:
    """A running Dask scheduler and its workers.

    Args:
        address: HOST:PORT of the scheduler.

    Raises:
        ClusterError: Dask is not installed, does not answer, or a worker has another version of the code.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            name = str(error.name or "distributed")
            raise ClusterError(needed_extra("dask", 'cluster.engine = "dask"', name)) from error
        if address == "auto":
            raise ClusterError('cluster.engine = "dask" needs the scheduler\'s HOST:PORT in cluster.address')
        try:
            self._client = distributed.Client(address, timeout=_ANSWER_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {address} (cluster.address): {error}; start it: dask scheduler"
            ) from error
        self._dask = distributed
        ours = code_version()
        for machine, theirs in self._client.run(code_version).items():
            if other := differences(ours, theirs):
                raise ClusterError(
                    f"the Dask worker {machine} has {other}; install the same checkout and versions there"
                )

    def places(self, gpus: float) -> int:
        """Count threads, or as many as there are GPUs for."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        if not gpus:
            return sum(worker["nthreads"] for worker in workers)
        return sum(int(worker["resources"].get("GPU", 0) / gpus) for worker in workers)

    def share(self, value: Value) -> Shared[Value]:
        """Let the value travel with each shard: Dask resolves no reference within one."""
        return HERE.share(value)

    def submit(self, task: ShardTask, gpus: float) -> Handle:
        """Hand out a shard."""
        resources = {"GPU": gpus} if gpus else None
        handle: Handle = self._client.submit(do_shard, task, pure=False, resources=resources)
        return handle

    def wait(self, handles: Collection[Handle], seconds: float) -> Handle | None:
        """Return one that has ended."""
        with contextlib.suppress(self._dask.TimeoutError, TimeoutError):
            ended: set[Handle] = self._dask.wait(list(handles), timeout=seconds, return_when="FIRST_COMPLETED").done
            return next(iter(ended))
        return None

    def take(self, handle: Any) -> Done:
        """Take what came of one that has ended."""
        try:
            done: Done = handle.result()
        except (self._dask.KilledWorker, self._dask.CancelledError) as error:
            raise WorkerLost(str(error).partition("\n")[0]) from error
        return done

    def cancel(self, handles: Collection[Any]) -> None:
        """Cancel these; those under way run to their end."""
        self._client.cancel(list(handles))
