"""Cluster each class, so that a wrong sense of a word (jaguar, the car) can be dropped at once."""

from __future__ import annotations

import numpy as np

from preprocessing.curation.outliers import Floats, Ints

LEAST_SILHOUETTE = 0.08
"""Mean silhouette below which a class is one cluster; classes without a second sense stay below it as a rule."""

LEAST_PICTURES = 8
_COMPONENTS, _SAMPLE = 32, 2_000


def clusters_of(vectors: Floats, most: int, seed: int) -> Ints:
    """Cluster one class by k-means, with the number of clusters that has the best silhouette.

    Args:
        vectors: unit vectors of one class, [n, dim].
        most: largest number of clusters.
        seed: of the starting points.

    Returns:
        Cluster numbers from 1, the largest first, [n].
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_score

    single = np.ones(len(vectors), np.int64)
    if len(vectors) < LEAST_PICTURES or most < 2 or np.ptp(vectors, axis=0).max() < 1e-6:
        return single
    components = min(_COMPONENTS, len(vectors) - 1, vectors.shape[1])
    points = PCA(components, svd_solver="full").fit_transform(vectors.astype(np.float64))
    best, answer = LEAST_SILHOUETTE, single
    for count in range(2, min(most, len(points) // 4) + 1):
        found = KMeans(count, n_init=4, random_state=seed).fit_predict(points)
        score = silhouette_score(points, found, sample_size=min(_SAMPLE, len(points)), random_state=seed)
        if score > best:
            best, answer = score, _by_size(found)
    return answer


def _by_size(found: Ints) -> Ints:
    sizes = np.bincount(found)
    first = [int(np.flatnonzero(found == cluster)[0]) for cluster in range(len(sizes))]
    order = sorted(range(len(sizes)), key=lambda cluster: (-sizes[cluster], first[cluster]))
    names = np.empty(len(sizes), np.int64)
    names[order] = np.arange(1, len(sizes) + 1)
    renamed: Ints = names[found]
    return renamed
