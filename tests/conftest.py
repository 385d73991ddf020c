"""Before every test the environment has the command line's defaults; fixtures: a site, and commands to run on it."""

import flows  # noqa: F401, I001  (sets them, before torch and Prefect are loaded)
import prefect  # noqa: F401  (runs its plugin hooks now: it cannot inside the event loop that a browser test keeps open)

import json
import os
import pickle
import secrets
import subprocess
import signal
import sys
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from safetensors.torch import save_file
from torch import Generator as Random
from torch import nn

from benchmarks.support import object_storage as s3
from benchmarks.support import postgresql
from flows.cluster.engine import Done, ShardTask, WorkerLost, do_shard
from flows.cluster.spread import EngineSpread
from gallery.site import Gallery
from training.network.backbone import Backbone, Network
from training.network.registry import BACKBONES, build_network
from workspace.config.cluster import ClusterConfig

CHECKOUT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

# No verdict by the clock, and equal examples in each run: a commit is not blamed for the luck of its draw.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

SETUP_BROWSER = "make setup-browser"


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after what pytest itself prints
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    yield
    skipped = [report for report in terminalreporter.getreports("skipped") if SETUP_BROWSER in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} browser tests were skipped, for want of a Chromium. To run them too: {SETUP_BROWSER}",
            yellow=True,
        )


# A network without ImageNet weights on few pictures: the mechanics are the same, the seconds fewer.
QUICK: dict[str, object] = {
    "train.backbone": "efficientnet_lite0",
    "train.weights": "random",
    "train.epochs": 1,
    "train.regime": "head-first",
    "train.folds": 2,
    "split.min_per_class": 3,
    "evaluate.bootstrap": 200,
    "network.allow_private_addresses": True,
    "network.per_host_pause_s": 0,
}

Command = Callable[..., subprocess.CompletedProcess[str]]
SaveModel = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Ctrl-C has its effect on commands, also where a shell started the tests in the background, and so ignoring it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What steps measure of their own speed is kept apart from that of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLLECT_AND_TRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def site() -> Iterator[Gallery]:
    with Gallery.rendered(per_class=12, seed=3) as gallery:
        yield gallery


@pytest.fixture(scope="session")
def quick(site: Gallery) -> dict[str, object]:
    """Settings that make a run against the site quick."""
    return QUICK | {"search.openverse.url": site.openverse_url}


@pytest.fixture(scope="session")
def quick_words(quick: dict[str, object]) -> list[str]:
    """The same settings as words for the command line."""
    return [word for name, value in quick.items() for word in ("--set", f"{name}={json.dumps(value)}")]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment of our own for Prefect, so that nothing of the person who runs the tests is read or written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = tmp_path_factory.mktemp("prefect")
    kept["PYTHONPATH"] = os.pathsep.join([str(CHECKOUT), *filter(None, [kept.get("PYTHONPATH"), _plugin(home)])])
    return kept | {
        "PREFECT_HOME": str(home),
        "COLLECT_AND_TRAIN_CACHE": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "OMP_NUM_THREADS": "2",
    }


def _plugin(folder: Path) -> str:
    """Where the entry point of flows/plugin.py is found, should the environment have been made before it was there."""
    if entry_points(group="prefect.plugins", name="collect-and-train"):
        return ""
    made = folder / "entry-points" / "collect_and_train_plugin-0.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: collect-and-train-plugin\nVersion: 0\n")
    (made / "entry_points.txt").write_text("[prefect.plugins]\ncollect-and-train = flows.plugin\n")
    return str(made.parent)


@pytest.fixture(scope="session")
def storage_server() -> Iterator[dict[str, str]]:
    """Object storage of our own; the variables that an environment needs to reach it."""
    if reason := s3.missing():
        pytest.skip(reason)
    with s3.temporary_storage() as variables:
        yield variables


