import itertools
import tracemalloc

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from preprocessing.duplicates import hash_search
from preprocessing.duplicates.hash_search import near_pairs, plan
from preprocessing.duplicates.hashing import hash_image, thumb_hashes

BIT = st.integers(0, 63)
# A picture: one of a few bases, some bits of its pHash turned and some of its dHash.
SPECS = st.lists(st.tuples(st.integers(0, 3), st.sets(BIT, max_size=10), st.sets(BIT, max_size=10)), max_size=14)


def words_of(specs: list[tuple[int, set[int], set[int]]], salt: int) -> tuple[np.ndarray, np.ndarray]:
    bases = np.random.default_rng(salt).integers(0, 2**64, (2, 4), dtype=np.uint64).tolist()
    turned = [(bases[0][b] ^ sum(1 << k for k in p), bases[1][b] ^ sum(1 << k for k in d)) for b, p, d in specs]
    return tuple(np.array([pair[side] for pair in turned], dtype=np.uint64) for side in (0, 1))


def found(phash: np.ndarray, dhash: np.ndarray, limit: int) -> list[tuple[int, int, int, int]]:
    chunks = list(near_pairs(phash, dhash, limit))
    return sorted(row for chunk in chunks for row in zip(*(part.tolist() for part in chunk), strict=True))


def brute_force(phash: np.ndarray, dhash: np.ndarray, limit: int) -> list[tuple[int, int, int, int]]:
    orientations, count = phash.shape
    rows = []
    for orientation, i, j in itertools.product(range(orientations), range(count), range(count)):
        distance = (int(phash[0, i]) ^ int(phash[orientation, j])).bit_count()
        distance += (int(dhash[0, i]) ^ int(dhash[orientation, j])).bit_count()
        if distance <= limit and (i < j if orientation == 0 else i != j):
            rows.append((i, j, orientation, distance))
    return sorted(rows)


