"""Curation proposals and which of them are still undecided."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog, row_of
from workspace.catalog.records import Cluster, Override, Verdict
from workspace.catalog.standing import Pair, decided_pairs

STAGE = "curate"
"""The stage of off-topic pictures and label errors."""

FEATURE_STAGES = ("near_copy", STAGE)
"""The stages that judge by features. Their own earlier verdicts must not decide which pictures they look at."""


def decided_by_people(catalog: Catalog) -> set[Pair]:
    """Read every (sha256, label) on which a person has decided, under the label that found it and the new one."""
    return decided_pairs(catalog.all(Override))


def replace_clusters(catalog: Catalog, clusters: Sequence[Cluster]) -> None:
    """Make these the only clusters, in one transaction."""
    with catalog.transaction() as connection:
        connection.execute(TABLES[Cluster].delete())
        if clusters:
            connection.execute(TABLES[Cluster].insert(), [row_of(cluster) for cluster in clusters])


def grouped(catalog: Catalog) -> list[Verdict]:
    """Read the verdicts that name a group: those on copies and near-duplicates."""
    table = TABLES[Verdict]
    with catalog.engine.connect() as connection:
        return [Verdict(*row) for row in connection.execute(sa.select(table).where(table.c.group != ""))]


def own_verdicts(catalog: Catalog) -> list[Verdict]:
    """Read the verdicts of the stage `curate`, by sha256 and label."""
    table = TABLES[Verdict]
    query = sa.select(table).where(table.c.stage == STAGE).order_by(*table.primary_key.columns)
    with catalog.engine.connect() as connection:
        return [Verdict(*row) for row in connection.execute(query)]


def open_flags(catalog: Catalog, reason: str) -> set[Pair]:
    """Read the (sha256, label) that are flagged for a reason, without those on which a person has decided."""
    table = TABLES[Verdict]
    query = sa.select(table.c.sha256, table.c.label).where(table.c.reason == reason, table.c.verdict == "flag")
    with catalog.engine.connect() as connection:
        flagged = {(str(sha), str(label)) for sha, label in connection.execute(query)}
    return flagged - decided_by_people(catalog)


def open_proposals(catalog: Catalog) -> dict[Pair, Verdict]:
    """Read the flags and drops of curate by (sha256, label), without those on which a person has decided."""
    decided = decided_by_people(catalog)
    return {
        (verdict.sha256, verdict.label): verdict
        for verdict in own_verdicts(catalog)
        if verdict.verdict != "keep" and (verdict.sha256, verdict.label) not in decided
    }
