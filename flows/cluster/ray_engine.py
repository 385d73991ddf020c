"""Ray as the engine.

Straight by `ray.remote`, not by Prefect's RayTaskRunner: a shard costs 0.5 ms, not 100; the workers need no Prefect, no
way to its server, and get none of its settings, among which is its key (docs/decisions/0014-several-machines.md).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flows.cluster.code_version import CodeVersion, code_version, differences
from flows.cluster.engine import Done, Handle, ShardTask, WorkerLost, do_shard
from workspace.errors import ClusterError, needed_extra
from workspace.spread.shards import Shared

Value = TypeVar("Value")

_ANSWER_S, _CHECK_S = 5.0, 120.0
_INSTALL = (
    "install the same checkout with the same versions on each machine: pip install -c constraints.txt '.[cluster]'"
)
_JOIN = "start Ray (`ray start --head`), join it on each machine (`ray start --address=HOST:PORT`), also on this one"


@dataclass(frozen=True, slots=True)
class _InObjectStore(Generic[Value]):
    reference: Any

    def get(self) -> Value:
        import ray

        found: Value = ray.get(self.reference)
        return found


class RayEngine:
    """A Ray cluster that this machine has joined.

    Args:
        address: `auto` or HOST:PORT.

    Raises:
        ClusterError: Ray is not installed, does not answer, or a machine has another version of the code.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise ClusterError(needed_extra("cluster", 'cluster.engine = "ray"', str(error.name or "ray"))) from error
        if address != "auto":
            _check_answer(address)
        with _our_signals(), _stderr_kept() as said:
            try:
                ray.init(
                    address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="collect-and-train"
                )
            except Exception as error:  # ConnectionError, RuntimeError, ValueError and Ray's own, by cause
                raise ClusterError(_why_not(address, error, said())) from error
        self._ray = ray
        self._remote = ray.remote(do_shard)
        try:
            self._check_machines()
        except BaseException:
            ray.shutdown()
            raise

    def places(self, gpus: float) -> int:
        """Count cores, or as many as there are GPUs for."""
        resources = self._ray.cluster_resources()
        cores = int(resources.get("CPU", 0))
        return min(cores, int(resources.get("GPU", 0) / gpus)) if gpus else cores

    def share(self, value: Value) -> Shared[Value]:
        """Put a value into Ray's object store, from which each machine takes one copy."""
        return _InObjectStore(self._ray.put(value))

    def submit(self, task: ShardTask, gpus: float) -> Handle:
        """Hand out a shard; Ray itself does not try it again."""
        options = self._remote.options(num_cpus=1, num_gpus=gpus or None, max_retries=0, scheduling_strategy="SPREAD")
        handle: Handle = options.remote(task)
        return handle

    def wait(self, handles: Collection[Handle], seconds: float) -> Handle | None:
        """Return one that has ended."""
        ended, _ = self._ray.wait(list(handles), num_returns=1, timeout=seconds)
        return ended[0] if ended else None

    def take(self, handle: Handle) -> Done:
        """Take what came of one that has ended."""
        errors = self._ray.exceptions
        try:
            done: Done = self._ray.get(handle)
        except errors.RayTaskError:
            raise  # a fault of the code, with its traceback
        except errors.RayError as error:
            raise WorkerLost(_first_line(error).partition(". ")[0]) from error
        return done

    def cancel(self, handles: Collection[Handle]) -> None:
        """Kill the processes that do these."""
        for handle in handles:
            with contextlib.suppress(Exception):  # Ray may be gone, and we are on our way out
                self._ray.cancel(handle, force=True)

    def _check_machines(self) -> None:
        """Compare the code of every machine that has cores with ours."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise ClusterError(f"the Ray cluster has no machine with a core for work; {_JOIN}")
        ask = self._ray.remote(code_version)
        asked = {
            node["NodeManagerAddress"]: ask.options(
                num_cpus=0,
                max_retries=1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            ).remote()
            for node in nodes
        }
        ours = code_version()
        for machine, handle in asked.items():
            try:
                theirs: CodeVersion = self._ray.get(handle, timeout=_CHECK_S)
            except Exception as error:  # whatever stops a worker from importing the code
                raise ClusterError(
                    f"the Ray worker on {machine} cannot run collect-and-train: {_last_line(error)}; {_INSTALL}, and "
                    "start Ray there in that environment"
                ) from error
            if other := differences(ours, theirs):
                raise ClusterError(f"the Ray worker on {machine} has {other}; {_INSTALL}, and start Ray there again")


def _check_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(
            f"no Ray answers at {address} (cluster.address): {error}; {_JOIN}, and set cluster.address to auto"
        ) from error


def _why_not(address: str, error: Exception, said: str) -> str:
    text = str(error)
    if "ersion mismatch" in text:
        return f"the Ray cluster runs other versions than this machine: {' '.join(text.split())[:400]}; {_INSTALL}"
    if "AuthToken" in text + said:
        return (
            f"the Ray cluster at {address} (cluster.address) refuses our token, or the lack of one: set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH here as the cluster has them"
        )
    if address == "auto":
        return f"this machine has joined no Ray cluster (cluster.address): {_first_line(error)}; {_JOIN}"
    return (
        f"{address} (cluster.address) answers, but not as Ray does to a machine that has joined it: "
        f"{_first_line(error)}; join it on this one: ray start --address={address} --num-cpus=0"
    )


@contextmanager
def _our_signals() -> Iterator[None]:
    """Keep the handler of SIGTERM, by which Prefect ends a flow in order; Ray puts its own there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _stderr_kept() -> Iterator[Callable[[], str]]:
    """Keep what Ray's libraries print, which they do in tens of lines where they are refused; gives it as text."""
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield lambda: (kept.seek(0), kept.read())[1][:100_000].decode(errors="replace")  # and it goes on at its end
        finally:
            os.dup2(before, 2)
            os.close(before)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _last_line(error: BaseException) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
