"""Search pairs of images by the Hamming distance of two 64-bit hashes: exact, and fast by block-pair pigeonhole.

Cut 64 bits into b blocks: two words that differ in at most t bits agree in b - t whole blocks. So for each choice of
that many blocks the words are sorted by them, and only words that agree in them are compared (Manku, Jain and
Das Sarma, "Detecting near-duplicates for web crawling", WWW 2007).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workspace.spread.shards import HERE, Shared, Spread, divide, side_by_side

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

BITS = 64

_Near = Callable[[Hashes, Hashes], Indices]
_Rows = tuple[Indices, Indices]
"""Rows of sorted words, each left one near its right one."""

# Costs in nanoseconds on one core, measured with numpy 2.4: one comparison; sorting and gathering one word; and the
# calls of one round of comparisons. They only choose between equally exact plans.
_COMPARE_NS, _SORT_NS, _ROUND_NS = 0.7, 36.0, 6000.0
_PICTURE_NS = 13e6  # to decode one picture on one core, by which the sizes of shards are counted

# Comparisons of one call: the words and what is made of them stay in a core's cache, which is 2.5 times faster.
_AT_A_TIME = 16_384
_LONG_RUN = 256  # words that agree in some blocks; from here on one run fills a call
_MERGED = 4096  # near rows that are looked at together

# Words are sorted by so many bits of the agreeing blocks at most: more leave next to nothing to compare.
_KEY_BITS = 32

# A step that is odd reaches every bit: blocks then take their bits from all over the 8 x 8 square, whose neighbours
# are alike, and so hold more different values.
_BIT_STEP = 27


class Pairs(NamedTuple):
    """Pairs: image i as it is and image j in `orientation`, whose hashes differ in `distance` bits in all."""

    i: Indices
    j: Indices
    orientation: Indices
    distance: npt.NDArray[np.int64]


class _Branch(NamedTuple):
    """One radius search: `words` [m] within `radius` bits; `others` are the other hash of the same images.

    A pair also needs more than `least_other` bits between the others: nearer ones are the other branch's.
    """

    words: Hashes
    others: Hashes
    radius: int
    least_other: int


@dataclass(frozen=True, slots=True)
class SubsetShard:
    """A part of one radius search: the words that agree in all blocks of one of these subsets are compared.

    Attributes:
        branch: the words.
        blocks: into how many they are cut.
        subsets: of the blocks.
        limit: in bits of both hashes together.
        count: images; the words are those of `count` images in each orientation.
        workers: threads.
    """

    branch: Shared[_Branch]
    blocks: int
    subsets: Sequence[tuple[int, ...]]
    limit: int
    count: int
    workers: int

    def __str__(self) -> str:
        return f"{len(self.subsets)} parts of the search for copies among {self.count} pictures"


def near_pairs(phash: Hashes, dhash: Hashes, limit: int, workers: int = 2, spread: Spread = HERE) -> Iterator[Pairs]:
    """Find every pair of images whose pHash and dHash distances add up to at most `limit`.

    Then one of the two distances is at most half the limit, so that two radius searches give all candidates. Memory
    is about 60 bytes a hash and worker, plus the pairs of one chunk. Time grows with the square only of the images
    that agree in whole blocks, as those with nothing but sky do.

    Args:
        phash: uint64 [orientations, n]; row 0 the images as they are, the others mirrored or rotated.
        dhash: the same of the other hash.
        limit: in bits of both hashes together, 0 to 126.
        workers: threads of a shard.
        spread: where subsets of blocks are searched.

    Yields:
        Chunks; together each (i, j, orientation) once, i != j. With orientation 0, i < j.
    """
    orientations, count = phash.shape
    p, d = _spread_bits(phash.ravel()), _spread_bits(dhash.ravel())
    half = limit // 2
    branches = [_Branch(p, d, half, -1)]
    if limit > half:
        branches.append(_Branch(d, p, limit - half - 1, half))
    for branch in branches:
        evenness = _evenness(branch.words)
        blocks, agreeing = plan(orientations * count, branch.radius, evenness)
        subsets = list(itertools.combinations(range(blocks), agreeing))
        cost_ns = _subset_ns(orientations * count, branch.radius, agreeing, evenness)
        shared = spread.share(branch)
        shards = (
            SubsetShard(shared, blocks, some, limit, count, workers)
            for some in divide(subsets, spread.shard_size(cost_ns / _PICTURE_NS))
        )
        yield from spread.run(search_subsets, side_by_side(shards), name="search copies")


def search_subsets(shard: SubsetShard) -> Iterator[Pairs]:
    """Find the pairs that agree first in the blocks of one of a shard's subsets."""
    branch = shard.branch.get()
    subsets = iter(shard.subsets)
    with ThreadPoolExecutor(shard.workers) as pool:
        # A few at a time: a pool would otherwise run ahead of whoever takes the pairs.
        while some := list(itertools.islice(subsets, shard.workers)):
            searches = [
                pool.submit(_search_subset, branch, shard.blocks, subset, shard.limit, shard.count) for subset in some
            ]
            for search in searches:
                yield from search.result()


