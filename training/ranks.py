"""Processes that fine-tune one network together: each learns from its share of every batch, on a GPU of its own.

The caller is rank 0 and goes on doing what it does alone: it validates, keeps the checkpoints, tells the progress and
decides when to stop. The others only help it with the gradients, which torch's DistributedDataParallel averages.
torchrun would instead run the whole step once per GPU, on one workspace (docs/decisions/0008).
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from training.device import Device
from workspace.errors import ConfigError, WorkspaceError

_END_S = 30.0
"""How long the others may take to end after the last step."""

_DEATH_S = 1.0
"""How long one that this process has lost may take to be seen as dead."""


@dataclass(frozen=True, slots=True)
class Team:
    """The place of this process among `size` that train together, and the device that is its own."""

    device: Device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that keeps and tells what comes of the training."""
        return self.rank == 0

    def share(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those of a batch's rows that are for this process."""
        return rows[self.rank :: self.size]

    def join(self, module: nn.Module) -> nn.Module:
        """The same module, which starts from rank 0's parameters; its gradients are the mean over all processes."""
        return DistributedDataParallel(module) if self.size > 1 else module

    def total(self, value: float) -> float:
        """The sum of every process's value."""
        if self.size == 1:
            return value
        everybody = torch.tensor([value], dtype=torch.float64, device=self.device.place)
        distributed.all_reduce(everybody)
        return float(everybody)

    def decided(self, answer: bool) -> bool:
        """Rank 0's answer."""
        return self.total(float(answer and self.leads)) > 0


@contextmanager
def team_of(size: int, device: Device, work: Callable[..., None], *given: Any) -> Iterator[Team]:
    """Start `size` - 1 processes beside this one, each of which calls `work(team, *given)`; they end with the block.

    Args:
        size: processes, this one among them; 1 starts none.
        device: this process's; the others get the GPUs after the first, or share the CPU.
        work: a function of a module.
        given: copied to each process.

    Raises:
        ConfigError: there are fewer GPUs.
        WorkspaceError: another process failed; its own words are above, on stderr.
    """
    if size == 1:
        yield Team(device)
        return
    if device.place.type == "cuda" and torch.cuda.device_count() < size:
        raise ConfigError(
            f"train.processes = {size}, but torch sees {torch.cuda.device_count()} GPUs; each process needs its own"
        )
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of this process's threads
    copied = pickle.dumps((work, given))  # by value: torch's own way would let every process write the same weights
    ready = context.Semaphore(0)
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"  # a file in which they find each other: no port
        teams = [Team(device.of_rank(rank), rank, size) for rank in range(1, size)]
        others: list[BaseProcess] = [
            context.Process(target=_help, args=(team, meeting, ready, copied), daemon=True) for team in teams
        ]
        try:
            for other in others:
                other.start()
            for _ in others:  # who waits at the meeting for one that died on its way waits for half an hour
                while not ready.acquire(timeout=0.1):
                    _blame(others, None)
            team = Team(device, 0, size)
            with _group(team, meeting):
                yield team
            _blame(others, None, _END_S)
        except RuntimeError as error:
            _blame(others, error, _DEATH_S)
            raise
        finally:
            for other in others:
                if other.is_alive():
                    other.kill()
                    other.join()


def _help(team: Team, meeting: Path, ready: Semaphore, copied: bytes) -> None:
    """What another process does."""
    if team.device.place.type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // team.size))
    else:
        torch.cuda.set_device(team.device.place)  # NCCL sends over the current device
    work, given = pickle.loads(copied)
    ready.release()
    with _group(team, meeting):
        work(team, *given)


@contextmanager
def _group(team: Team, meeting: Path) -> Iterator[None]:
    """Torch's process group, over loopback alone."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    backend = "nccl" if team.device.place.type == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=meeting.as_uri(), rank=team.rank, world_size=team.size)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _blame(others: list[BaseProcess], error: Exception | None, patience_s: float = 0) -> None:
    """Name the process that failed, if one did."""
    for rank, other in enumerate(others, start=1):
        other.join(patience_s)
        if other.exitcode:
            raise WorkspaceError(
                f"process {rank} of the {len(others) + 1} that fine-tune together ended with exit code "
                f"{other.exitcode}, see its message above; the same command goes on from the last epoch, "
                "train.processes = 1 does without it"
            ) from error
