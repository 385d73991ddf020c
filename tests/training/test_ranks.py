from __future__ import annotations

import math
import multiprocessing
import operator
import time

import numpy as np
import pytest
import torch

from training.device import Device, choose_device
from training.ranks import Team, team_of
from workspace.errors import ConfigError, WorkspaceError

CPU = choose_device("cpu")


def test_the_shares_of_a_batch_are_the_batch():
    rows = np.arange(11)
    shares = [Team(CPU, rank, 3).share(rows) for rank in range(3)]
    assert sorted(np.concatenate(shares).tolist()) == rows.tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_starts_no_other():
    with team_of(1, CPU, math.sqrt) as team:
        assert (team.total(2.5), team.decided(True), team.decided(False)) == (2.5, True, False)
        assert not multiprocessing.active_children()


def test_each_process_has_the_gpu_of_its_number_and_the_cpu_is_shared():
    assert CPU.of_rank(1) == CPU
    assert Device(torch.device("cuda"), torch.bfloat16).of_rank(2).place == torch.device("cuda", 2)


def test_more_processes_than_gpus_are_refused():
    gpus = torch.cuda.device_count()
    with (
        pytest.raises(ConfigError, match=f"torch sees {gpus} GPUs"),
        team_of(gpus + 1 + (gpus == 0), Device(torch.device("cuda"), torch.bfloat16), math.sqrt),
    ):
        pass


def test_when_another_process_fails_it_is_named_and_nothing_stays(capfd):
    with (
        pytest.raises(WorkspaceError, match="process 1 of the 2 that fine-tune together ended with exit code 1"),
        team_of(2, CPU, math.sqrt) as team,
    ):
        while True:
            team.total(1.0)  # as when its gradients are waited for
    assert "must be real number, not Team" in capfd.readouterr().err
    assert not multiprocessing.active_children()


class Fragile:
    """Can be sent, but not received."""

    def __reduce__(self):
        return int, ("not a number",)


def test_one_that_dies_on_its_way_is_not_waited_for():
    began = time.monotonic()
    with pytest.raises(WorkspaceError, match="process 1 of the 2"), team_of(2, CPU, math.sqrt, Fragile()):
        pass
    assert time.monotonic() - began < 60
    assert not multiprocessing.active_children()


def test_values_are_added_over_all_processes():
    with team_of(2, CPU, operator.methodcaller("total", 1.5)) as team:
        assert team.total(1.0) == 2.5
    assert not multiprocessing.active_children()


def test_the_first_process_decides():
    with team_of(2, CPU, operator.methodcaller("decided", True)) as team:
        assert not team.decided(False)


def test_when_this_process_stops_so_do_the_others_that_wait_for_it():
    with pytest.raises(KeyboardInterrupt), team_of(2, CPU, operator.methodcaller("total", 1.0)):
        raise KeyboardInterrupt
    assert not multiprocessing.active_children()
