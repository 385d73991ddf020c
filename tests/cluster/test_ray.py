"""A real Ray: the result of one machine, whatever becomes of workers and flows; and what is told of a wrong cluster."""

import dataclasses
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.object_storage import BUCKET
from collectors import download, search
from flows.cluster import code_version, spread
from flows.cluster.ray_engine import RayEngine
from gallery.site import Gallery
from preprocessing import clean, curate, split
from tests.cluster.killing import Killing, Logged, executions
from tests.support.hosts import Hosts
from training.network import features
from workspace.catalog.records import Cluster, Download, ImageFacts, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.config.storage import StorageConfig
from workspace.config.template import render_config
from workspace.errors import ClusterError, ShardLost
from workspace.files.atomic import write_atomic
from workspace.moving.move import move
from workspace.resolve import open_workspace
from workspace.spread.shards import HERE, Spread, side_by_side
from workspace.storage.image_store import ImageStore
from workspace.storage.lock import hold, lock_owner
from workspace.storage.paths import Workspace

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500), pytest.mark.filterwarnings("default")]  # Ray warns

PICTURES = 300
FORGOTTEN = 120  # pictures that a test has decoded again
SHARD = 40  # of them; more than `clean.BATCH`, so that one shard is enough for a commit
CHECKOUT = Path(__file__).resolve().parents[2]
SPREAD_WORK = ("download", "decode", "search copies", "compare copies", "features")


def run_steps(workspace: Workspace, config: WorkspaceConfig, spread: Spread) -> None:
    for step in (download, clean, features, curate):
        step.run(workspace, config, spread=spread)
    split.run(workspace, config)


def tables(workspace: Workspace) -> dict[str, list[Any]]:
    with workspace.open_catalog() as catalog:
        found: dict[str, list[Any]] = {
            kind.__name__: catalog.all(kind) for kind in (Download, ImageFacts, Verdict, Cluster)
        }
    found["Download"] = [dataclasses.replace(row, fetched_at="") for row in found["Download"]]
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Iterator[tuple[Workspace, WorkspaceConfig]]:
    """A workspace after all steps to `split` here, and one after `search`: 300 pictures, copies and broken files."""
    with Gallery.rendered(per_class=70, seed=5) as site:
        workspace, config = open_workspace(
            tmp_path_factory.mktemp("cluster") / "here",
            site.keywords,
            {
                "search.openverse.url": site.openverse_url,
                "search.per_class": 500,
                "network.allow_private_addresses": True,
                "network.per_host_pause_s": 0,
                "train.backbone": "efficientnet_lite0",
                "train.weights": "random",
                "split.min_per_class": 3,
                "cluster.shard": 60,
            },
        )
        search.run(workspace, config)
        copied(workspace, "searched")
        run_steps(workspace, config, HERE)
        yield workspace, config


def copied(workspace: Workspace, name: str) -> Workspace:
    target = workspace.root.with_name(name)
    subprocess.run(["cp", "-a", workspace.root, target], check=True)
    return Workspace(target)


@dataclasses.dataclass(frozen=True)
class InEnvironment:
    """Work on a machine whose environment has these variables, as keys are set there by whoever starts its worker."""

    work: Callable[[Any], Iterator[Any]]
    variables: tuple[tuple[str, str], ...]

    def __call__(self, shard: Any) -> Iterator[Any]:
        os.environ.update(self.variables)
        yield from self.work(shard)


def test_the_result_is_that_of_one_machine_although_a_worker_is_killed_in_every_step(
    found, over_ray, object_storage, catalog_elsewhere, tmp_path
) -> None:
    """The second workspace has its files in object storage and, where it is installed, its catalogue in PostgreSQL."""
    here, config = found
    there = Workspace(here.root.with_name("searched"))
    move(there, StorageConfig(files=f"s3://{BUCKET}/{secrets.token_hex(6)}", catalog=catalog_elsewhere))
    assert there.catalog_file.exists() == (not catalog_elsewhere)
    logged = {name: Logged(over_ray(shard=60), tmp_path / name, kill=name) for name in SPREAD_WORK}

    class EachKilled:
        """Spreads each work over the cluster, with a killed worker of its own."""

        alone = False
        shard_size, processes, share = over_ray(shard=60).shard_size, over_ray().processes, over_ray().share

        def run(self, work, lanes, *, name, gpus=0.0):
            placed = InEnvironment(work, tuple(object_storage.items()))
            return logged[name].run(placed, lanes, name=name, gpus=gpus)

    run_steps(there, config, EachKilled())
    assert tables(there) == tables(here)
    assert len(tables(here)["ImageFacts"]) >= PICTURES
    assert not there.images.exists() and ImageStore(there).sizes() == ImageStore(here).sizes()
    runs = [workspace.latest_run() for workspace in (here, there)]
    assert runs[0].dataset_file.read_bytes() == runs[1].dataset_file.read_bytes()
    for name in SPREAD_WORK:
        counts = executions(tmp_path / name)
        assert logged[name].doomed, f"{name}: no shard was killed"
        assert counts.pop(logged[name].doomed) == 2, name
        assert set(counts.values()) <= {1}, name
    assert len(executions(tmp_path / "decode")) > 5 and len(executions(tmp_path / "features")) > 5


