"""Outlier scores: cosine to the nearer half of the own class, relative to that of other classes' images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preprocessing.neighbours import cosine_blocks, unit

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CENTRED_SHARE = 0.5
"""Share of the mean feature vector that is subtracted before cosines are compared.

All of it (the usual centring) makes neighbours of the same scene stand out, and hides images that have nothing of
any class; none of it does the opposite. Half was best on planted images of both kinds (benchmarks/curate.py).
"""

LEAST_NEIGHBOURS = 3
REFERENCE, FOREIGN = 4_000, 1_000
"""Images of a class, and of all other classes, that a class is measured on at most, so that time grows linearly."""


def centred(features: Floats, labels: Ints) -> Floats:
    """Centre features partly and scale them to length 1, float32 [n, dim]; classes have equal weight in the mean."""
    vectors = unit(features)
    centre = np.mean([vectors[labels == label].mean(axis=0) for label in np.unique(labels)], axis=0)
    return unit(vectors - np.float32(CENTRED_SHARE) * centre.astype(np.float32))


def outlier_scores(vectors: Floats, labels: Ints, groups: Ints) -> Floats:
    """Score every image against its class; low scores are outliers.

    The similarity of an image to a class is its mean cosine to the nearer half of the class, so that off-topic images
    are found as long as they are less than half of a class. Images of its own group (copies, one creator's
    series) are left out. The score is linear in the similarity: 0 at the median of other classes' images,
    0.5 at the median of the class's own.

    Args:
        vectors: unit vectors of `centred`, [n, dim].
        labels: class numbers, [n].
        groups: numbers of groups, [n].

    Returns:
        Scores of at most 1, [n]: below 0 where an image is less like its class than others are, which the strongest
        outliers are; 1 where there is nothing to compare with.
    """
    scores = np.ones(len(vectors), np.float32)
    for label in np.unique(labels):
        own, others = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        reference = _thinned(own, REFERENCE)
        similarity = _similarity(vectors, groups, own, reference)
        foreign = _similarity(vectors, groups, _thinned(others, FOREIGN), reference)
        if np.isfinite(similarity).any() and np.isfinite(foreign).any():
            low, middle = np.nanmedian(foreign), np.nanmedian(similarity)
            span = max(float(middle - low), 1e-6)
            scores[own] = np.nan_to_num(np.minimum(0.5 * (similarity - low) / span, 1), nan=1.0)
    return scores


def _similarity(vectors: Floats, groups: Ints, rows: Ints, reference: Ints) -> Floats:
    """Average the cosine of each row to the nearer half of the reference, [len(rows)]; nan without another group."""
    found = np.full(len(rows), np.nan, np.float32)
    for block, cosines in cosine_blocks(vectors[rows], vectors[reference], (groups[rows], groups[reference])):
        ordered = -np.sort(-cosines, axis=1)
        counts = np.isfinite(ordered).sum(axis=1)
        nearest = np.minimum(counts, np.maximum(LEAST_NEIGHBOURS, (counts + 1) // 2))
        sums = np.cumsum(ordered, axis=1, dtype=np.float64)
        known = nearest > 0
        found[block][known] = sums[known, nearest[known] - 1] / nearest[known]
    return found


def _thinned(rows: Ints, most: int) -> Ints:
    """Thin rows evenly to at most `most`; they are in the order of sha256, which is as good as random."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
