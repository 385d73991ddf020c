"""A Ray cluster of two nodes with one core each, on loopback, with a token; it ends with the tests."""

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
    pytest.importorskip("ray", reason="Ray is not installed: pip install -c constraints.txt '.[cluster]'")
    folder = tempfile.mkdtemp(prefix="ray-")  # short: the paths of its sockets may have 107 bytes
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    before = dict(os.environ)
    os.environ.update(token)
    paths = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    nodes = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("start_ray.py"), folder],
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert nodes.stdin and nodes.stdout
    try:
        address = ""
        while ":" not in address:
            address = nodes.stdout.readline().strip()
            assert address or nodes.poll() is None, "Ray did not start; see its messages above"
        yield address
        spread_module._connect.cache_clear()
        sys.modules["ray"].shutdown()
    finally:
        nodes.stdin.close()
        nodes.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def over_ray(ray_address: str) -> Callable[..., EngineSpread]:
    """Make a spread over the cluster."""

    def make(**settings: object) -> EngineSpread:
        made = spread_for(ClusterConfig.model_validate({"engine": "ray", "address": ray_address} | settings))
        assert isinstance(made, EngineSpread)
        return made

    return make
