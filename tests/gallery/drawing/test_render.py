import io
from collections import Counter

import imagehash
import numpy as np
import pytest
import requests
from PIL import Image, ImageOps

from gallery.collection import KINDS, Planted
from gallery.drawing.encode import ENCODINGS, encode, upright_rgb
from gallery.site import Gallery

PER_CLASS = 12


def bodies_of(gallery: Gallery) -> dict[str, requests.Response]:
    with requests.Session() as session:
        return {p.url_path: session.get(gallery.base_url + p.url_path, timeout=30) for p in gallery.truth()}


@pytest.fixture(scope="module")
def served() -> tuple[list[Planted], dict[str, requests.Response]]:
    with Gallery.rendered(per_class=PER_CLASS, seed=5) as gallery:
        return gallery.truth(), bodies_of(gallery)


def of_kind(served: tuple[list[Planted], dict[str, requests.Response]], *kinds: str) -> list[tuple[bytes, bytes]]:
    """(bytes, bytes of the original or nothing) of each picture of these kinds."""
    truth, bodies = served
    return [(bodies[p.url_path].content, bodies[p.of].content if p.of else b"") for p in truth if p.kind in kinds]


def difference(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference of two pictures at a small size, 0–255."""
    size = (64, 64)
    small = [np.asarray(image.resize(size, Image.Resampling.BOX), dtype=float) for image in (a, b)]
    return float(np.abs(small[0] - small[1]).mean())


def alike(a: Image.Image, b: Image.Image) -> int:
    return int((imagehash.phash(a) - imagehash.phash(b)) + (imagehash.dhash(a) - imagehash.dhash(b)))


def test_the_same_seed_serves_the_same_bytes_and_another_does_not():
    with Gallery.rendered(per_class=6, seed=9) as first, Gallery.rendered(per_class=6, seed=9) as second:
        assert first.truth() == second.truth()
        bodies = bodies_of(first)
        assert {k: v.content for k, v in bodies.items()} == {k: v.content for k, v in bodies_of(second).items()}
    with Gallery.rendered(per_class=6, seed=10) as other:
        assert {p.url_path for p in other.truth()}.isdisjoint(bodies)


def test_the_default_gallery_has_the_promised_numbers():
    gallery = Gallery.rendered()
    kinds = Counter((p.keyword, p.kind) for p in gallery.truth())
    promised = dict(
        honest=60, exact_copy=3, resized=3, recompressed=3, mirrored=3, two_keywords=2,
        truncated=2, html=1, tiny=2, blank=2, off_topic=2, missing=2,
    )  # fmt: skip
    assert set(promised) == set(KINDS)
    assert kinds == {(keyword, kind): n for keyword in gallery.keywords for kind, n in promised.items()}


def test_too_small_a_gallery_is_refused():
    with pytest.raises(ValueError, match="per_class is 5"):
        Gallery.rendered(per_class=5)


def test_truth_names_each_address_once_and_copies_are_of_honest_pictures(served):
    truth, bodies = served
    by_path = {p.url_path: p for p in truth}
    assert len(by_path) == len(truth) == len(bodies)
    copies = {"exact_copy", "resized", "recompressed", "mirrored", "two_keywords"}
    for planted in truth:
        assert (planted.of is not None) == (planted.kind in copies)
        if planted.of is not None:
            original = by_path[planted.of]
            assert original.kind == "honest"
            assert (original.keyword == planted.keyword) == (planted.kind != "two_keywords")


def test_exact_copies_have_the_same_bytes(served):
    pairs = of_kind(served, "exact_copy")
    assert len(pairs) >= 5
    assert all(copy == original for copy, original in pairs)


def test_resized_and_recompressed_copies_show_the_same_picture(served):
    for copy, original in of_kind(served, "recompressed", "resized"):
        assert copy != original
        assert difference(upright_rgb(copy), upright_rgb(original)) < 6
    for copy, original in of_kind(served, "resized"):
        assert 0.38 < upright_rgb(copy).width / upright_rgb(original).width < 0.72
    for copy, original in of_kind(served, "recompressed"):
        assert upright_rgb(copy).size == upright_rgb(original).size


def test_mirrored_copies_are_the_originals_mirrored(served):
    for copy, original in of_kind(served, "mirrored"):
        assert difference(upright_rgb(copy), ImageOps.mirror(upright_rgb(original))) < 6
        assert alike(upright_rgb(copy), upright_rgb(original)) > 16


def test_a_picture_under_two_keywords_is_the_same_picture_at_telling_ranks(served):
    for copy, original in of_kind(served, "two_keywords"):
        assert difference(upright_rgb(copy), upright_rgb(original)) < 6
    gallery = Gallery.rendered()
    rank = {
        picture.url_path: position / len(pictures)
        for pictures in gallery.collection.openverse.values()
        for position, picture in enumerate(pictures)
    }
    leads = [rank[p.url_path] - rank[p.of or ""] for p in gallery.truth() if p.kind == "two_keywords"]
    assert sum(lead > 0.5 for lead in leads) >= 3  # at home with the original
    assert sum(lead < -0.5 for lead in leads) >= 3  # at home with the copy
    assert sum(abs(lead) < 0.1 for lead in leads) >= 3  # at home with neither


def test_broken_files_do_not_open_and_are_complete_as_transfers(served):
    truth, bodies = served
    for planted in truth:
        body = bodies[planted.url_path]
        assert int(body.headers["Content-Length"]) == len(body.content)
        if planted.kind == "truncated":
            with Image.open(io.BytesIO(body.content)) as image, pytest.raises(OSError, match="truncated"):
                image.load()
        elif planted.kind == "html":
            assert body.headers["Content-Type"] == "image/jpeg"
            assert body.content.startswith(b"<!DOCTYPE html>")
        elif planted.kind == "missing":
            assert body.status_code == 404
        else:
            assert upright_rgb(body.content).size > (0, 0)


def test_icons_are_tiny_blanks_are_even_and_the_rest_is_neither(served):
    truth, bodies = served
    for planted in truth:
        if planted.kind in ("truncated", "html", "missing"):
            continue
        image = upright_rgb(bodies[planted.url_path].content)
        spread = float(np.asarray(image.convert("L"), dtype=float).std())
        assert (max(image.size) <= 32) == (planted.kind == "tiny")
        assert (spread < 2) == (planted.kind == "blank")
        if planted.kind == "honest":
            assert min(image.size) >= 240
            assert max(image.size) <= 1100


def test_honest_pictures_are_not_each_others_copies(served):
    images = [upright_rgb(body) for body, _ in of_kind(served, "honest")]
    assert len(images) == 5 * PER_CLASS
    both = [(imagehash.phash(i), imagehash.dhash(i)) for i in images]
    mirrored = [(imagehash.phash(i), imagehash.dhash(i)) for i in map(ImageOps.mirror, images)]
    for n, (p, d) in enumerate(both):
        for q, e in both[n + 1 :] + mirrored[n + 1 :]:
            assert (p - q) + (d - e) > 16


def test_every_encoding_is_what_it_says_and_stands_upright():
    rng = np.random.default_rng(0)
    drawn = np.zeros((300, 400, 3), np.uint8)
    drawn[:150, :200], drawn[150:, 200:] = (220, 60, 40), (40, 90, 200)
    image = Image.fromarray(drawn)
    modes = {}
    for name in ENCODINGS:
        body = encode(image, name, rng, quality=90)
        with Image.open(io.BytesIO(body)) as opened:
            modes[name] = (opened.format, opened.mode)
        shown = upright_rgb(body)
        assert shown.size == image.size
        expected = image.convert("L").convert("RGB") if name in ("jpeg_grey", "png_grey16") else image
        middle = (60, 45, 340, 255)  # the transparent margin of png_rgba lies outside
        assert difference(shown.crop(middle), expected.crop(middle)) < 6
    assert modes["jpeg_cmyk"] == ("JPEG", "CMYK")
    assert modes["webp_as_jpg"] == ("WEBP", "RGB")
    assert modes["png_palette"] == ("PNG", "P")
    assert modes["png_grey16"] == ("PNG", "I;16")
    assert modes["png_rgba"] == ("PNG", "RGBA")
    assert {"GIF", "BMP", "TIFF"} <= {image_format for image_format, _ in modes.values()}
