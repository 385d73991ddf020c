"""A Ray cluster of two nodes with one core each, on loopback, with a token; it ends with the tests."""

import sys
from collections.abc import Callable, Iterator

import pytest

from benchmarks.support import postgresql
from benchmarks.support.ray_nodes import missing, temporary_nodes
from flows.cluster import spread as spread_module
from flows.cluster.spread import EngineSpread, spread_for
from workspace.config.cluster import ClusterConfig


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """Start the cluster; the address of its head."""
    if why := missing():
        pytest.skip(why)
    with temporary_nodes() as address:
        yield address
        spread_module._connect.cache_clear()
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()


@pytest.fixture
def catalog_elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The variable with the address of an empty database on PostgreSQL; empty where that is not installed."""
    if postgresql.missing():
        return ""
    monkeypatch.setenv("CATALOG", request.getfixturevalue("empty_database"))
    return "CATALOG"


@pytest.fixture
def over_ray(ray_address: str) -> Callable[..., EngineSpread]:
    """Make a spread over the cluster."""

    def make(**settings: object) -> EngineSpread:
        made = spread_for(ClusterConfig.model_validate({"engine": "ray", "address": ray_address} | settings))
        assert isinstance(made, EngineSpread)
        return made

    return make
