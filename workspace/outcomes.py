"""How the fetching went, counted by the database: a row per url would not stay small in memory."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from workspace.catalog import TABLES, Catalog
from workspace.records import Download


def download_counts(catalog: Catalog) -> Counter[str]:
    """How many urls ended as what: `ok`, or `status: reason`; `ok` first, then by name."""
    table = TABLES[Download]
    query = sa.select(table.c.status, table.c.reason, sa.func.count()).group_by(table.c.status, table.c.reason)
    counts: Counter[str] = Counter(ok=0)
    with catalog.engine.connect() as connection:
        for status, reason, count in sorted(tuple(row) for row in connection.execute(query)):
            counts["ok" if status == "ok" else f"{status}: {reason}"] += count
    return counts
