import tracemalloc

import imagehash
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocessing.hashing import distances, fingerprint, hashes_of, pairs_within

WORDS = st.lists(st.integers(0, 2**64 - 1), max_size=20)


def near_words(seeds: list[int], flips: list[list[int]]) -> np.ndarray:
    """Hashes with planted neighbours: each seed, and itself with some bits turned."""
    words = [seed ^ sum({1 << bit for bit in bits}) for seed in seeds for bits in ([], *flips)]
    return np.array(words, dtype=np.uint64)


@settings(deadline=None, max_examples=60)
@given(WORDS, st.lists(st.lists(st.integers(0, 63), max_size=12), max_size=4), WORDS, st.integers(0, 20))
def test_the_search_equals_brute_force(seeds, flips, others, radius) -> None:
    left = near_words(seeds, flips)
    right = np.array([*others, *left[:5].tolist()], dtype=np.uint64)
    words, more = left.tolist(), right.tolist()
    expected = [
        (i, j)
        for i in range(len(words))
        for j in range(i + 1, len(words))
        if (words[i] ^ words[j]).bit_count() <= radius
    ]
    assert list(zip(*map(np.ndarray.tolist, pairs_within(left, radius)), strict=True)) == expected
    expected = [(i, j) for i, a in enumerate(words) for j, b in enumerate(more) if (a ^ b).bit_count() <= radius]
    assert list(zip(*map(np.ndarray.tolist, pairs_within(left, radius, right)), strict=True)) == expected


def test_a_search_in_several_chunks_finds_planted_pairs_within_200_mb() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 9000, dtype=np.uint64)
    hashes[8999] = hashes[0] ^ np.uint64(0b111)
    hashes[5000] = hashes[4999]
    tracemalloc.start()
    i, j = pairs_within(hashes, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 8999), (4999, 5000)]
    assert peak < 200e6


def test_fingerprints_are_imagehash_s_of_the_picture_and_its_mirror(picture) -> None:
    image = picture(1, 200, 150)
    flipped = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    got, mirror = fingerprint(np.asarray(image)), fingerprint(np.asarray(flipped))
    assert (got.phash, got.dhash) == (str(imagehash.phash(image)), str(imagehash.dhash(image)))
    assert (got.phash_mirror, got.dhash_mirror) == (mirror.phash, mirror.dhash)
    thumb = np.frombuffer(bytes.fromhex(got.thumb), np.uint8).reshape(32, 32)
    turned = np.frombuffer(bytes.fromhex(mirror.thumb), np.uint8).reshape(32, 32)
    assert np.abs(thumb.astype(int) - turned[:, ::-1]).mean() < 1
    assert np.abs(thumb.astype(int) - turned).mean() > 10


def test_distances_count_bits() -> None:
    assert distances(hashes_of(["00ff", "ffffffffffffffff"]), hashes_of(["000f", "0"])).tolist() == [4, 64]
