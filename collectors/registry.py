"""The sources by name. A new source is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from collectors.openverse import Openverse
from collectors.results_page import ResultsPage
from collectors.source import Source
from workspace.config import SearchConfig
from workspace.errors import ConfigError

SOURCES: dict[str, Callable[[SearchConfig], Source]] = {
    "openverse": Openverse,
    "results_page": ResultsPage,
}


def make_sources(search: SearchConfig) -> dict[str, Source]:
    """The sources that the settings name, in their order.

    Raises:
        ConfigError: a name is not known; lists the known ones.
    """
    unknown = [name for name in search.sources if name not in SOURCES]
    if unknown:
        raise ConfigError(f"search.sources: unknown {', '.join(unknown)}; the known sources are {', '.join(SOURCES)}")
    return {name: SOURCES[name](search) for name in dict.fromkeys(search.sources)}
