"""The table of the command `sources`."""

from __future__ import annotations

from rich.table import Table

from collectors.sources import registry
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.model import WorkspaceConfig
from workspace.terminal import rendered


def source_table(config: WorkspaceConfig | None, *, check: bool) -> str:
    """Render a table of every source; with `check` also whether each answers.

    Args:
        config: whose URLs and keys to use; None: the defaults and the environment.
        check: ask each source one question.
    """
    search = config.search if config else SearchConfig()
    network = config.network if config else NetworkConfig()
    states = _check_all(search, network) if check else {}
    table = Table(show_edge=False, pad_edge=False)
    for title in ("source", "what it is", "key", "licences", "limits", *(["state"] if check else [])):
        table.add_column(title, overflow="fold")
    for row in registry.source_rows(search):
        table.add_row(
            row.name, row.summary, row.key, row.licenses, row.limits, *([states.get(row.name, "")] if check else [])
        )
    return rendered(table)


def _check_all(search: SearchConfig, network: NetworkConfig) -> dict[str, str]:
    states = {}
    with registry.open_session(network) as session:
        for name in registry.SOURCES:
            state, reason = registry.check(name, session, search)
            states[name] = f"{state}: {reason}"
    return states
