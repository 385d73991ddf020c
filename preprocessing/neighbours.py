"""Nearest neighbours by cosine, by blocked matrix products, with an item's own group left out.

The search is exact, but for the pairs within one large set (`pairs_within`), where comparing every item with every
other takes a quarter of an hour for 100,000 and a day for a million. An inverted file (Jegou, Douze and Schmid,
"Product quantization for nearest neighbor search", PAMI 2011) puts the items into the cells of a k-means clustering and
looks for the neighbours of an item in its own cell and in those beside it. What that misses is measured on a sample.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workspace.errors import WorkspaceError

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Pairs = npt.NDArray[np.intp]
"""Pairs of numbers of items, [n, 2]."""

Groups = tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]
"""The group numbers of the queries [n] and of the bank [m]."""

Read = Callable[[Indices], npt.NDArray[np.floating]]
"""Reads the features of some items, given by their numbers in ascending order: [n, dim]."""

EXACT_UP_TO = 50_000
"""Items up to which `pairs_within` compares every pair."""

# Items of a cell; cells searched beside an item's own: 31 miss a third of what 15 miss, in twice the time,
# which is little beside aligning what is found (docs/benchmarks.md).
_PER_CELL, _BESIDE = 1000, 31
_TRAINED_ON, _ROUNDS = 50, 8  # items per cell that k-means sees, and how often
_AT_A_TIME = 8192  # items read at a time
_SAMPLE = 256  # items whose true neighbours are looked for, to measure the recall

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


def near_pairs(queries: Floats, bank: Floats, count: int, least: float, groups: Groups | None = None) -> Pairs:
    """Find the pairs (query, bank) of the `count` nearest whose cosine is at least `least`, sorted: [n, 2]."""
    if not len(bank):
        return np.empty((0, 2), np.intp)
    indices, cosines = nearest(queries, bank, count, groups)
    rows, ranks = np.nonzero(cosines >= least)
    pairs = np.stack([rows, indices[rows, ranks]], axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


class NeighbourPairs(NamedTuple):
    """Pairs of near neighbours within one set.

    Attributes:
        pairs: (i, j) with i < j, sorted, each once: [n, 2].
        recall: the share of the true pairs of a sample of the items that was found; 1 where the search is exact.
    """

    pairs: Pairs
    recall: float


def pairs_within(read: Read, total: int, count: int, least: float, scratch: Path) -> NeighbourPairs:
    """Find the pairs of items in which either is among the nearest of the other.

    Args:
        read: gives the features; their cosines count.
        total: how many items there are. Above EXACT_UP_TO the search is approximate.
        count: how many of the nearest of each, at most.
        least: smallest cosine.
        scratch: a folder on a disk that can take the features once more while an approximate search lasts.

    Raises:
        WorkspaceError: the disk is full.
    """
    if total <= EXACT_UP_TO:
        items = np.arange(total)
        vectors = unit(read(items)) if total else np.empty((0, 1), np.float32)
        return NeighbourPairs(_each_once([near_pairs(vectors, vectors, count, least, (items, items))], total), 1.0)
    rng = np.random.default_rng(0)
    centres = _centres(read, total, rng)
    sample = np.sort(rng.choice(total, min(total, _SAMPLE), replace=False))
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch) as file:
            index = _InvertedFile(file.fileno(), read, total, centres)
            found = _each_once(index.near_pairs(count, least), total)
            true = _each_once([index.true_pairs(sample, unit(read(sample)), count, least)], total)
    except OSError as error:
        raise WorkspaceError(
            f"{scratch} cannot take the features of {total} pictures once more, for the search of edited copies: "
            f"{error}; free some space, or set clean.near_copies to false, then run the same command again"
        ) from error
    hit = np.isin(true @ [total, 1], found @ [total, 1])
    return NeighbourPairs(found, float(hit.mean()) if len(true) else 1.0)


def _each_once(parts: Iterable[Pairs], total: int) -> Pairs:
    """Order each pair, then all of them; pairs are joined as single numbers, since there may be ten million."""
    codes = [part.min(axis=1) * total + part.max(axis=1) for part in parts]
    return np.stack(np.divmod(np.unique(np.concatenate(codes)), total), axis=1)


def _centres(read: Read, total: int, rng: np.random.Generator) -> Floats:
    """Cluster a sample by k-means on the sphere: unit vectors [cells, dim]."""
    cells = max(2, total // _PER_CELL)
    chosen = np.sort(rng.choice(total, min(total, cells * _TRAINED_ON), replace=False))
    vectors = unit(read(chosen))
    centres = vectors[rng.choice(len(vectors), cells, replace=False)]
    for _ in range(_ROUNDS):
        cells_of = nearest(vectors, centres, 1)[0][:, 0]
        order = np.argsort(cells_of, kind="stable")
        taken, starts = np.unique(cells_of[order], return_index=True)  # a cell that nothing is near keeps its centre
        centres[taken] = unit(np.add.reduceat(vectors[order], starts))
    return centres


class _InvertedFile:
    """Unit vectors in a file, those of one cell after those of another.

    Args:
        file: descriptor of an empty file.
        read, total: the items, as in `pairs_within`.
        centres: unit vectors of the cells [cells, dim].
    """

    def __init__(self, file: int, read: Read, total: int, centres: Floats) -> None:
        self._file, self._centres = file, centres
        blocks = [np.arange(start, min(start + _AT_A_TIME, total)) for start in range(0, total, _AT_A_TIME)]
        cells = np.concatenate([nearest(unit(read(block)), centres, 1)[0][:, 0] for block in blocks])
        self._items = np.argsort(cells, kind="stable")
        self._ends = np.cumsum(np.bincount(cells, minlength=len(centres)))
        place = np.empty(total, np.intp)
        place[self._items] = np.arange(total)
        row_bytes = centres.itemsize * centres.shape[1]
        for block in blocks:
            order = np.argsort(place[block])
            vectors, places = unit(read(block))[order], place[block][order]
            for rows in np.split(np.arange(len(block)), np.flatnonzero(np.diff(places) != 1) + 1):
                _write(file, vectors[rows].tobytes(), int(places[rows[0]]) * row_bytes)

    def near_pairs(self, count: int, least: float) -> Iterator[Pairs]:
        """Yield the pairs of the items of each cell with those of it and of the cells beside it."""
        beside = nearest(self._centres, self._centres, 1 + _BESIDE)[0]
        for cell, near in enumerate(beside):
            items, vectors = self._members([cell])
            others, bank = self._members(np.union1d(near, cell).tolist())
            pairs = near_pairs(vectors, bank, count, least, (items, others))
            yield np.stack([items[pairs[:, 0]], others[pairs[:, 1]]], axis=1)

    def true_pairs(self, items: Indices, vectors: Floats, count: int, least: float) -> Pairs:
        """Compare some items with all, a cell at a time."""
        best, cosines = np.empty((len(items), 0), np.intp), np.empty((len(items), 0), np.float32)
        for cell in np.flatnonzero(np.diff(self._ends, prepend=0)).tolist():
            others, bank = self._members([cell])
            indices, more = nearest(vectors, bank, count, (items, others))
            best, cosines = np.hstack([best, others[indices]]), np.hstack([cosines, more])
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
            best, cosines = np.take_along_axis(best, order, axis=1), np.take_along_axis(cosines, order, axis=1)
        rows, ranks = np.nonzero(cosines >= least)
        return np.stack([items[rows], best[rows, ranks]], axis=1)

    def _members(self, cells: list[int]) -> tuple[Indices, Floats]:
        """Read the items of some cells and their vectors."""
        dim = self._centres.shape[1]
        items, vectors = [], []
        for cell in cells:
            start, end = (int(self._ends[cell - 1]) if cell else 0), int(self._ends[cell])
            items.append(self._items[start:end])
            vectors.append(_read(self._file, 4 * dim * (end - start), 4 * dim * start).reshape(-1, dim))
        return np.concatenate(items), np.concatenate(vectors)


def _write(file: int, data: bytes, place: int) -> None:
    while data:  # one call writes 2 GB at most
        os.lseek(file, place, os.SEEK_SET)
        written = os.write(file, data)
        data, place = data[written:], place + written


def _read(file: int, size: int, place: int) -> Floats:
    data = bytearray()
    os.lseek(file, place, os.SEEK_SET)
    while more := os.read(file, size - len(data)):
        data += more
    return np.frombuffer(data, np.float32)
