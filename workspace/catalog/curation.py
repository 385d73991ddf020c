"""What curate proposed, and what of it still stands after a person has looked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.records import Cluster, Override, Verdict
from workspace.catalog.standing import Pair, decided_pairs

STAGE = "curate"
"""The stage of off-topic pictures and label errors."""

FEATURE_STAGES = ("near_copy", STAGE)
"""The stages that judge by features. Their own earlier verdicts must not decide which pictures they look at."""


def decided_by_people(catalog: Catalog) -> set[Pair]:
    """Every (sha256, label) on which a person has spoken, under the label that found it and the one it got."""
    return decided_pairs(catalog.all(Override))


def replace_clusters(catalog: Catalog, clusters: Sequence[Cluster]) -> None:
    """Make these the only clusters, in one transaction."""
    with catalog.engine.begin() as connection:
        connection.execute(TABLES[Cluster].delete())
        if clusters:
            connection.execute(TABLES[Cluster].insert(), [dataclasses.asdict(one) for one in clusters])


def open_proposals(catalog: Catalog) -> dict[Pair, Verdict]:
    """The flags and drops of curate by (sha256, label), but for those on which a person has decided."""
    decided = decided_by_people(catalog)
    return {
        (one.sha256, one.label): one
        for one in catalog.all(Verdict)
        if one.stage == STAGE and one.verdict != "keep" and (one.sha256, one.label) not in decided
    }
