"""Nearest neighbours by cosine: exact, by blocked matrix products, with an item's own group left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Groups = tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]
"""The group numbers of the queries [n] and of the bank [m]."""

_CELLS, _LEAST_ROWS = 8_000_000, 256  # cosines of a block: 32 MB; a block of few rows reads a large bank too often


def unit(features: npt.NDArray[np.floating]) -> Floats:
    """Scale each row of features [n, dim] to length 1, float32; a row of zeros stays one."""
    rows = features.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)


def cosine_blocks(queries: Floats, bank: Floats, groups: Groups | None = None) -> Iterator[tuple[slice, Floats]]:
    """Yield the cosines of all queries to all of the bank, a block of queries at a time.

    Args:
        queries: unit vectors [n, dim].
        bank: unit vectors [m, dim].
        groups: pairs of one group have the cosine -inf; None: every pair counts.

    Yields:
        The rows of the queries, and their cosines float32 [rows, m], which the caller may overwrite.
    """
    step = max(_LEAST_ROWS, _CELLS // max(1, len(bank)))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        cosines = queries[rows] @ bank.T
        if groups is not None:
            cosines[groups[0][rows, None] == groups[1][None, :]] = -np.inf
        yield rows, cosines


def nearest(queries: Floats, bank: Floats, count: int, groups: Groups | None = None) -> tuple[Indices, Floats]:
    """Find the nearest of a bank to each query.

    Args:
        queries: unit vectors [n, dim].
        bank: unit vectors [m, dim], m >= 1.
        count: how many for each, k = min(count, m).
        groups: as in `cosine_blocks`.

    Returns:
        Indices [n, k] into the bank and their cosines float32 [n, k], the nearest first; -inf: of the query's group.
    """
    count = min(count, len(bank))
    indices, cosines = np.zeros((len(queries), count), np.intp), np.zeros((len(queries), count), np.float32)
    for rows, block in cosine_blocks(queries, bank, groups):
        np.negative(block, out=block)
        top = np.sort(np.argpartition(block, count - 1, axis=1)[:, :count], axis=1)  # equals by their index
        order = np.argsort(np.take_along_axis(block, top, axis=1), axis=1, kind="stable")
        indices[rows] = np.take_along_axis(top, order, axis=1)
        cosines[rows] = -np.take_along_axis(block, indices[rows], axis=1)
    return indices, cosines


def near_pairs(
    queries: Floats, bank: Floats, count: int, least: float, groups: Groups | None = None
) -> list[tuple[int, int]]:
    """Find the pairs (query, bank) of the `count` nearest whose cosine is at least `least`; sorted, as `nearest`."""
    if not len(bank):
        return []
    indices, cosines = nearest(queries, bank, count, groups)
    rows, ranks = np.nonzero(cosines >= least)
    return sorted(zip(rows.tolist(), indices[rows, ranks].tolist(), strict=True))