@settings(max_examples=120)
@given(
    SPECS,
    st.sampled_from([(0, 4), (1, 5), (7, 3), (12, 3), (12, 2), (16, 2), (25, 1), (60, 1), (126, 0)]),
    st.integers(1, 3),
    st.sampled_from([(16_384, 256, 4096), (5, 1, 1), (3, 3, 7), (4, 99, 2)]),
)
def test_the_search_equals_brute_force(specs, search, orientations, sizes) -> None:
    limit, agreeing = search
    seen = [
        words_of(specs, orientation // 2) for orientation in range(orientations)
    ]  # the second orientation repeats the first
    phash, dhash = np.stack([p for p, _ in seen]), np.stack([d for _, d in seen])
    with pytest.MonkeyPatch.context() as patch:  # whichever plan is chosen
        for name, size in zip(("_AT_A_TIME", "_LONG_RUN", "_MERGED"), sizes, strict=True):
            patch.setattr(hash_search, name, size)
        patch.setattr(hash_search, "plan", lambda _, radius, _evenness: (radius + agreeing, agreeing))
        assert found(phash, dhash, limit) == brute_force(phash, dhash, limit)


def test_the_plan_is_possible_for_every_radius_and_shares_more_blocks_among_the_many() -> None:
    for radius in range(64):
        blocks, agreeing = plan(1_000_000, radius)
        assert blocks - agreeing == radius
        assert blocks <= 64
    assert plan(10, 8)[1] < plan(100_000, 8)[1] < plan(10_000_000, 8)[1]
    assert plan(100_000, 8)[1] < plan(100_000, 8, evenness=0.6)[1]  # bits that tell little apart


def test_among_many_hashes_the_planted_pairs_are_found_in_little_memory() -> None:
    rng = np.random.default_rng(0)
    phash, dhash = rng.integers(0, 2**64, (2, 1, 30_000), dtype=np.uint64)
    phash[0, 29_999], dhash[0, 29_999] = phash[0, 0] ^ np.uint64(0xFF), dhash[0, 0] ^ np.uint64(0xFF)
    phash[0, 7], dhash[0, 7] = phash[0, 5] ^ np.uint64(0x7FF), dhash[0, 5] ^ np.uint64(0x1F)
    phash[0, 20_000], dhash[0, 20_000] = phash[0, 9] ^ np.uint64(0x1FF), dhash[0, 9] ^ np.uint64(0xFF)  # 17: too far
    tracemalloc.start()
    pairs = found(phash, dhash, 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pairs == [(0, 29_999, 0, 16), (5, 7, 0, 16)]
    assert peak < 10e6


def test_many_equal_hashes_cost_time_but_no_memory() -> None:
    rng = np.random.default_rng(0)
    same, other = np.zeros((1, 2000), np.uint64), rng.integers(0, 2**64, (1, 2000), dtype=np.uint64)
    tracemalloc.start()
    assert sum(len(pairs.i) for pairs in near_pairs(other, same, 8)) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # 2 million pairs agree in one of the two


def test_fingerprints_are_imagehash_s_of_the_picture_and_its_mirror(picture) -> None:
    image = picture(1, 200, 150)
    flipped = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    got, mirror = hash_image(np.asarray(image)), hash_image(np.asarray(flipped))
    assert (got.phash, got.dhash) == (str(imagehash.phash(image)), str(imagehash.dhash(image)))
    assert (got.phash_mirror, got.dhash_mirror) == (mirror.phash, mirror.dhash)
    thumb = np.frombuffer(bytes.fromhex(got.thumb), np.uint8).reshape(32, 32)
    turned = np.frombuffer(bytes.fromhex(mirror.thumb), np.uint8).reshape(32, 32)
    assert np.abs(thumb.astype(int) - turned[:, ::-1]).mean() < 1
    assert np.abs(thumb.astype(int) - turned).mean() > 10


def drawn(number: int) -> Image.Image:
    """Gradients, a disc and stripes, by whole numbers alone."""
    width, height = 90 + 37 * number, 200 - 31 * number
    y, x = np.mgrid[:height, :width]
    image = Image.fromarray(np.stack([x * (number + 1) % 256, y * 3 % 256, (x + y) % 256], axis=2).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.ellipse((20, 15, 60 + 9 * number, 90 - number), fill=(250, 240 - 40 * number, 30 * number))
    for step in range(number):
        pen.line((step * 25, 0, step * 11, height), fill=(15, 90, 20), width=5)
    return image


@pytest.mark.parametrize(
    ("number", "hashes"),
    [
        (
            0,
            (
                "8fcf4c3434b4b233",
                "f3e3e1f3fffffef8",
                "da9a186169e1e766",
                "30387830000080e0",
                "8fcf4c3434b4b233",
                "f3e3e1f3fffffef8",
            ),
        ),
        (
            1,
            (
                "82475e3f3ab83839",
                "6fe7d7efeffffefd",
                "d7120b6a6ae46d6c",
                "0918140808008040",
                "82475e3f3eb03839",
                "6fe7d7efeffffefd",
            ),
        ),
        (
            2,
            (
                "84635e3fb83c7898",
                "e7c7c7c7f7e7e6e5",
                "d1360b68ed6929cd",
                "181c1c1c10189858",
                "84635e3fb83c7898",
                "e7c7c7c7f7e7e6e5",
            ),
        ),
        (
            3,
            (
                "8163719d7a3c9c63",
                "dadacacadafadada",
                "d43624c82f69d937",
                "a4a4aca8a4a0a4a4",
                "8163719d787c9c63",
                "dadacacadafadada",
            ),
        ),
        (
            4,
            (
                "85601a3d1e77c763",
                "aaaacaeaeaeaf8f8",
                "d0354f694b369636",
                "aaaaaca8a8a0e0e0",
                "85601a3d1e77c763",
                "aaaacaeaeafaf8f8",
            ),
        ),
    ],
)
def test_hashes_that_catalogues_hold_never_change(number: int, hashes: tuple[str, ...]) -> None:
    found = hash_image(np.asarray(drawn(number)))
    thumb = np.frombuffer(bytes.fromhex(found.thumb), np.uint8).reshape(1, 32, 32)
    of_thumb = [f"{int(words[0]):016x}" for words in thumb_hashes(thumb)]
    assert (found.phash, found.dhash, found.phash_mirror, found.dhash_mirror, *of_thumb) == hashes
