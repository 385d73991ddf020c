"""How typical of its class a picture is: own-class nearest neighbours in feature space, held against other classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preprocessing.neighbours import cosine_blocks, unit

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CENTRED_SHARE = 0.5
"""Share of the mean feature vector that is taken away before cosines are compared.

All of it (the usual centring) makes neighbours of the same scene stand out, and hides pictures that have nothing of
any class; none of it does the opposite. Half was best on planted pictures of both kinds (benchmarks/curate.py).
"""

LEAST_NEIGHBOURS = 3
REFERENCE, FOREIGN = 4_000, 1_000
"""Pictures of a class, and of all other classes, that a class is measured on at most, so that time grows linearly."""


def centred(features: Floats, labels: Ints) -> Floats:
    """Unit vectors whose inner products compare pictures, [n, dim] float32; every class counts alike in the mean."""
    vectors = unit(features)
    centre = np.mean([vectors[labels == label].mean(axis=0) for label in np.unique(labels)], axis=0)
    return unit(vectors - np.float32(CENTRED_SHARE) * centre.astype(np.float32))


def outlier_scores(vectors: Floats, labels: Ints, groups: Ints) -> Floats:
    """Score every picture against its class.

    A picture's likeness to a class is its mean cosine to the nearer half of the class's pictures, so that up to half
    of a class may be off topic without vouching for each other. Pictures of its own group (copies, one creator's
    series) are left out. On a line where the median likeness of other classes' pictures is 0 and that of the class's
    own is 0.5, the score is where the picture stands.

    Args:
        vectors: unit vectors of `centred`, [n, dim].
        labels: class numbers, [n].
        groups: numbers of groups, [n].

    Returns:
        Scores in [0, 1], 0 the worst, [n]; 1 where there is nothing to compare with.
    """
    scores = np.ones(len(vectors), np.float32)
    for label in np.unique(labels):
        own, others = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        reference = _thinned(own, REFERENCE)
        likeness = _likeness(vectors, groups, own, reference)
        foreign = _likeness(vectors, groups, _thinned(others, FOREIGN), reference)
        if np.isfinite(likeness).any() and np.isfinite(foreign).any():
            low, middle = np.nanmedian(foreign), np.nanmedian(likeness)
            span = max(float(middle - low), 1e-6)
            scores[own] = np.nan_to_num(np.clip(0.5 * (likeness - low) / span, 0, 1), nan=1.0)
    return scores


def _likeness(vectors: Floats, groups: Ints, rows: Ints, reference: Ints) -> Floats:
    """Mean cosine of each row to the nearer half of the reference, [len(rows)]; nan where none is of another group."""
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
    """At most so many of the rows, evenly spread; rows are in the order of sha256, which is as good as chance."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
