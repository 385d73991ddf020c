"""A catalogue on each of the two databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from workspace.catalog.catalog import Catalog


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.cluster)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty catalogue can be opened."""
    if request.param == "sqlite":
        return tmp_path / "catalog.sqlite"
    address: str = request.getfixturevalue("empty_database")
    return address


@pytest.fixture
def catalog(location: Path | str) -> Iterator[Catalog]:
    with Catalog(location) as opened:
        yield opened
