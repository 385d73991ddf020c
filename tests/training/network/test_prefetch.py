"""What is made ahead comes in order and unchanged, whoever makes it, and a failure is told as what it is."""

from __future__ import annotations

import errno
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory

import pytest

from training.network import prefetch
from training.network.prefetch import Workers, prefetched
from workspace.errors import WorkspaceError

WANTED = tuple(range(12))


def squared(number: int) -> int:
    return number * number


def refused(number: int) -> int:
    if number == 7:
        raise WorkspaceError("picture 7 is gone")
    return number


def killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def in_this_process(_: int) -> int:
    return os.getpid()


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "WORTH_PROCESSES", 1)


@pytest.mark.usefixtures("few_are_enough")
@pytest.mark.parametrize("workers", [Workers(0), Workers(1), Workers(3), Workers(2, processes=True)], ids=str)
def test_things_come_in_order_and_the_same_whoever_makes_them(workers: Workers) -> None:
    assert list(prefetched(WANTED, squared, workers)) == [(number, number * number) for number in WANTED]


@pytest.mark.usefixtures("few_are_enough")
def test_processes_are_others_and_few_things_are_made_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(2, processes=True)
    assert os.getpid() not in {made for _, made in prefetched(WANTED, in_this_process, workers)}
    monkeypatch.setattr(prefetch, "WORTH_PROCESSES", len(WANTED) + 1)
    assert {made for _, made in prefetched(WANTED, in_this_process, workers)} == {os.getpid()}


@pytest.mark.usefixtures("few_are_enough")
@pytest.mark.parametrize("workers", [Workers(0), Workers(2), Workers(2, processes=True)], ids=str)
def test_a_failure_comes_when_its_turn_comes_as_what_it_is(workers: Workers) -> None:
    made = prefetched(WANTED, refused, workers)
    with pytest.raises(WorkspaceError, match="^picture 7 is gone$"):
        for number, _ in made:
            assert number < 7


@pytest.mark.usefixtures("few_are_enough")
def test_a_killed_process_is_told_with_the_remedy() -> None:
    with pytest.raises(WorkspaceError, match=r"was killed, most often for want of memory .*; set features\.workers"):
        list(prefetched(WANTED, killed, Workers(2, processes=True)))


@pytest.mark.usefixtures("few_are_enough")
def test_without_shared_memory_the_remedy_is_named_and_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    pools: list[ProcessPoolExecutor] = []
    start = Workers.pool

    class Few(SharedMemory):
        def __init__(self, *args: object, **kwargs: object) -> None:
            if len(made) == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().__init__(*args, **kwargs)
            made.append(self.name)

    monkeypatch.setattr("training.network.shared_arrays.SharedMemory", Few)
    monkeypatch.setattr(Workers, "pool", lambda self, things: pools.append(start(self, things)) or pools[0])
    with pytest.raises(WorkspaceError, match=r"No space left on device\): set features\.workers to fewer"):
        list(prefetched(WANTED, squared, Workers(2, processes=True)))
    for name in made:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pools[0].submit(squared, 1)