def plan(count: int, radius: int, evenness: float = 1.0) -> tuple[int, int]:
    """Choose how many blocks to cut and how many of them must agree, for the least time.

    Args:
        count: how many words there are.
        radius: in bits, 0 to 63.
        evenness: how many bits a bit is worth for telling words apart: 1 for those of coins, less in photographs.

    Returns:
        Blocks b and agreeing ones b - radius; (radius, 0) compares every word with every other.
    """

    def cost(agreeing: int) -> float:
        return math.comb(radius + agreeing, agreeing) * _subset_ns(count, radius, agreeing, evenness)

    possible = [k for k in range(7) if radius + k <= BITS]
    best = min(possible, key=cost)
    return radius + best, best


def _subset_ns(count: int, radius: int, agreeing: int, evenness: float) -> float:
    """Estimate the time of comparing the words that agree in one subset of the blocks, in ns of one core."""
    blocks = radius + agreeing
    key_bits = min(_KEY_BITS, agreeing * BITS / blocks) if blocks else 0.0
    together = count / 2 ** (key_bits * evenness)
    return count * (_SORT_NS * bool(agreeing) + _COMPARE_NS * together) + _ROUND_NS * (together + 1)


def _evenness(words: Hashes) -> float:
    """From how often two words agree in 8 bits: 2^-8 if they were drawn by coins."""
    if len(words) < 2:
        return 1.0
    sample = words[:: max(1, len(words) // 10_000)]
    shares = np.stack(
        [np.bincount((sample >> np.uint64(low)) & np.uint64(255), minlength=256) for low in range(0, BITS, 8)]
    )
    agreeing = float(((shares / len(sample)) ** 2).sum(axis=1).mean())
    return min(1.0, max(0.1, -math.log2(agreeing) / 8))


def _spread_bits(words: Hashes) -> Hashes:
    spread = np.zeros_like(words)
    for bit in range(BITS):
        spread |= ((words >> np.uint64(bit)) & np.uint64(1)) << np.uint64(bit * _BIT_STEP % BITS)
    return spread


def _search_subset(branch: _Branch, blocks: int, subset: tuple[int, ...], limit: int, count: int) -> list[Pairs]:
    """Compare the words that agree in these blocks."""
    edges = [round(BITS * k / blocks) if blocks else 0 for k in range(blocks + 1)]
    masks = [np.uint64((1 << high) - (1 << low)) for low, high in itertools.pairwise(edges)]
    order, runs = _sorted_runs(branch.words, [(edges[k], edges[k + 1]) for k in subset])
    words, near = branch.words[order], _near_function(branch.radius)
    found: list[Pairs] = []
    for left, right in _merged(itertools.chain(_in_short_runs(words, runs, near), _in_long_runs(words, runs, near))):
        first = _first_agreeing(words[left] ^ words[right], masks, subset)
        found += _pairs_at(branch, order[left[first]], order[right[first]], limit, count)
    return found


def _near_function(radius: int) -> _Near:
    """Return a function that compares words [n] with words [n], or [n, 1] with [m]: the flat indices of near ones."""
    differing, bits, hit = np.empty(_AT_A_TIME, np.uint64), np.empty(_AT_A_TIME, np.uint8), np.empty(_AT_A_TIME, bool)

    def near(left: Hashes, right: Hashes) -> Indices:
        size = len(left) * (len(right) if left.ndim == 2 else 1)
        np.bitwise_xor(
            left, right, out=differing[:size].reshape(-1, len(right)) if left.ndim == 2 else differing[:size]
        )
        np.bitwise_count(differing[:size], out=bits[:size])
        np.less_equal(bits[:size], radius, out=hit[:size])
        return np.flatnonzero(hit[:size])

    return near


def _in_short_runs(words: Hashes, runs: Indices, near: _Near) -> Iterator[_Rows]:
    """Compare in all short runs at once: each word with the next of its run, the second next and so on."""
    short = runs <= _LONG_RUN
    at = np.flatnonzero(np.repeat(short, runs))
    words, runs = words[at], runs[short]
    for step in range(1, int(runs.max(initial=0))):
        alive = runs > step
        if 2 * int(runs[alive].sum()) < len(words):  # only words with a neighbour so far away in their own run
            stay = np.repeat(alive, runs)
            at, words, runs = at[stay], words[stay], runs[alive]
        for start in range(0, len(words) - step, _AT_A_TIME):
            right = words[start + step : start + step + _AT_A_TIME]
            rows = near(words[start : start + len(right)], right) + start
            if len(rows):
                yield at[rows], at[rows + step]


def _in_long_runs(words: Hashes, runs: Indices, near: _Near) -> Iterator[_Rows]:
    """Compare in long runs, one at a time: as many words as one call takes with all that follow them."""
    for end, size in zip(np.cumsum(runs)[runs > _LONG_RUN].tolist(), runs[runs > _LONG_RUN].tolist(), strict=True):
        top = end - size
        while top < end - 1:
            width = min(end - top - 1, _AT_A_TIME)
            height = min(_AT_A_TIME // width, end - top - 1)
            for start in range(top + 1, end, width):
                right = words[start : start + width]
                rows, columns = np.divmod(near(words[top : top + height, None], right), len(right))
                later = columns + start > rows + top
                if later.any():
                    yield rows[later] + top, columns[later] + start
            top += height


def _merged(parts: Iterable[_Rows]) -> Iterator[_Rows]:
    """Join parts until they are worth a call."""
    some: list[_Rows] = []
    waiting = 0
    for part in parts:
        some.append(part)
        waiting += len(part[0])
        if waiting >= _MERGED:
            yield _joined(some)
            some, waiting = [], 0
    if some:
        yield _joined(some)


def _joined(parts: list[_Rows]) -> _Rows:
    return np.concatenate([left for left, _ in parts]), np.concatenate([right for _, right in parts])


def _sorted_runs(words: Hashes, spans: list[tuple[int, int]]) -> tuple[Indices, Indices]:
    """Sort by the bits [low, high) of some spans: the order, and how many words in a row have them equal."""
    if not spans:
        return np.arange(len(words)), np.array([len(words)])
    key = np.zeros(len(words), np.uint32)
    width = 0
    for low, high in spans:
        bits = min(high - low, _KEY_BITS // len(spans))
        part = (words >> np.uint64(low)) & np.uint64((1 << bits) - 1)
        key |= part.astype(np.uint32) << np.uint32(width)
        width += bits
    # numpy sorts 16-bit numbers by radix, many times faster than wider ones
    order = np.argsort((key & np.uint32(0xFFFF)).astype(np.uint16), kind="stable")
    if width > 16:
        order = order[np.argsort((key[order] >> np.uint32(16)).astype(np.uint16), kind="stable")]
    key = key[order]
    ends = np.flatnonzero(key[1:] != key[:-1]) + 1
    return order, np.diff(ends, prepend=0, append=len(words))


def _first_agreeing(differing: Hashes, masks: list[np.uint64], subset: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Whether these are the first blocks in which a pair agrees: so it is found once, not in every subset."""
    agree = np.stack([(differing & mask) == 0 for mask in masks]) if masks else np.empty((0, len(differing)), bool)
    first = np.ones(len(differing), np.bool_)
    for block in range(subset[-1] + 1 if subset else 0):
        first &= agree[block] == (block in subset)
    return first


def _pairs_at(branch: _Branch, a: Indices, b: Indices, limit: int, count: int) -> list[Pairs]:
    other = np.bitwise_count(branch.others[a] ^ branch.others[b]).astype(np.int64)
    distance = other + np.bitwise_count(branch.words[a] ^ branch.words[b])
    # A pair of two mirrored or rotated images is also found with one of them as it is.
    good = (distance <= limit) & (other > branch.least_other) & (np.minimum(a, b) < count) & (a % count != b % count)
    a, b, distance = a[good], b[good], distance[good]
    if not len(a):
        return []
    low, high = np.minimum(a, b), np.maximum(a, b)
    return [Pairs(low, high % count, high // count, distance)]