def test_a_shard_that_always_kills_is_named_the_others_are_done_and_the_next_run_goes_on(
    found, over_ray, tmp_path
) -> None:
    workspace, config = copied(found[0], "doomed"), found[1]
    with workspace.open_catalog() as catalog:
        catalog.delete(ImageFacts, "sha256", [facts.sha256 for facts in catalog.all(ImageFacts)][:FORGOTTEN])
    logged = Logged(over_ray(shard=30), tmp_path / "log", kill="decode", times=99)
    with pytest.raises(ShardLost, match=r"decode: 3 worker processes ended over 30 pictures from \w+ on \(.*smaller"):
        clean.run(workspace, config, spread=logged)
    counts = executions(tmp_path / "log")
    assert counts.pop(logged.doomed) == 3 and set(counts.values()) == {1}
    files = len(list(workspace.images.glob("*/*")))
    assert len(tables(workspace)["ImageFacts"]) == files - 30
    again = clean.run(workspace, config, spread=over_ray(shard=60))
    assert (again.done, again.reused) == (30, files - 30)


# As the command `collect-and-train`, but of each work all shards except the first wait for the file of the first word.
WAITING = """
import sys
from pathlib import Path
from cli.main import main
from flows.cluster.spread import EngineSpread
from tests.cluster.killing import Waiting
run, go = EngineSpread.run, Path(sys.argv.pop(1))
EngineSpread.run = lambda self, work, lanes, **named: run(self, Waiting(work, go), lanes, **named)
main()
"""


def stored_facts(workspace: Workspace) -> int:
    with closing(sqlite3.connect(f"file:{workspace.catalog_file}?mode=ro", uri=True)) as connection:
        return int(connection.execute("select count(*) from images").fetchone()[0])


def environment_of_worker(_shard: int) -> list[dict[str, str]]:
    return [dict(os.environ)]


def test_pauses_and_connections_of_a_host_hold_over_two_workers_and_no_key_is_there(
    over_ray, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", "a-key-of-the-flow")
    monkeypatch.setenv("PREFECT_API_KEY", "a-key-of-the-flow")
    network = {"allow_private_addresses": True, "per_host_pause_s": 0.1, "contact": "a@b.example"}
    config = WorkspaceConfig.model_validate({"classes": {"a": "a", "b": "b"}, "network": network})
    with Hosts(3, answer_s=0.06) as hosts:
        urls = [hosts.url(number % 2, f"{number}.png") for number in range(24)]
        urls += [hosts.url(number % 2, f"to/2/{number}.png") for number in range(30, 42)]
        logged = Logged(over_ray(shard=12), tmp_path / "log", kill="download")
        counts = download.run(Workspace(tmp_path / "w"), config, urls=urls, spread=logged)
        assert counts.by_reason == {"ok": 36}
        for host in range(3):
            assert hosts.keeps_pause(host, 0.1), host
            assert hosts.most_at_once(host) <= config.download.per_host_connections
    sent = Killing(environment_of_worker, tmp_path / "log")
    (seen,) = over_ray().run(sent, side_by_side([1]), name="environment")
    assert "a-key-of-the-flow" not in seen.values()


@pytest.fixture
def interrupted(found, ray_address, tmp_path) -> Callable[[int], tuple[int, Workspace]]:
    """Run `clean` on the cluster as a command, end it with a signal after its first shard; returns its exit code."""

    def run(how: int) -> tuple[int, Workspace]:
        workspace = copied(found[0], f"interrupted-{how}")
        config = found[1].model_copy(
            update={
                "cluster": found[1].cluster.model_copy(
                    update={"engine": "ray", "address": ray_address, "shard": SHARD, "ahead": 1}
                )
            }
        )
        write_atomic(workspace.config_file, render_config(config).encode())
        with workspace.open_catalog() as catalog:
            catalog.delete(ImageFacts, "sha256", [facts.sha256 for facts in catalog.all(ImageFacts)][:FORGOTTEN])
        before, go, log = stored_facts(workspace), tmp_path / "go", tmp_path / "log"
        command = [sys.executable, "-c", WAITING, go, "clean", "-w", workspace.root]
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=CHECKOUT, stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + 200
            while stored_facts(workspace) == before:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            process.send_signal(how)
            process.wait(60)
        finally:
            process.kill()
            go.touch()
        return process.returncode, workspace

    return run


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_flow_that_is_ended_leaves_no_lock_and_the_same_command_goes_on(interrupted, how) -> None:
    code, workspace = interrupted(how)
    assert code != 0
    assert lock_owner(workspace) is None
    with hold(workspace, "test"):
        pass
    done, files = len(tables(workspace)["ImageFacts"]), len(list(workspace.images.glob("*/*")))
    assert files - FORGOTTEN + clean.BATCH <= done < files
    again = subprocess.run(
        [Path(sys.executable).parent / "collect-and-train", "clean", "-w", workspace.root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert f"{files - done} done" in again.stdout and f"{done} " in again.stdout
    assert len(tables(workspace)["ImageFacts"]) == files


def test_an_address_that_does_not_answer_is_told_at_once(ray_address) -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match=r"no Ray answers at 127\.0\.0\.1:9 \(cluster\.address\): .*ray start"):
        RayEngine("127.0.0.1:9")
    assert time.monotonic() - began < 30


def test_workers_with_another_version_of_the_code_are_told(ray_address, monkeypatch) -> None:
    spread._connect.cache_clear()
    sys.modules["ray"].shutdown()
    monkeypatch.setattr(code_version, "_digest", lambda: "another")
    with pytest.raises(ClusterError, match=r"the Ray worker on 127\.0\.0\.2 has another version of the code; install"):
        RayEngine(ray_address)


def test_a_wrong_token_is_told(ray_address) -> None:
    code = f"from flows.cluster.ray_engine import RayEngine; RayEngine({ray_address!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"RAY_AUTH_TOKEN": "0" * 64},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "refuses our token, or the lack of one: set RAY_AUTH_MODE=token" in done.stderr
