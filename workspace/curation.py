"""What curate proposed, and what of it still stands after a person has looked."""

from __future__ import annotations

from workspace.catalog import Catalog
from workspace.records import Override, Verdict

STAGE = "curate"
"""The stage of off-topic pictures and label errors."""

FEATURE_STAGES = ("near_copy", STAGE)
"""The stages that judge by features. Their own earlier verdicts must not decide which pictures they look at."""


def open_proposals(catalog: Catalog) -> dict[tuple[str, str], Verdict]:
    """The flags and drops of curate by (sha256, label), but for those on which a person has decided."""
    decided = set()
    for one in catalog.all(Override):
        decided |= {(one.sha256, one.label), (one.sha256, one.new_label)}
    return {
        (one.sha256, one.label): one
        for one in catalog.all(Verdict)
        if one.stage == STAGE and one.verdict != "keep" and (one.sha256, one.label) not in decided
    }
