import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocessing.duplicates.fingerprint import fingerprint_of, thumbs_among
from preprocessing.duplicates.group import Copies, connected_components, find_copies
from preprocessing.duplicates.hashing import hash_image
from preprocessing.duplicates.orientation import MIRRORED, ORIENTATIONS, inverse, reoriented
from preprocessing.quality.statistics import measure
from preprocessing.verdicts import verdicts_for
from workspace.catalog.records import Hit, ImageFacts
from workspace.config.clean import CleanConfig

CLEAN = CleanConfig()


def copies(facts: list[ImageFacts], licensed: set[str], clean: CleanConfig) -> Copies:
    return find_copies([fingerprint_of(one) for one in facts], thumbs_in(facts), licensed, clean)


def thumbs_in(facts):
    return thumbs_among({one.sha256: one.thumb for one in facts})


def facts_of(name: str, image, *, size: int = 1000, digest: str = "") -> ImageFacts:
    pixels = np.asarray(image)
    return ImageFacts(
        name,
        width=image.width,
        height=image.height,
        bytes=size,
        pixel_digest=digest or f"digest of {name}",
        **dataclasses.asdict(hash_image(pixels)),
        **dataclasses.asdict(measure(pixels)),
    )


def family(picture, seed: int, name: str) -> list[ImageFacts]:
    """A picture of 200 x 150, its copy at half size, its mirror image, and one with equal pixels."""
    image = picture(seed, 200, 150)
    return [
        facts_of(f"{name}0", image, size=900),
        facts_of(f"{name}1", image.resize((100, 75))),
        facts_of(f"{name}2", image.transpose(0).resize((160, 120))),
        facts_of(f"{name}3", image, size=800, digest=f"digest of {name}0"),
    ]


def test_copies_join_the_best_and_strangers_stay_alone(picture) -> None:
    facts = [*family(picture, 1, "a"), *family(picture, 2, "b"), facts_of("c0", picture(3, 200, 150))]
    got = copies(facts, set(), CLEAN)
    assert got.kept == {one.sha256: f"{one.sha256[0]}0" for one in facts}
    assert {name for name, orientation in got.orientation.items() if orientation} == {"a2", "b2"}
    assert got.orientation["a2"] == MIRRORED
    assert got.group == got.kept


def test_mirror_images_are_others_when_left_and_right_matter(picture) -> None:
    got = copies(family(picture, 1, "a"), set(), CleanConfig(mirrored=False))
    assert got.kept == {"a0": "a0", "a1": "a0", "a2": "a2", "a3": "a0"}


def test_the_best_copy_has_a_licence_then_size_then_little_compression_then_a_low_name(picture) -> None:
    image = picture(4, 200, 150)
    small = facts_of("d", image.resize((180, 135)), size=99_000)
    rest = [facts_of("a", image, size=500), facts_of("c", image, size=900), facts_of("b", image, size=900)]
    assert set(copies([small, *rest], {"d"}, CLEAN).kept.values()) == {"d"}
    assert set(copies([small, *rest], set(), CLEAN).kept.values()) == {"b"}
    assert set(copies([small, *rest[:2]], set(), CLEAN).kept.values()) == {"c"}
    assert set(copies([small, rest[0]], set(), CLEAN).kept.values()) == {"a"}


def test_flat_pictures_share_a_hash_and_are_no_copies(picture) -> None:
    rng = np.random.default_rng(0)
    flat = [
        facts_of(f"f{level}", picture(5).point(lambda _, level=level: level)) for level in rng.choice(256, 5, False)
    ]
    assert len({one.phash for one in flat}) == 1
    assert copies(flat, set(), CLEAN).kept == {one.sha256: one.sha256 for one in flat}


def hashed(name: str, phash: int, dhash: int, thumb: np.ndarray) -> ImageFacts:
    """A picture given by its hashes alone; its mirror image is like nothing else."""
    mirror = f"{(phash * 0x9E3779B97F4A7C15 + 1) % 2**64:016x}"
    return ImageFacts(
        name, width=100, height=100, bytes=1, pixel_digest=name, contrast=0.2, phash=f"{phash:016x}",
        dhash=f"{dhash:016x}", phash_mirror=mirror, dhash_mirror=mirror, thumb=thumb.astype(np.uint8).tobytes().hex(),
    )  # fmt: skip


THUMBS = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
THUMB = np.random.default_rng(1).integers(0, 256, (32, 32))
OTHER_THUMB = np.random.default_rng(2).integers(0, 256, (32, 32))


def test_hashes_alone_make_no_copy_and_distance_decides_between_copy_and_kin() -> None:
    base = 0x0123456789ABCDEF
    kin = base ^ 0xFF  # 8 bits away
    near, far = hashed("b", base ^ 0x3F, base ^ 0x3F, THUMB), hashed("c", kin, kin ^ 0x700, THUMB)
    centre = hashed("a", base, base, THUMB)
    got = copies([centre, near], set(), CLEAN)
    assert got.kept == {"a": "a", "b": "a"}  # p + d = 12
    got = copies([centre, hashed("b", base ^ 0x3F, base ^ 0x7F, THUMB)], set(), CLEAN)
    assert (got.kept["b"], got.group["b"]) == ("b", "a")  # 13: kin
    got = copies([centre, far], set(), CLEAN)
    assert (got.kept["c"], got.group["c"]) == ("c", "c")  # 19: strangers
    got = copies([centre, hashed("b", base, base, OTHER_THUMB)], set(), CLEAN)
    assert (got.kept["b"], got.group["b"]) == ("b", "b")  # 0, but other pixels


