"""A real Dask scheduler with two workers: the result of one machine, also when a worker is killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from collectors import download, search
from flows.cluster import spread as spread_module
from flows.cluster.spread import spread_for
from gallery.site import Gallery
from preprocessing import clean
from tests.cluster.killing import Logged, executions
from workspace.catalog.records import ImageFacts, Verdict
from workspace.config.cluster import ClusterConfig
from workspace.config.model import WorkspaceConfig
from workspace.errors import ClusterError
from workspace.resolve import open_workspace
from workspace.storage.paths import Workspace

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("default"),  # Dask warns
    pytest.mark.skipif(
        find_spec("distributed") is None, reason="Dask is not installed: pip install -c constraints.txt '.[dask]'"
    ),
]


@pytest.fixture(scope="module")
def dask_address(tmp_path_factory) -> Iterator[str]:
    """Start a scheduler and two workers on free ports of loopback; they end with the tests."""
    import distributed

    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    checkout = Path(__file__).parents[2]
    paths = os.pathsep.join([str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    loopback = ("--host", "127.0.0.1", "--no-dashboard")
    module = (sys.executable, "-m", "distributed.cli")

    def start(name: str, *words: str) -> subprocess.Popen[bytes]:
        with (folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([*words], cwd=folder, env=environment, stdout=log, stderr=log)

    scheduler = (f"{module[2]}.dask_scheduler", "--port", "0", "--scheduler-file", str(file))
    worker = (f"{module[2]}.dask_worker", "--nthreads", "1", "--scheduler-file", str(file))
    started = [start("scheduler", *module[:2], *scheduler, *loopback)]
    started += [start(f"worker{number}", *module[:2], *worker, *loopback) for number in (1, 2)]
    try:
        deadline = time.monotonic() + 60
        while not file.is_file():
            assert started[0].poll() is None and time.monotonic() < deadline, (folder / "scheduler.log").read_text()
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"].removeprefix("tcp://")
    finally:
        spread_module._connect.cache_clear()
        with suppress(ValueError):  # no test has connected
            distributed.get_client().close()
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def collected(tmp_path_factory) -> tuple[Workspace, WorkspaceConfig]:
    """A workspace whose pictures were downloaded and not yet looked at."""
    with Gallery.rendered(per_class=20, seed=5) as site:
        settings = {
            "search.openverse.url": site.openverse_url,
            "search.per_class": 100,
            "network.allow_private_addresses": True,
            "network.per_host_pause_s": 0,
        }
        workspace, config = open_workspace(tmp_path_factory.mktemp("cluster") / "here", site.keywords, settings)
        search.run(workspace, config)
        download.run(workspace, config)
    return workspace, config


def test_clean_is_that_of_one_machine_although_a_worker_is_killed(dask_address, collected, tmp_path) -> None:
    here, config = collected
    there = Workspace(tmp_path / "there")
    subprocess.run(["cp", "-a", here.root, there.root], check=True)
    spread = spread_for(ClusterConfig(engine="dask", address=dask_address, shard=20))
    logged = Logged(spread, tmp_path / "log", kill="decode")
    clean.run(there, config, spread=logged)
    clean.run(here, config)
    for table in (ImageFacts, Verdict):
        with here.open_catalog() as own, there.open_catalog() as other:
            assert other.all(table) == own.all(table) != []
    counts = executions(tmp_path / "log")  # Dask may repeat finished shards of a worker that ended
    assert len(counts) > 2 and counts[logged.doomed] >= 2


def test_a_scheduler_that_does_not_answer_is_named_with_the_remedy(monkeypatch) -> None:
    monkeypatch.setattr("flows.cluster.dask_engine._ANSWER_S", "1s")
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at 127\.0\.0\.1:9 .*start it: dask scheduler"):
        spread_for(ClusterConfig(engine="dask", address="127.0.0.1:9"))


def test_an_address_is_needed() -> None:
    with pytest.raises(ClusterError, match="needs the scheduler's HOST:PORT in cluster.address"):
        spread_for(ClusterConfig(engine="dask"))
