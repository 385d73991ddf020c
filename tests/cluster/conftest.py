"""A Ray cluster of two nodes with one core each, on loopback, with a token; it ends with the tests."""

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.cluster import spread as spread_module
from flows.cluster.spread import EngineSpread, spread_for
from workspace.config.cluster import ClusterConfig

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """Start the cluster; the address of its head."""
    if importlib.util.find_spec("ray") is None:  # not imported yet: it reads its variables then
        pytest.skip("Ray is not installed: pip install -c constraints.txt '.[cluster]'")
    if sys.platform != "linux":
        pytest.skip("only Linux has 127.0.0.2 without being told")
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: the paths of its sockets may have 107 bytes
    (folder / "ray").mkdir()
    settings = {
        "RAY_TMPDIR": str(folder),  # a person's own Ray on this machine is left alone
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        with subprocess.Popen(
            [sys.executable, Path(__file__).with_name("start_ray.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as nodes:
            assert nodes.stdin and nodes.stdout
            address = ""
            while ":" not in address:
                address = nodes.stdout.readline().strip()
                assert address or nodes.poll() is None, "Ray did not start; see its messages above"
            yield address
            spread_module._connect.cache_clear()
            sys.modules["ray"].shutdown()
            nodes.stdin.close()
            nodes.wait(60)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def over_ray(ray_address: str) -> Callable[..., EngineSpread]:
    """Make a spread over the cluster."""

    def make(**settings: object) -> EngineSpread:
        made = spread_for(ClusterConfig.model_validate({"engine": "ray", "address": ray_address} | settings))
        assert isinstance(made, EngineSpread)
        return made

    return make