def test_equal_hashes_with_half_alike_thumbs_are_kin() -> None:
    between = THUMB * 0.7 + OTHER_THUMB * 0.3  # correlation about 0.92
    got = copies([hashed("a", 7, 7, THUMB), hashed("b", 7, 7, between)], set(), CLEAN)
    assert (got.kept["b"], got.group["b"]) == ("b", "a")


def test_a_faint_picture_takes_no_part_even_where_thumbs_agree() -> None:
    pair = [dataclasses.replace(hashed(name, 7, 7, THUMB), contrast=0.019) for name in "ab"]
    got = copies(pair, set(), CLEAN)
    assert got.kept == got.group == {"a": "a", "b": "b"}
    got = copies([dataclasses.replace(one, contrast=0.02) for one in pair], set(), CLEAN)
    assert got.kept == {"a": "a", "b": "a"}


def test_groups_are_stars_while_kin_goes_along_chains() -> None:
    base = 0xFEDCBA9876543210
    chain = [hashed(name, base ^ ((1 << 5 * k) - 1), base ^ ((1 << 5 * k) - 1), THUMB) for k, name in enumerate("abcd")]
    got = copies(chain, set(), CLEAN)  # neighbours are 10 apart, a and c 20
    assert got.kept == {"a": "a", "b": "a", "c": "c", "d": "c"}
    assert set(got.group.values()) == {"a"}


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9), st.integers(1, 3)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_result_does_not_depend_on_the_order(specs, random) -> None:
    bases = [0x0123456789ABCDEF, 0xF0E1D2C3B4A59687, 0x5555AAAA5555AAAA, 0x0123456789ABCDEF ^ 0xFFF]
    facts = [
        dataclasses.replace(
            hashed(f"{k:02}", bases[b] ^ ((1 << p) - 1), bases[b] ^ ((1 << d) - 1), THUMB), bytes=w, width=w * 100
        )
        for k, (b, p, d, w) in enumerate(specs)
    ]
    shuffled = list(facts)
    random.shuffle(shuffled)
    one, other = copies(facts, {"03"}, CLEAN), copies(shuffled, {"03"}, CLEAN)
    assert one == other
    for sha, kept in one.kept.items():
        assert one.kept[kept] == kept  # what stands for others stands for itself
        assert one.group[sha] == one.group[kept]  # a copy is never parted from its original


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, 9)] * 2, st.integers(1, 3), st.integers(0, 30)), max_size=12))
def test_what_cleaning_keeps_of_a_class_it_keeps_when_it_cleans_again(specs) -> None:
    base = 0xFEDCBA9876543210
    facts, hits = [], []
    for k, (p, d, w, rank) in enumerate(specs):
        one = hashed(f"{k:02}", base ^ ((1 << 2 * p) - 1), base ^ ((1 << 2 * d) - 1), THUMB)
        facts.append(dataclasses.replace(one, bytes=w, width=w * 100, height=100, sharpness=1, entropy=7, highlights=1))
        hits.append((one.sha256, Hit("a", "word", "t", rank, f"http://t/{k}")))
    gone = {one.sha256 for one in verdicts_for(facts, thumbs_in(facts), hits, CLEAN) if one.verdict == "drop"}
    stays = [(sha, hit) for sha, hit in hits if sha not in gone]
    again = verdicts_for(facts, thumbs_in(facts), stays, CLEAN)
    assert [one for one in again if one.verdict == "drop"] == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_connected_parts_are_those_of_the_transitive_closure(pairs) -> None:
    items = [str(number) for number in range(10)]
    reach = {one: {one} for one in items}
    for _ in items:
        for a, b in itertools.chain(pairs, [(b, a) for a, b in pairs]):
            reach[str(a)] |= reach[str(b)]
    assert connected_components(items, [(str(a), str(b)) for a, b in pairs]) == {one: min(reach[one]) for one in items}


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_a_copy_turned_by_quarters_is_found_where_that_is_wanted(picture, orientation: int) -> None:
    pixels = np.asarray(picture(1, 200, 150))
    other = Image.fromarray(reoriented(pixels[None].transpose(3, 1, 2, 0)[..., 0], orientation).transpose(1, 2, 0))
    facts = [facts_of("b", picture(1, 200, 150)), facts_of("a", other.resize((other.width // 2, other.height // 2)))]
    got = copies(facts, set(), CleanConfig(turned=True))
    assert (got.kept["a"], reoriented(THUMBS, got.orientation["a"]).tolist()) == (
        "b",
        reoriented(THUMBS, inverse(orientation)).tolist(),
    )
    assert (copies(facts, set(), CLEAN).kept["a"] == "b") == (orientation < 2)


def test_no_pictures_at_all() -> None:
    assert copies([], set(), CLEAN).kept == {}
