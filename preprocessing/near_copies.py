"""Copies that hashes cannot see: crops, borders, watermarks, small turns; found among neighbours by cached features.

Two pictures whose features are near each other may show the same picture or the same kind of thing; they are laid
over each other to tell which (preprocessing/alignment.py). Run after the features step, by `curate`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from preprocessing.alignment import ALIGNMENT_VERSION, Agreement, Keypoints, compare, keypoints
from preprocessing.dedup import Copies, best_first, connected, stars
from preprocessing.matches import Matches
from preprocessing.pixels import PixelCache
from preprocessing.verdicts import EDITED_COPY, copy_verdicts
from workspace.arrays import ArrayStore, latest_features
from workspace.catalog import Catalog
from workspace.config import WorkspaceConfig
from workspace.curation import FEATURE_STAGES
from workspace.paths import Workspace
from workspace.progress import SILENT, Progress
from workspace.records import ImageFacts, Override, Verdict

__all__ = ["EDITED_COPY", "STAGE", "find_near_copies", "neighbours"]

STAGE = "near_copy"
"""The stage of the verdicts made here."""

# Measured by benchmarks.near_copies on the 803 photographs of ../shared: of the pairs that are no copies, one agreed
# in 0.70 of its cells (a toy alone, and the same toy beside a chair), the next in 0.49 (one bear in two poses).
SAME_CELLS, KIN_CELLS = 0.72, 0.5
# A photograph sold in two colours agrees in every cell.
SAME_COLOUR = 15.0
# Less of the picture is another picture of the same thing: kin.
SAME_COVER, SAME_OVERLAP, KIN_OVERLAP = 0.5, 0.75, 0.3

Features = npt.NDArray[np.float32]
Pair = tuple[int, int]

_BLOCK = 1024  # rows of similarities at a time: 1024 x n float32
_BATCH = 512  # pairs: what a kill loses at most
_REMEMBERED = 4096  # pictures whose keypoints are kept: 55 kB each
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
        (one for one in catalog.all(ImageFacts) if one.sha256 in ranks and one.sha256 in store),
        key=lambda one: (one.sha256 not in by_person, *best_first(one, one.sha256 in licensed)),
    )
    found: list[Verdict] = []
    if len(ordered) > 1:
        pairs = neighbours(
            store.get([one.sha256 for one in ordered]), config.clean.near_neighbours, config.clean.near_cosine
        )
        agreements = _compare_all(
            workspace, config, ordered, sorted({*pairs, *_hash_kin(ordered, catalog.all(Verdict))}), progress
        )
        copies = _copies(ordered, agreements)
        found = copy_verdicts(STAGE, ordered, ranks, copies, config.clean.rank_margin)
    told = [one for one in found if one.verdict == "drop" or one.group]
    return sorted(told, key=lambda one: (one.sha256, one.label))


def neighbours(features: Features, count: int, least: float) -> list[Pair]:
    """Find the pairs of which one is among the other's nearest: exact, by blocked matrix products.

    Args:
        features: [n, dimension]; their cosines count.
        count: how many of the nearest, at most.
        least: smallest cosine.

    Returns:
        (i, j) with i < j, sorted.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(lengths, 1e-12)
    pairs: set[Pair] = set()
    for start in range(0, len(unit), _BLOCK):
        near = unit[start : start + _BLOCK] @ unit.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -2.0  # itself, below every cosine
        top = np.argpartition(-near, min(count, near.shape[1] - 1), axis=1)[:, :count]
        rows, places = np.nonzero(np.take_along_axis(near, top, axis=1) >= least)
        for i, j in zip((rows + start).tolist(), top[rows, places].tolist(), strict=True):
            pairs.add((min(i, j), max(i, j)))
    return sorted(pairs)


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


def _hash_kin(ordered: Sequence[ImageFacts], verdicts: Sequence[Verdict]) -> set[Pair]:
    """Pairs that clean found to be kin: most are small crops."""
    place = {one.sha256: index for index, one in enumerate(ordered)}
    pairs = set()
    for one in verdicts:
        if one.stage == "copy" and one.group != one.sha256 and one.group in place and one.sha256 in place:
            i, j = sorted((place[one.sha256], place[one.group]))
            pairs.add((i, j))
    return pairs


def _compare_all(
    workspace: Workspace,
    config: WorkspaceConfig,
    pictures: Sequence[ImageFacts],
    pairs: Sequence[Pair],
    progress: Progress,
) -> dict[Pair, Agreement]:
    """Lay the pictures of each pair over each other; what an earlier run has compared is read from the cache."""
    cache = PixelCache(workspace, config.clean)
    store = ArrayStore(workspace.cache / f"agreements-v{ALIGNMENT_VERSION}-{cache.folder.name}")
    # The picture with the lower sha256 lies below, whichever is the better one.
    keys = {":".join(sorted((pictures[i].sha256, pictures[j].sha256))): (i, j) for i, j in pairs}

    @lru_cache(_REMEMBERED)
    def points(sha256: str) -> Keypoints:
        return keypoints(cache.read(sha256))

    def agreement(key: str) -> Agreement:
        left, right = key.split(":")
        return compare(cache.read(left), cache.read(right), points(left), points(right))

    todo = store.missing(keys)
    progress.begin("Comparing neighbours", len(todo))
    with ThreadPoolExecutor(config.clean.workers or os.cpu_count() or 1) as pool:
        for start in range(0, len(todo), _BATCH):
            some = todo[start : start + _BATCH]
            store.add(some, np.array(list(pool.map(agreement, some)), np.float32))
            progress.advance(len(some))
    rows = store.get(list(keys)).tolist() if keys else []
    return {pair: Agreement(*row) for pair, row in zip(keys.values(), rows, strict=True)}


def _copies(ordered: Sequence[ImageFacts], agreements: Mapping[Pair, Agreement]) -> Copies:
    near = sorted(pair for pair, how in agreements.items() if how.cells >= KIN_CELLS and how.overlap >= KIN_OVERLAP)
    same = np.array([_is_same(agreements[pair]) for pair in near], np.bool_)
    i, j = np.array(near, np.intp).reshape(-1, 2).T
    centre, _ = stars(len(ordered), Matches(i, j, np.zeros_like(i), same))
    names = [one.sha256 for one in ordered]
    return Copies(
        kept={sha: names[index] for sha, index in zip(names, centre, strict=True)},
        mirrored=(),
        kin=connected(names, [(names[one], names[other]) for one, other in near]),
        edited={sha for sha, index in zip(names, centre, strict=True) if names[index] != sha},
    )


def _is_same(how: Agreement) -> bool:
    return (
        how.cells >= SAME_CELLS
        and how.overlap >= SAME_OVERLAP
        and how.cover >= SAME_COVER
        and how.colour <= SAME_COLOUR
    )
