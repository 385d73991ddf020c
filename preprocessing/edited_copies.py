"""Copies that hashes cannot see: crops, borders, watermarks, small turns; found among neighbours by cached features.

Two pictures whose features are near each other may show the same picture or the same kind of thing; they are laid
over each other to tell which (preprocessing/duplicates/registration.py). Run after the features step, by `curate`.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from preprocessing.duplicates.fingerprint import look_of
from preprocessing.duplicates.group import best_first, copies_of
from preprocessing.duplicates.match import edited_matches
from preprocessing.duplicates.registration_cache import lay_over
from preprocessing.neighbours import near_pairs, unit
from preprocessing.verdicts import copy_verdicts
from workspace.catalog.catalog import Catalog
from workspace.catalog.curation import FEATURE_STAGES
from workspace.catalog.records import ImageFacts, Override, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress
from workspace.storage.arrays import latest_features
from workspace.storage.paths import Workspace

STAGE = "near_copy"
"""The stage of the verdicts made here."""

Features = npt.NDArray[np.float32]
Pair = tuple[int, int]

_PROTECTED = -1_000_000  # a rank that a person's word stands for


def find_near_copies(
    workspace: Workspace, config: WorkspaceConfig, catalog: Catalog, progress: Progress = SILENT
) -> list[Verdict]:
    """Find the copies among the pictures that clean and people let stay; replaces nothing by itself.

    The result depends on those pictures alone, not on earlier results of this function: a second run gives the same.
    Pictures without features take no part.

    Args:
        workspace: whose features and pixels are read.
        config: the copy settings under `clean`.
        catalog: its catalogue.
        progress: told how many pairs are compared.

    Returns:
        Verdicts of the stage `near_copy`, by sha256 and label, for pictures that are copies or kin of others only: drop
        with the reason `edited_copy` or `two_labels`, or keep, with the group that must stay in one split.

    Raises:
        WorkspaceError: there are no features, or a picture's pixels are gone.
    """
    if not config.clean.near_copies:
        return []
    ranks = _ranks(catalog, config.classes)
    store = latest_features(workspace)
    licensed = {sha for sha, hit in catalog.appearances() if hit.license}
    by_person = {sha for sha, labels in ranks.items() if _PROTECTED in labels.values()}
    ordered = sorted(
        (look_of(one) for one in catalog.each(ImageFacts) if one.sha256 in ranks and one.sha256 in store),
        key=lambda one: (one.sha256 not in by_person, *best_first(one, one.sha256 in licensed)),
    )
    found: list[Verdict] = []
    if len(ordered) > 1:
        names = [one.sha256 for one in ordered]
        pairs = neighbours(store.get(names), config.clean.near_neighbours, config.clean.near_cosine)
        laid = lay_over(workspace, config.clean, [(names[i], names[j]) for i, j in pairs], progress)
        matches = edited_matches(np.array(pairs, np.intp).reshape(-1, 2), laid)
        copies = copies_of(ordered, dict(zip(names, names, strict=True)), matches)
        found = copy_verdicts(STAGE, ordered, ranks, copies, config.clean.rank_margin)
    told = [one for one in found if one.verdict == "drop" or one.group]
    return sorted(told, key=lambda one: (one.sha256, one.label))


def neighbours(features: Features, count: int, least: float) -> list[Pair]:
    """Find the pairs of which one is among the other's nearest.

    Args:
        features: [n, dimension]; their cosines count.
        count: how many of the nearest, at most.
        least: smallest cosine.

    Returns:
        (i, j) with i < j, sorted.
    """
    vectors, own = unit(features), np.arange(len(features))
    return sorted({(min(pair), max(pair)) for pair in near_pairs(vectors, vectors, count, least, (own, own))})


def _ranks(catalog: Catalog, labels: Collection[str]) -> dict[str, dict[str, int]]:
    """The pictures that clean or a person lets stay, and their best rank under each label; a person's word is first."""
    best: dict[tuple[str, str], int] = {}
    for sha, hit in catalog.appearances():
        best[sha, hit.label] = min(hit.rank, best.get((sha, hit.label), hit.rank))
    for override in catalog.all(Override):
        best[override.sha256, override.new_label or override.label] = _PROTECTED
    ranks: dict[str, dict[str, int]] = {}
    for sha, label in catalog.kept(ignoring=FEATURE_STAGES):
        if label in labels:
            ranks.setdefault(sha, {})[label] = best.get((sha, label), 0)
    return ranks
