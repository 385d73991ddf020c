"""Copies that hashes cannot see: crops, borders, watermarks, small turns; found among neighbours by cached features.

Two pictures whose features are near each other may show the same picture or the same kind of thing; they are laid
over each other to tell which (preprocessing/alignment.py). Run after the features step, by `curate`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from preprocessing.alignment import Agreement, Keypoints, compare, keypoints
from preprocessing.dedup import Copies, best_first, connected, stars
from preprocessing.matches import Matches
from preprocessing.pixels import PixelCache
from preprocessing.verdicts import STAGES, copy_verdicts
from workspace.arrays import latest_features
from workspace.catalog import Catalog
from workspace.config import WorkspaceConfig
from workspace.paths import Workspace
from workspace.progress import SILENT, Progress
from workspace.records import ImageFacts, Override, Verdict

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
_REMEMBERED = 4096  # pictures whose keypoints are kept: 55 kB each
_PROTECTED = -1_000_000  # a rank that a person's word stands for


def find_near_copies(
    workspace: Workspace, config: WorkspaceConfig, catalog: Catalog, progress: Progress = SILENT
) -> list[Verdict]:
    """Find the copies among the pictures that clean and people let stay; replaces nothing by itself.

    The result depends on those pictures alone, not on earlier results of this function: a second run gives the same.
    A picture that has lost its features since it was dropped here keeps that verdict.

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
    verdicts = catalog.all(Verdict)
    ranks = _ranks(catalog, verdicts, set(config.classes))
    store = latest_features(workspace)
    missing = set(store.missing(ranks))
    licensed = {sha for sha, hit in catalog.appearances() if hit.license}
    by_person = {sha for sha, labels in ranks.items() if _PROTECTED in labels.values()}
    ordered = sorted(
        (one for one in catalog.all(ImageFacts) if one.sha256 in ranks and one.sha256 not in missing),
        key=lambda one: (one.sha256 not in by_person, *best_first(one, one.sha256 in licensed)),
    )
    found: list[Verdict] = []
    if len(ordered) > 1:
        pairs = neighbours(
            store.get([one.sha256 for one in ordered]), config.clean.near_neighbours, config.clean.near_cosine
        )
        agreements = _compare_all(workspace, config, ordered, sorted({*pairs, *_hash_kin(ordered, verdicts)}), progress)
        copies = _copies(ordered, agreements)
        found = copy_verdicts(STAGE, ordered, ranks, copies, config.clean.rank_margin)
    kept_from_before = [one for one in verdicts if one.stage == STAGE and one.sha256 in missing]
    return sorted(
        (one for one in (*found, *kept_from_before) if one.verdict == "drop" or one.group),
        key=lambda one: (one.sha256, one.label),
    )


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


def _ranks(catalog: Catalog, verdicts: Sequence[Verdict], labels: set[str]) -> dict[str, dict[str, int]]:
    """The pictures that clean or a person lets stay, and their best rank under each label; a person's word is first."""
    stays: dict[tuple[str, str], bool] = {}
    for one in verdicts:
        if one.stage in STAGES:
            key = (one.sha256, one.label)
            stays[key] = stays.get(key, True) and one.verdict != "drop"
    best: dict[tuple[str, str], int] = {}
    for sha, hit in catalog.appearances():
        best[sha, hit.label] = min(hit.rank, best.get((sha, hit.label), hit.rank))
    for override in catalog.all(Override):
        stays[override.sha256, override.label] = override.action == "keep"
        wanted = override.new_label if override.action == "relabel" else override.label
        if override.action != "drop":
            stays[override.sha256, wanted] = True
            best[override.sha256, wanted] = _PROTECTED
    ranks: dict[str, dict[str, int]] = {}
    for (sha, label), stay in sorted(stays.items()):
        if stay and label in labels:
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
    cache = PixelCache(workspace, config.clean)

    @lru_cache(_REMEMBERED)
    def points(index: int) -> Keypoints:
        return keypoints(cache.read(pictures[index].sha256))

    def one_pair(pair: Pair) -> Agreement:
        i, j = pair
        left, right = cache.read(pictures[i].sha256), cache.read(pictures[j].sha256)
        return compare(left, right, points(i), points(j))

    progress.begin("Comparing neighbours", len(pairs))
    with ThreadPoolExecutor(config.clean.workers or os.cpu_count() or 1) as pool:
        agreements: dict[Pair, Agreement] = {}
        for pair, agreement in zip(pairs, pool.map(one_pair, pairs), strict=True):
            agreements[pair] = agreement
            progress.advance(1)
    return agreements


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
