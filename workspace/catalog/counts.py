"""Counts of downloads and decoded files, computed in SQL so that memory stays flat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.records import Download, Hit, ImageFacts
from workspace.reasons import in_order

_AT_A_TIME = 500
"""Values in one question to the database, which takes no more than 999 everywhere."""


def download_counts(catalog: Catalog) -> Counter[str]:
    """Count URLs by outcome: `ok` first, then `status: reason` in the order of the registry."""
    table = TABLES[Download]
    query = sa.select(table.c.status, table.c.reason, sa.func.count()).group_by(table.c.status, table.c.reason)
    counts: Counter[str] = Counter(ok=0)
    with catalog.engine.connect() as connection:
        for status, reason, count in connection.execute(query):
            counts["ok" if status == "ok" else f"{status}: {reason}"] += int(count)
    return Counter({"ok": counts.pop("ok"), **in_order(counts)})


def same_bytes_count(catalog: Catalog) -> int:
    """Count the downloaded URLs whose bytes another URL had given before."""
    table = TABLES[Download]
    query = sa.select(sa.func.count() - sa.func.count(sa.distinct(table.c.sha256))).where(table.c.status == "ok")
    with catalog.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def facts_count(catalog: Catalog) -> int:
    """Count the files that have facts."""
    with catalog.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(TABLES[ImageFacts])).scalar_one())


def assumed_count(catalog: Catalog) -> int:
    """Count the files for whose decoding something was assumed: ImageFacts.note."""
    table = TABLES[ImageFacts]
    with catalog.engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(table).where(table.c.note != "")
        return int(connection.execute(query).scalar_one())


def stored_thumbs(catalog: Catalog, names: Sequence[str]) -> list[str]:
    """Read the thumbs of these files (sha256) from their facts, in the same order."""
    table = TABLES[ImageFacts]
    found: dict[str, str] = {}
    with catalog.engine.connect() as connection:
        for start in range(0, len(names), _AT_A_TIME):
            batch = list(names[start : start + _AT_A_TIME])
            query = sa.select(table.c.sha256, table.c.thumb).where(table.c.sha256.in_(batch))
            found.update((str(sha), str(thumb)) for sha, thumb in connection.execute(query))
    return [found[name] for name in names]


def refused_files(catalog: Catalog, errors: Collection[str]) -> list[tuple[str, str, str]]:
    """List (sha256, error, detail) of every file with one of these errors, by sha256."""
    table = TABLES[ImageFacts]
    query = sa.select(table.c.sha256, table.c.error, table.c.detail).where(table.c.error.in_(list(errors)))
    with catalog.engine.connect() as connection:
        return sorted((str(sha), str(error), str(detail)) for sha, error, detail in connection.execute(query))


def appearances_under(catalog: Catalog, labels: Collection[str]) -> Iterator[tuple[str, Hit]]:
    """Yield what Catalog.appearances lists, for these labels alone."""
    return ((sha256, hit) for sha256, hit in catalog.each_appearance() if hit.label in labels)
