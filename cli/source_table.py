"""The answer of the command `sources`."""

from __future__ import annotations

from rich.table import Table

from cli.documents.images import SourceEntry, Sources
from collectors.sources import registry
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.model import WorkspaceConfig
from workspace.terminal import rendered


def list_sources(config: WorkspaceConfig | None, *, check: bool) -> Sources:
    """List every source; with `check` also whether each answers.

    Args:
        config: whose URLs and keys to use; None: the defaults and the environment.
        check: ask each source one question.
    """
    search = config.search if config else SearchConfig()
    states = _check_all(search, config.network if config else NetworkConfig()) if check else {}
    entries = []
    for row in registry.source_rows(search):
        state, reason = states.get(row.name, ("", ""))
        texts = {"name": row.name, "summary": row.summary, "key": row.key, "licenses": row.licenses}
        entries.append(SourceEntry(**texts, limits=row.limits, state=state, reason=reason))
    return Sources(sources=entries)


def source_table(found: Sources, *, with_state: bool) -> str:
    """Render them as a table."""
    table = Table(show_edge=False, pad_edge=False)
    for title in ("source", "what it is", "key", "licences", "limits", *(["state"] if with_state else [])):
        table.add_column(title, overflow="fold")
    for row in found.sources:
        state = f"{row.state}: {row.reason}" if row.state else ""
        table.add_row(row.name, row.summary, row.key, row.licenses, row.limits, *([state] if with_state else []))
    return rendered(table)


def _check_all(search: SearchConfig, network: NetworkConfig) -> dict[str, tuple[str, str]]:
    with registry.open_session(network) as session:
        return {name: registry.check(name, session, search) for name in registry.SOURCES}
