"""Shards over an engine: the window, lanes, lost workers, errors; on threads in place of machines."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.cluster.spread import TRIES, spread_for
from workspace.config.cluster import ClusterConfig
from workspace.config.model import parse_config
from workspace.config.storage import StorageConfig
from workspace.errors import ClusterError, ConfigError, ShardLost, WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.spread.shards import HERE, side_by_side
from workspace.storage.paths import Workspace


class Work:
    """Doubles the numbers of a shard; counts what is done, and how much of it at once."""

    def __init__(self) -> None:
        self.done: Counter[int] = Counter()
        self.most, self._now, self._lock = 0, 0, threading.Lock()

    def __call__(self, shard: int) -> Iterator[int]:
        with self._lock:
            self.done[shard] += 1
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.01)
        with self._lock:
            self._now -= 1
        yield 2 * shard


def test_every_shard_is_done_once_and_no_more_are_handed_out_than_the_window(over_threads) -> None:
    spread, work = over_threads(places=2, ahead=3), Work()
    assert sorted(spread.run(work, side_by_side(range(20)), name="test")) == list(range(0, 40, 2))
    assert set(work.done.values()) == {1}
    assert spread.engine.most_under_way == 6
    assert work.most == 2


def test_shards_of_a_lane_follow_each_other_and_lanes_run_beside_each_other(over_threads) -> None:
    spread, taken = over_threads(places=2, ahead=2), Counter[str]()
    busy, seen = Counter[str](), []

    def work(shard: tuple[str, int]) -> list[tuple[str, int]]:
        busy[shard[0]] += 1
        seen.append(dict(busy))
        time.sleep(0.02)
        busy[shard[0]] -= 1
        return [shard]

    def lane(name: str) -> Iterator[tuple[str, int]]:
        for number in range(4):
            assert taken[name] == number, "the results before are taken first"
            yield name, number

    for name, _ in spread.run(work, [lane("a"), lane("b"), lane("c")], name="test"):
        taken[name] += 1
    assert taken == {"a": 4, "b": 4, "c": 4}
    assert max(max(now.values()) for now in seen) == 1
    assert any(sum(now.values()) == 2 for now in seen)


def test_a_lost_workers_shard_is_done_again_and_no_other(over_threads) -> None:
    spread = over_threads(lose=lambda shard, tries: shard == 5 and tries == 1)
    work = Work()
    assert sorted(spread.run(work, side_by_side(range(9)), name="test")) == list(range(0, 18, 2))
    assert spread.engine.submitted == Counter(dict.fromkeys(range(9), 1) | {5: 2})


def test_a_shard_that_ends_every_worker_is_named_and_all_others_are_done(over_threads, caplog) -> None:
    spread = over_threads(lose=lambda shard, _tries: shard == 5)
    results = []
    with pytest.raises(
        ShardLost, match=rf"decode: {TRIES} worker processes ended over 5 .*; everything else .* is done"
    ):
        for result in spread.run(Work(), [[4, 5, 6], [1]], name="decode"):
            results.append(result)
    assert sorted(results) == [2, 8, 12]
    assert spread.engine.submitted[5] == TRIES
    assert spread.shown.lost == ["5"]
    assert sorted(spread.shown.ended_) == ["1", "4", "6"]


def test_an_error_of_the_work_comes_after_its_results_and_ends_what_is_under_way(over_threads) -> None:
    spread = over_threads(places=1, ahead=3)

    def work(shard: int) -> Iterator[int]:
        yield shard
        if shard == 2:
            raise WorkspaceError("the disk is full")

    results = []
    with pytest.raises(WorkspaceError, match="the disk is full"):
        for result in spread.run(work, side_by_side(range(100)), name="test"):
            results.append(result)
    assert sorted(results)[:3] == [0, 1, 2]
    assert sum(spread.engine.submitted.values()) < 10


@dataclass(frozen=True)
class InWorkspace:
    workspace: Workspace


@pytest.mark.parametrize("files", ["", "s3://bucket/pandas"])
def test_a_worker_caches_in_the_shared_folder_or_in_scratch_that_goes_with_the_shard(
    over_threads, tmp_path, files
) -> None:
    workspace = Workspace(tmp_path / "ws")
    write_atomic(workspace.config_file, f'[storage]\nfiles = "{files}"\n'.encode())
    spread = over_threads(scratch=str(tmp_path / "scratch"))

    def work(shard: InWorkspace) -> Iterator[tuple[Path, StorageConfig | None]]:
        write_atomic(shard.workspace.cache / "pixels.npy", b"pixels", durable=False)
        yield shard.workspace.root, shard.workspace.placed

    ((root, placed),) = spread.run(work, side_by_side([InWorkspace(workspace)]), name="test")
    assert placed == StorageConfig(files=files)
    assert (root == workspace.root) == (not files)
    assert (tmp_path / "scratch" in root.parents) == bool(files) and root.exists() == (not files)


def test_whoever_stops_taking_results_cancels_the_rest(over_threads) -> None:
    spread, closed = over_threads(places=1, ahead=3), threading.Event()

    def work(shard: int) -> list[int]:
        if shard:
            closed.wait(60)
        return [shard]

    results = spread.run(work, side_by_side(range(100)), name="test")
    assert next(results) == 0
    results.close()
    closed.set()
    assert spread.engine.cancelled


def test_a_cluster_that_loses_all_machines_is_waited_for_and_then_told(over_threads, monkeypatch) -> None:
    monkeypatch.setattr("flows.cluster.spread._PATIENCE_S", 0.2)
    monkeypatch.setattr("flows.cluster.spread._POLL_S", 0.05)
    spread, told = over_threads(places=0), threading.Event()

    def work(shard: int) -> list[int]:
        told.wait(60)
        return [shard]

    try:
        with pytest.raises(ClusterError, match="the cluster has had no machine with a core"):
            list(spread.run(work, side_by_side([1]), name="test"))
    finally:
        told.set()


def test_a_shard_is_as_long_as_pictures_take_to_decode(over_threads) -> None:
    spread = over_threads(shard=1000)
    assert [spread.shard_size(weight) for weight in (1, 2, 0.1, 5000)] == [1000, 500, 10_000, 1]
    assert not spread.alone and spread.processes(0) == spread.processes(8) == 1


def test_without_an_engine_everything_is_done_here() -> None:
    assert spread_for(ClusterConfig()) is HERE


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('engine = "spark"', "cluster.engine"),
        ('address = "ray://head:10001"', "--num-cpus=0"),
        ('address = "head"', 'neither "auto" nor HOST:PORT'),
        ("shard = 0", "cluster.shard"),
    ],
)
def test_a_wrong_setting_is_told(line, why) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_config(f'[classes]\na = "a"\nb = "b"\n[cluster]\n{line}\n', "workspace.toml")


def test_an_engine_that_is_not_installed_is_told_with_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ClusterError, match=r"needs ray, which the extra `cluster` brings: pip install .*\[cluster\]"):
        spread_for(ClusterConfig(engine="ray"))
