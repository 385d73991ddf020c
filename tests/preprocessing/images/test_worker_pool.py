"""A decoder that crashes, hangs or eats memory takes only its own worker with it, and no file is lost."""

import functools
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from preprocessing.images.worker import FailedJob, JobLimits
from preprocessing.images.worker_pool import WorkerPool, run_all

# A module of its own, because what a worker runs has to be importable by name.
WICKED = '''
import ctypes, os, pathlib, signal, time

def work(folder, job):
    """What the word says; everything else is its length."""
    with pathlib.Path(folder, job).open("a") as seen:
        seen.write("x")
    if job.startswith("segfault"):
        ctypes.string_at(0)
    if job.startswith("exit"):
        os._exit(3)
    if job.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if job.startswith("once") and pathlib.Path(folder, job).stat().st_size == 1:
        os._exit(4)
    if job.startswith("hang"):
        time.sleep(600)
    if job.startswith("spin"):
        while True:
            pass
    if job.startswith("eat"):
        eaten = []
        while True:
            eaten.append(bytearray(20_000_000))
    if job.startswith("raise"):
        raise LookupError(job)
    if job.startswith("which"):
        return os.getpid()
    if job.startswith("shout"):
        os.write(2, b"libtiff has opinions")
    return len(job)
'''
LIMITS = JobLimits(seconds=20, memory_bytes=80_000_000)
HASTY = JobLimits(seconds=2, memory_bytes=80_000_000)  # for jobs that never end


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "wicked_for_test.py").write_text(WICKED)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "seen").mkdir()
    yield functools.partial(__import__("wicked_for_test").work, str(tmp_path / "seen"))
    del sys.modules["wicked_for_test"]


def seen(tmp_path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in (tmp_path / "seen").iterdir()}


@pytest.mark.parametrize("workers", [1, 3])
def test_each_wicked_file_has_its_reason_and_every_good_one_its_result(work, tmp_path, workers) -> None:
    wicked = {
        "segfault": "decoder_crashed",
        "exit": "decoder_crashed",
        "killed": "decoder_crashed",
        "eat": "decoder_memory",
    }
    endless = {"hang": "decoder_timeout", "spin": "decoder_timeout"}
    good = [f"good{n}" for n in range(20)]
    jobs = [*good[:3], *wicked, *good[3:], "once"]
    outcomes = [*run_all(jobs, work, workers, LIMITS), *run_all([*endless], work, workers, HASTY)]
    lost = {one.job: one for one in outcomes if isinstance(one, FailedJob)}
    assert {job: one.reason for job, one in lost.items()} == wicked | endless
    assert sorted(one for one in outcomes if not isinstance(one, FailedJob)) == sorted(map(len, [*good, "once"]))
    assert "SIGSEGV" in lost["segfault"].detail and "exit code 3" in lost["exit"].detail
    assert "decoder_timeout_s" in lost["hang"].detail and "decoder_memory_mb" in lost["eat"].detail
    twice = {"segfault", "exit", "killed", "once"}
    assert seen(tmp_path) == {job: 2 if job in twice else 1 for job in [*jobs, *endless]}


def test_nothing_but_wicked_files_ends_too(work) -> None:
    outcomes = list(run_all([f"exit{n}" for n in range(5)], work, 2, LIMITS))
    assert [one.reason for one in outcomes] == ["decoder_crashed"] * 5


def test_other_errors_are_raised_and_end_every_worker(work) -> None:
    outcomes = run_all(["raise", *(f"hang{n}" for n in range(4))], work, 2, JobLimits(120, 300_000_000))
    began = time.monotonic()
    with pytest.raises(LookupError, match="raise"):
        list(outcomes)
    assert time.monotonic() - began < 100


def test_who_stops_reading_waits_for_nobody(work) -> None:
    outcomes = run_all(["good", "hang"], work, 2, JobLimits(120, 300_000_000))
    assert next(outcomes) == 4
    began = time.monotonic()
    outcomes.close()
    assert time.monotonic() - began < 100


def test_what_a_c_library_prints_goes_nowhere(work, capfd) -> None:
    assert list(run_all(["shout"], work, 1, LIMITS)) == [5]
    assert capfd.readouterr() == ("", "")


def test_no_jobs_start_no_process(work) -> None:
    assert list(run_all([], work, 4, LIMITS)) == []


def test_workers_run_beside_each_other(work) -> None:
    outcomes = list(run_all([f"hang{n}" for n in range(6)], work, 6, HASTY))
    assert len(outcomes) == 6 and os.getpid() > 0


def test_a_pool_serves_several_threads_each_job_with_its_outcome(work, tmp_path) -> None:
    pool, hasty = WorkerPool(work, 2, LIMITS), WorkerPool(work, 1, HASTY)
    jobs = ["good", "segfault", "hang", "once", "eat", "better", "good2", "good3"]
    with ThreadPoolExecutor(8) as threads:
        ran = threads.map(lambda job: (hasty if job == "hang" else pool).run(job), jobs)
        outcomes = dict(zip(jobs, ran, strict=True))
    failed = {job: one.reason for job, one in outcomes.items() if isinstance(one, FailedJob)}
    assert failed == {"segfault": "decoder_crashed", "hang": "decoder_timeout", "eat": "decoder_memory"}
    good = {job: len(job) for job in jobs if job not in failed}
    assert {job: outcomes[job] for job in good} == good
    assert seen(tmp_path) == {job: 2 if job in {"segfault", "once"} else 1 for job in jobs}


def test_a_pool_raises_what_the_work_raises_and_goes_on_with_the_same_worker(work) -> None:
    pool = WorkerPool(work, 1, JobLimits(30, 300_000_000))
    process = pool.run("which")
    with pytest.raises(LookupError, match="raise"):
        pool.run("raise")
    assert [pool.run(f"which{n}") for n in range(20)] == [process] * 20
