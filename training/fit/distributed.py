"""Distributed fine-tuning: several ranks train one network, each on its share of every batch and on its own GPU.

The caller is rank 0: it alone validates, writes checkpoints, reports progress and decides when to stop. The other ranks
only compute gradients, which torch's DistributedDataParallel averages. torchrun and accelerate's launchers would start
every rank themselves, and run the whole step once per GPU on one workspace (docs/decisions/0008).
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from training.network.device import Device
from workspace.errors import ConfigError, WorkspaceError

_END_S = 30.0
"""How long a rank may take to end after its last step, or after it has failed."""

_SILENCE_S = 10.0
"""How long rank 0, whose own step failed, listens for a rank that failed before it. A rank reports an error before it
closes its connections, and the kernel closes them and its pipe together when it is killed, so the wait is short unless
no other rank has failed."""


@dataclass(frozen=True, slots=True)
class Team:
    """One rank of `world_size`, and the device that is its own."""

    device: Device
    rank: int = 0
    world_size: int = 1

    @property
    def is_rank_0(self) -> bool:
        """Whether this is rank 0, which writes checkpoints and reports progress."""
        return self.rank == 0

    def share(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Select this rank's rows of a batch."""
        return rows[self.rank :: self.world_size]

    def join(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that it starts from rank 0's parameters and its gradients are the mean over all ranks."""
        return DistributedDataParallel(module) if self.world_size > 1 else module

    def total(self, value: float) -> float:
        """Sum a value over all ranks."""
        if self.world_size == 1:
            return value
        total = torch.tensor([value], dtype=self.device.sum_dtype, device=self.device.torch_device)
        distributed.all_reduce(total)
        return float(total)

    def decided(self, answer: bool) -> bool:
        """Broadcast rank 0's answer."""
        return self.total(float(answer and self.is_rank_0)) > 0


def check_world_size(world_size: int, device: Device, images: Iterable[int], batch_size: int) -> None:
    """Refuse more ranks than GPUs, or than images in a batch.

    Args:
        world_size: the setting train.processes.
        device: rank 0's.
        images: sizes of the training sets, each cut into batches that differ by one image at most; none: nothing is
            fine-tuned, and nothing refused.
        batch_size: images in a batch, at most.

    Raises:
        ConfigError: with the largest train.processes that would do.
    """
    counts = list(images)
    if world_size == 1 or not counts:
        return
    if device.torch_device.type == "mps":
        raise ConfigError(
            f"train.processes = {world_size}, but there is one Apple GPU and each process needs its own; "
            "set train.processes = 1"
        )
    gpus = torch.cuda.device_count()
    if device.torch_device.type == "cuda" and gpus < world_size:
        raise ConfigError(
            f"train.processes = {world_size}, but torch sees {gpus} GPUs and each process needs its own; "
            f"set train.processes = {max(1, gpus)}"
        )
    smallest = min(count // -(-count // batch_size) for count in counts)
    if smallest < world_size:
        raise ConfigError(
            f"train.processes = {world_size}, but a batch has only {smallest} pictures to share out; "
            f"set train.processes = {max(1, smallest)}, or a larger train.batch_size where there are more pictures"
        )


@contextmanager
def team_of(world_size: int, device: Device, work: Callable[..., None], *arguments: Any) -> Iterator[Team]:
    """Start `world_size` - 1 ranks beside this process, each of which calls `work(team, *arguments)`.

    They end with the block. They find each other by a file rendezvous, which needs no port.

    Args:
        world_size: processes, this one included; 1 starts none.
        device: this process's; the other ranks get the GPUs after the first, or share the CPU.
        work: a function of a module.
        arguments: copied to each rank.

    Raises:
        WorkspaceError: another rank failed; its traceback is above, on stderr.
    """
    if world_size == 1:
        yield Team(device)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of this process's threads
    copied = pickle.dumps((work, arguments))  # by value: torch's own way would let every rank write the same weights
    helpers: list[_Helper] = []
    with tempfile.TemporaryDirectory() as folder:
        rendezvous = Path(folder) / "rendezvous"
        try:
            for rank in range(1, world_size):
                helpers.append(_Helper(context, Team(device.of_rank(rank), rank, world_size), rendezvous, copied))
            for helper in helpers:  # a process that dies before the rendezvous would block the others for 30 minutes
                helper.wait_until_ready()
            try:
                team = Team(device, 0, world_size)
                _join_group(team, rendezvous)
                yield team
            except RuntimeError as error:  # while this rank is in the group: once it leaves, the others fail as well
                _raise_first_failure(helpers, _SILENCE_S, error)
                raise
            finally:
                _leave_group()
            _raise_first_failure(helpers, _END_S)
        finally:
            for helper in helpers:
                helper.kill()


class _Helper:
    """Another rank as rank 0 sees it: a process and the pipe on which it reports.

    The pipe says that the rank is ready, then when it failed (time.monotonic, which all processes share), and its end
    says that the process is gone. A rank that fails reports it before it leaves the process group, so the report is
    there before another rank can lose its connection, however long the process then takes to end.
    """

    def __init__(self, context: SpawnContext, team: Team, rendezvous: Path, copied: bytes) -> None:
        self._team = team
        self._reports, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_help, args=(team, rendezvous, sender, copied), daemon=True)
        self._process.start()
        sender.close()  # the rank then holds the only one, so that its death is the end of the pipe

    def wait_until_ready(self) -> None:
        """Wait for the report that comes before the rendezvous.

        Raises:
            WorkspaceError: the process died.
        """
        try:
            self._reports.recv()
        except EOFError:
            self._process.join(_END_S)
            raise self.error() from None

    def failed_at(self, patience_s: float) -> float | None:
        """Wait for the rank to fail or to end; returns when it failed, and 0 if it died without a report."""
        if not self._reports.poll(patience_s):
            return None
        try:
            failed: float | None = self._reports.recv()
        except EOFError:
            failed = None
        self._process.join(_END_S)
        return 0.0 if failed is None and self._process.exitcode else failed

    def error(self) -> WorkspaceError:
        """Name the rank and its exit code."""
        code = self._process.exitcode
        end = "failed and does not end" if code is None else f"ended with exit code {code}"
        return WorkspaceError(
            f"process {self._team.rank} of the {self._team.world_size} that fine-tune together {end}, see its message "
            "above; the same command goes on from the last epoch, train.processes = 1 does without it"
        )

    def kill(self) -> None:
        """End the process if it has not ended."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._reports.close()


def _raise_first_failure(helpers: Sequence[_Helper], patience_s: float, cause: Exception | None = None) -> None:
    """Raise the error of the rank that failed first, if any; the others fail when they lose their connection to it."""
    deadline = time.monotonic() + patience_s
    times = [(helper.failed_at(max(0.0, deadline - time.monotonic())), helper) for helper in helpers]
    failures = [(failed, helper) for failed, helper in times if failed is not None]
    if failures:
        raise min(failures, key=lambda failure: failure[0])[1].error() from cause


def _help(team: Team, rendezvous: Path, reports: Connection, copied: bytes) -> None:
    """Do another rank's work, in its process."""
    if team.device.torch_device.type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // team.world_size))
    else:
        torch.cuda.set_device(team.device.torch_device)  # NCCL sends over the current device
    work, arguments = pickle.loads(copied)
    reports.send("ready")
    try:
        _join_group(team, rendezvous)
        work(team, *arguments)
    except BaseException:
        reports.send(time.monotonic())
        raise
    finally:
        _leave_group()


def _join_group(team: Team, rendezvous: Path) -> None:
    """Join torch's process group, over loopback alone."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    backend = "nccl" if team.device.torch_device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=rendezvous.as_uri(), rank=team.rank, world_size=team.world_size)


def _leave_group() -> None:
    """Leave torch's process group, or forget one that could not be joined.

    Torch names a group by how many the process had before, and counts one whose rendezvous failed. Ranks that count
    differently wait for each other for 30 minutes; destroy_process_group resets the count, but only of a group joined.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()
    else:
        distributed.distributed_c10d._world.group_count = 0
