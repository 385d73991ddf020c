import errno
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing import neighbours
from preprocessing.neighbours import near_pairs, nearest, pairs_within, unit
from workspace.errors import WorkspaceError


@settings(max_examples=60)
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
    assert pairs.tolist() == sorted([q, int(b)] for q in range(queries) for b in best[q] if expected[q, b] >= 0.2)


def test_equals_come_by_their_index_and_a_row_of_zeros_is_near_nothing() -> None:
    vectors = unit(np.array([[1.0, 0], [2, 0], [3, 0], [0, 0]]))
    own = np.arange(4)
    assert nearest(vectors[:1], vectors, 3)[0].tolist() == [[0, 1, 2]]
    assert nearest(vectors, vectors, 2, (own, own))[0].tolist()[:3] == [[1, 2], [0, 2], [0, 1]]
    assert near_pairs(vectors[3:], vectors, 4, 0.1).tolist() == []


def pairs_of(features: np.ndarray, count: int, least: float, folder) -> tuple[list[list[int]], float]:
    pairs, recall = pairs_within(lambda rows: features[rows], len(features), count, least, folder)
    return pairs.tolist(), recall


def test_pairs_within_are_those_of_which_one_is_near_the_other(tmp_path) -> None:
    features = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    cosines = unit(features) @ unit(features).T
    expected = set()
    for i in range(50):
        close = sorted((j for j in range(50) if j != i), key=lambda j: -cosines[i, j])[:3]
        expected |= {(min(i, j), max(i, j)) for j in close if cosines[i, j] >= 0.4}
    assert pairs_of(features, 3, 0.4, tmp_path) == ([list(pair) for pair in sorted(expected)], 1.0)
    assert pairs_of(features[:1], 3, 0.4, tmp_path) == ([], 1.0)
    assert pairs_of(features[:0], 3, 0.4, tmp_path) == ([], 1.0)
    assert pairs_of(features[:3], 20, -1.0, tmp_path) == ([[0, 1], [0, 2], [1, 2]], 1.0)


def scenes(count: int) -> np.ndarray:
    """Features of groups of ten, and every fifth with a near copy: the last rows, shuffled among the others."""
    rng = np.random.default_rng(0)
    single = np.repeat(rng.normal(size=(count // 10, 24)), 10, axis=0) + rng.normal(0, 0.6, (count // 10 * 10, 24))
    copies = single[::5] + rng.normal(0, 0.05, single[::5].shape)
    return rng.permutation(np.concatenate([single, copies])).astype(np.float32)


@pytest.fixture
def _small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"EXACT_UP_TO": 100, "_PER_CELL": 40, "_AT_A_TIME": 64, "_BESIDE": 4, "_SAMPLE": 100}.items():
        monkeypatch.setattr(neighbours, name, value)


@pytest.mark.usefixtures("_small_cells")
def test_above_a_size_most_pairs_are_found_and_the_recall_is_measured(tmp_path, monkeypatch) -> None:
    features = scenes(1500)
    approximate, recall = pairs_of(features, 5, 0.3, tmp_path)
    assert (approximate, recall) == pairs_of(features, 5, 0.3, tmp_path)  # the same again
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 10_000)
    exact, _ = pairs_of(features, 5, 0.3, tmp_path)
    found, true = set(map(tuple, approximate)), set(map(tuple, exact))
    # No pair is invented, but where a true neighbour is missed the next one takes its place.
    vectors = unit(features)
    assert all(float(vectors[i] @ vectors[j]) >= 0.3 - 1e-5 for i, j in found)
    share = len(found & true) / len(true)
    assert 0.8 < share < 1
    assert recall == pytest.approx(share, abs=0.1)
    copies = {(i, j) for i, j in true if float(vectors[i] @ vectors[j]) > 0.98}
    assert len(copies) > 250
    assert len(copies & found) / len(copies) > 0.98
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_small_cells")
def test_where_every_cell_is_searched_the_answer_is_the_exact_one(tmp_path, monkeypatch) -> None:
    features = np.concatenate([scenes(600), np.zeros((5, 24), np.float32)])  # equals, which no cosine tells apart
    monkeypatch.setattr(neighbours, "_BESIDE", 100)
    approximate = pairs_of(features, 5, 0.3, tmp_path)
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 10_000)
    assert approximate == pairs_of(features, 5, 0.3, tmp_path)


@pytest.mark.usefixtures("_small_cells")
def test_a_full_disk_is_told_with_its_remedy_and_nothing_stays(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(WorkspaceError, match="No space left on device; free some space, or set clean.near_copies"):
        pairs_of(scenes(600), 5, 0.3, tmp_path)
    assert not list(tmp_path.iterdir())
