from __future__ import annotations

import atexit
import functools
import math
import multiprocessing
import operator
import os
import signal
import time
from datetime import timedelta

import numpy as np
import pytest
import torch

from training.fit import distributed as ranks
from training.fit.distributed import Team, check_world_size, team_of
from training.network.device import Device, choose_device
from workspace.errors import ConfigError, WorkspaceError

CPU = choose_device("cpu")


@pytest.fixture
def nothing_stays():
    """Tells whether every process that the test started has ended; decoding keeps workers of earlier tests."""
    before = set(multiprocessing.active_children())
    return lambda: set(multiprocessing.active_children()) <= before


def test_the_shares_of_a_batch_are_the_batch():
    rows = np.arange(11)
    shares = [Team(CPU, rank, 3).share(rows) for rank in range(3)]
    assert sorted(np.concatenate(shares).tolist()) == rows.tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_starts_no_other(nothing_stays):
    with team_of(1, CPU, math.sqrt) as team:
        assert (team.total(2.5), team.decided(True), team.decided(False)) == (2.5, True, False)
        assert nothing_stays()


def test_each_process_has_the_gpu_of_its_number_and_the_cpu_is_shared():
    assert CPU.of_rank(1) == CPU
    assert Device(torch.device("cuda"), torch.bfloat16).of_rank(2).torch_device == torch.device("cuda", 2)


def test_more_processes_than_gpus_are_refused_with_the_number_that_works(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cuda = Device(torch.device("cuda"), torch.bfloat16)
    check_world_size(2, cuda, [100], 32)
    with pytest.raises(ConfigError, match=r"torch sees 2 GPUs.*set train\.processes = 2$"):
        check_world_size(3, cuda, [100], 32)


def test_more_processes_than_images_in_the_smallest_batch_are_refused():
    check_world_size(16, CPU, [64, 33], 32)  # 33 images: batches of 17 and 16
    with pytest.raises(ConfigError, match=r"a batch has only 16 pictures.*set train\.processes = 16, or"):
        check_world_size(17, CPU, [64, 33], 32)


def test_when_another_process_fails_it_is_named_and_nothing_stays(capfd, nothing_stays):
    with (
        pytest.raises(WorkspaceError, match="process 1 of the 2 that fine-tune together ended with exit code 1"),
        team_of(2, CPU, math.sqrt) as team,
    ):
        while True:
            team.total(1.0)  # as when its gradients are waited for
    assert "must be real number, not Team" in capfd.readouterr().err
    assert nothing_stays()


class EndsSlowly:
    """Work that fails, in a process that takes long to end after it has closed its connections, as under load."""

    def __call__(self, team):
        atexit.register(time.sleep, 3.0)
        raise ValueError("this rank has failed")


def test_a_process_that_fails_and_ends_slowly_is_named(capfd, nothing_stays):
    with (
        pytest.raises(WorkspaceError, match="process 1 of the 2 that fine-tune together ended with exit code 1"),
        team_of(2, CPU, EndsSlowly()) as team,
    ):
        while True:
            team.total(1.0)
    assert "this rank has failed" in capfd.readouterr().err
    assert nothing_stays()


class Killed:
    def __call__(self, team):
        if team.rank == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            team.total(1.0)


def test_of_three_the_one_that_was_killed_is_named_not_the_one_that_lost_it(nothing_stays):
    with pytest.raises(WorkspaceError, match="process 2 of the 3 .* exit code -9"), team_of(3, CPU, Killed()) as team:
        while True:
            team.total(1.0)
    assert nothing_stays()


def test_after_a_rendezvous_that_failed_the_next_one_works(monkeypatch):
    short = functools.partial(torch.distributed.init_process_group, timeout=timedelta(seconds=60))
    monkeypatch.setattr(torch.distributed, "init_process_group", short)  # in place of 30 minutes
    with monkeypatch.context() as patch, pytest.raises(WorkspaceError, match="process 1 of the 2"):
        patch.setenv("GLOO_SOCKET_IFNAME", "none-of-this-name")
        with team_of(2, CPU, operator.methodcaller("total", 1.0)):
            pass
    with team_of(2, CPU, operator.methodcaller("total", 1.5)) as team:
        assert team.total(1.0) == 2.5


def test_an_error_of_this_process_is_not_blamed_on_the_others(monkeypatch, nothing_stays):
    monkeypatch.setattr(ranks, "_SILENCE_S", 0.5)
    with pytest.raises(RuntimeError, match="out of memory"), team_of(2, CPU, operator.methodcaller("total", 1.0)):
        raise RuntimeError("out of memory")
    assert nothing_stays()


class Fragile:
    """Can be sent, but not received."""

    def __reduce__(self):
        return int, ("not a number",)


def test_one_that_dies_on_its_way_is_not_waited_for(nothing_stays):
    began = time.monotonic()
    with pytest.raises(WorkspaceError, match="process 1 of the 2"), team_of(2, CPU, math.sqrt, Fragile()):
        pass
    assert time.monotonic() - began < 60
    assert nothing_stays()


def test_values_are_added_over_all_processes(nothing_stays):
    with team_of(2, CPU, operator.methodcaller("total", 1.5)) as team:
        assert team.total(1.0) == 2.5
    assert nothing_stays()


def test_the_first_process_decides():
    with team_of(2, CPU, operator.methodcaller("decided", True)) as team:
        assert not team.decided(False)


def test_when_this_process_stops_so_do_the_others_that_wait_for_it(nothing_stays):
    with pytest.raises(KeyboardInterrupt), team_of(2, CPU, operator.methodcaller("total", 1.0)):
        raise KeyboardInterrupt
    assert nothing_stays()
