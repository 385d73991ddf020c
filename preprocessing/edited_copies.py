"""Find edited copies that hashes miss: crops, borders, watermarks, rotations by a few degrees.

Nearest neighbours by cached features may show the same image or only the same kind of thing; registration tells
which (preprocessing/duplicates/registration.py). Called by `curate`, after the features step.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from preprocessing.duplicates.fingerprint import fingerprint_of
from preprocessing.duplicates.group import best_first, copies_of
from preprocessing.duplicates.match import edited_matches
from preprocessing.duplicates.registration_cache import register_pairs
from preprocessing.neighbours import pairs_within
from preprocessing.verdicts import copy_verdicts
from workspace.catalog.catalog import Catalog
from workspace.catalog.counts import best_ranks, licensed_files
from workspace.catalog.curation import FEATURE_STAGES
from workspace.catalog.hits.label_ranks import FOUND, REVIEWED, LabelRank, label_rank
from workspace.catalog.records import ImageFacts, Override, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress
from workspace.spread.shards import HERE, Spread
from workspace.storage.arrays import latest_features
from workspace.storage.paths import Workspace

STAGE = "near_copy"
"""The stage of the verdicts made here."""

_REVIEWED, _UNRANKED = label_rank(REVIEWED, 0), label_rank(FOUND, 0)


class EditedCopies(NamedTuple):
    """Edited copies.

    Attributes:
        verdicts: of the stage `near_copy`, by sha256 and label, for images with copies or near-duplicates only: drop
            with the reason `edited_copy` or `two_labels`, or keep, with the group that must stay in one split.
        recall: the share of the nearest neighbours that the search found, by a sample; 1 where it was exact.
    """

    verdicts: list[Verdict]
    recall: float


def find_edited_copies(
    workspace: Workspace,
    config: WorkspaceConfig,
    catalog: Catalog,
    progress: Progress = SILENT,
    spread: Spread = HERE,
) -> EditedCopies:
    """Find edited copies among the images that clean and people have kept; writes nothing.

    The result depends on those images alone, not on earlier results of this function: a second run gives the same.
    Images without features take no part.

    Args:
        workspace: whose features and pixels are read.
        config: the copy settings under `clean`.
        catalog: its catalogue.
        progress: advances by each pair that is compared.
        spread: where pairs are compared.

    Raises:
        WorkspaceError: there are no features, or an image's pixels are gone.
        ShardLost: as `register_pairs` does.
    """
    if not config.clean.near_copies:
        return EditedCopies([], 1.0)
    ranks = _ranks(catalog, config.collected)
    store = latest_features(workspace)
    licensed = licensed_files(catalog)
    by_person = {sha for sha, labels in ranks.items() if _REVIEWED in labels.values()}
    ordered = sorted(
        (
            fingerprint_of(facts)
            for facts in catalog.each(ImageFacts)
            if facts.sha256 in ranks and facts.sha256 in store
        ),
        key=lambda image: (image.sha256 not in by_person, *best_first(image, image.sha256 in licensed)),
    )
    found: list[Verdict] = []
    recall = 1.0
    if len(ordered) > 1:
        names = [image.sha256 for image in ordered]
        pairs, recall = pairs_within(
            lambda rows: store.get([names[row] for row in rows.tolist()]),
            len(names),
            config.clean.near_neighbours,
            config.clean.near_cosine,
            workspace.cache,
        )
        agreements = register_pairs(
            workspace, config.clean, [(names[i], names[j]) for i, j in pairs.tolist()], progress, spread
        )
        matches = edited_matches(pairs, agreements)
        copies = copies_of(ordered, dict(zip(names, names, strict=True)), matches)
        found = copy_verdicts(STAGE, ordered, ranks, copies, config.clean.rank_margin)
    relevant = [verdict for verdict in found if verdict.verdict == "drop" or verdict.group]
    return EditedCopies(sorted(relevant, key=lambda verdict: (verdict.sha256, verdict.label)), recall)


def _ranks(catalog: Catalog, labels: Collection[str]) -> dict[str, dict[str, LabelRank]]:
    """Return the kept images with the rank of each of their labels."""
    best = {(sha, label): rank for sha, label, rank in best_ranks(catalog)}
    for override in catalog.all(Override):
        best[override.sha256, override.new_label or override.label] = _REVIEWED
    ranks: dict[str, dict[str, LabelRank]] = {}
    for sha, label in catalog.kept(ignoring=FEATURE_STAGES):
        if label in labels:
            ranks.setdefault(sha, {})[label] = best.get((sha, label), _UNRANKED)
    return ranks