@pytest.fixture
def object_storage(storage_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The same, set in this process for one test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in storage_server.items():
        monkeypatch.setenv(name, value)
    return storage_server


@pytest.fixture
def command(environment: dict[str, str]) -> Command:
    """Run one of the environment's commands in the checkout and wait for it."""

    def run(*words: str | Path, timeout: float = 170, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / words[0], *words[1:]],
            cwd=CHECKOUT,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """A server of PostgreSQL of our own; the address of its database `postgres`."""
    if reason := postgresql.missing():
        pytest.skip(reason)
    with postgresql.temporary_server() as address:
        yield address


@pytest.fixture
def empty_database(database_server: str) -> Iterator[str]:
    """The address of an empty database on it, a schema of its own."""
    import psycopg

    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        yield f"{database_server}?options=-csearch_path%3D{name}"
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture(scope="session")
def save_model() -> SaveModel:
    """Save an untrained efficientnet_lite0 as the folder of a model, which is made; `crop_px` 64 answers fastest."""

    def save(
        folder: Path,
        classes: Sequence[str] = ("ape", "bee"),
        resize_px: int = 256,
        crop_px: int = 224,
        network: Network | None = None,
        **card: object,
    ) -> Path:
        spec = BACKBONES["efficientnet_lite0"]
        if network is None:
            head = nn.Linear(spec.feature_dim, len(classes))
            nn.init.normal_(head.weight, std=0.1, generator=Random().manual_seed(2))
            nn.init.zeros_(head.bias)
            network = Network(Backbone(spec, build_network(spec, 3)), head)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), folder / "model.safetensors")
        values = {
            "format": 2,
            "classes": list(classes),
            "backbone": spec.name,
            "cache_side_px": 256,
            "trained_on": {"train": 2, "val": 1},
            "input": {"resize_px": resize_px, "crop_px": crop_px, "mean": list(spec.mean), "std": list(spec.std)},
        }
        (folder / "card.json").write_text(json.dumps(values | card), encoding="utf-8")
        return folder

    return save


class Threads:
    """An engine of threads: what is handed out is pickled where it can be, as it is on its way to a machine."""

    def __init__(self, places: int, lose: Callable[[Any, int], bool]) -> None:
        self._places, self._lose = places, lose
        self._pool = ThreadPoolExecutor(max(1, places))
        self.submitted: Counter[Any] = Counter()
        self.sent: list[bytes] = []
        self.under_way = self.most_under_way = 0
        self.cancelled = False

    def places(self, gpus: float) -> int:
        return self._places

    def share(self, value: Any) -> Any:
        return pickle.loads(pickle.dumps(_Value(value)))

    def submit(self, task: ShardTask, gpus: float) -> Future[Done]:
        with suppress(AttributeError, pickle.PicklingError, TypeError):  # a test's own function
            task = pickle.loads(data := pickle.dumps(task))
            self.sent.append(data)
        key = task.shard if isinstance(task.shard, int) else str(task.shard)
        self.submitted[key] += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return self._pool.submit(self._do, task, self.submitted[key])

    def _do(self, task: ShardTask, tries: int) -> Done:
        done = do_shard(task)
        if self._lose(task.shard, tries):
            raise WorkerLost("killed")
        return done

    def wait(self, handles: Collection[Future[Done]], seconds: float) -> Future[Done] | None:
        return next(iter(wait(handles, seconds, FIRST_COMPLETED).done), None)

    def take(self, handle: Future[Done]) -> Done:
        self.under_way -= 1
        return handle.result()

    def cancel(self, handles: Collection[Future[Done]]) -> None:
        self.cancelled = any([handle.cancel() for handle in handles])


class _Value:
    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self) -> Any:
        return self._value


class Shown:
    """The shards that people would see, by how they ended."""

    def __init__(self) -> None:
        self.ended_: list[str] = []
        self.lost: list[str] = []

    def began(self, name: str, shard: str) -> str:
        return shard

    def ended(self, shown: str, lost: str = "") -> None:
        (self.lost if lost else self.ended_).append(shown)


@pytest.fixture
def over_threads() -> Iterator[Callable[..., EngineSpread]]:
    """Make a spread over threads; `lose(shard, tries)` says which shards' workers are lost."""
    pools: list[ThreadPoolExecutor] = []

    def make(places: int = 2, lose: Callable[[Any, int], bool] = lambda *_: False, **settings: Any) -> EngineSpread:
        engine, shown = Threads(places, lose), Shown()
        pools.append(engine._pool)
        spread = EngineSpread(engine, ClusterConfig(**settings), shown)
        spread.engine, spread.shown = engine, shown  # type: ignore[attr-defined]
        return spread

    yield make
    for pool in pools:
        pool.shutdown()
