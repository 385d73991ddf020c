import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from gallery.site import Gallery

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# A network without ImageNet weights on few pictures: the mechanics are the same, the seconds fewer.
QUICK: dict[str, object] = {
    "train.backbone": "efficientnet_lite0",
    "train.weights": "random",
    "train.epochs": 1,
    "train.folds": 2,
    "split.min_per_class": 3,
    "evaluate.bootstrap": 200,
    "network.allow_private_addresses": True,
    "network.per_host_pause_s": 0,
}

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def site() -> Iterator[Gallery]:
    with Gallery.rendered(per_class=12, seed=3) as gallery:
        yield gallery


@pytest.fixture(scope="session")
def quick(site: Gallery) -> dict[str, object]:
    """Settings that make a run against the site quick."""
    return QUICK | {"search.openverse_url": site.openverse_url}


@pytest.fixture(scope="session")
def quick_words(quick: dict[str, object]) -> list[str]:
    """The same settings as words for the command line."""
    return [word for name, value in quick.items() for word in ("--set", f"{name}={json.dumps(value)}")]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment of our own for Prefect, so that nothing of the person who runs the tests is read or written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = tmp_path_factory.mktemp("prefect")
    return kept | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "OMP_NUM_THREADS": "2"}


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
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server on a free port of loopback; gives the address of its API."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=out,
            stderr=out,
        )
        try:
            api = f"http://127.0.0.1:{port}/api"
            _wait_for(f"{api}/health", process, log)
            yield api
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.3)
    pytest.fail(f"the Prefect server did not start:\n{log.read_text()}")
