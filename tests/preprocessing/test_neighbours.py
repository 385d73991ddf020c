import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing import neighbours
from preprocessing.neighbours import near_pairs, nearest, unit


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 12), st.integers(1, 12), st.integers(1, 15), st.integers(1, 4))
def test_the_search_equals_sorting_every_pair(seed, queries, bank, count, groups) -> None:
    rng = np.random.default_rng(seed)
    one, other = unit(rng.normal(size=(queries, 5))), unit(rng.normal(size=(bank, 5)).astype(np.float16))
    numbers = rng.integers(0, groups, queries), rng.integers(0, groups, bank)
    expected = np.array(
        [
            [float(q @ b) if g != h else -np.inf for b, h in zip(other, numbers[1], strict=True)]
            for q, g in zip(one, numbers[0], strict=True)
        ]
    ).reshape(queries, bank)
    with pytest.MonkeyPatch.context() as patch:  # blocks of three queries
        patch.setattr(neighbours, "_LEAST_ROWS", 3)
        patch.setattr(neighbours, "_CELLS", 3)
        indices, cosines = nearest(one, other, count, numbers)
        pairs = near_pairs(one, other, count, 0.2, numbers)
    kept = min(count, bank)
    assert indices.shape == cosines.shape == (queries, kept)
    np.testing.assert_allclose(cosines, -np.sort(-expected, axis=1)[:, :kept], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(expected, indices, axis=1), cosines, atol=1e-5)
    assert all(len(set(row)) == kept for row in indices.tolist())
    best = np.argsort(-expected, axis=1, kind="stable")[:, :kept]
    assert pairs == sorted((q, int(b)) for q in range(queries) for b in best[q] if expected[q, b] >= 0.2)


def test_equals_come_by_their_index_and_a_row_of_zeros_is_near_nothing() -> None:
    vectors = unit(np.array([[1.0, 0], [2, 0], [3, 0], [0, 0]]))
    own = np.arange(4)
    assert nearest(vectors[:1], vectors, 3)[0].tolist() == [[0, 1, 2]]
    assert nearest(vectors, vectors, 2, (own, own))[0].tolist()[:3] == [[1, 2], [0, 2], [0, 1]]
    assert near_pairs(vectors[3:], vectors, 4, 0.1) == []
