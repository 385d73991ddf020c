"""HEIC, what telephones make: decoded like any other picture; without pillow-heif the refusal names the extra."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from preprocessing import clean
from preprocessing.images.decode import decode
from preprocessing.images.formats import FORMATS
from preprocessing.images.isolated_decode import decode_isolated
from workspace.catalog.records import ImageFacts
from workspace.config.clean import CleanConfig
from workspace.errors import ImageRefused
from workspace.files.image_type import image_suffix

needs_heif = pytest.mark.skipif("HEIF" not in FORMATS, reason="pillow-heif, the extra heif, is not installed")
HEAD = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(200)


@pytest.fixture
def heic(picture: Callable[..., Image.Image]) -> Callable[..., bytes]:
    def make(image: Image.Image | None = None, **options: object) -> bytes:
        out = io.BytesIO()
        (image or picture(1, 320, 240)).save(out, "HEIF", **{"quality": 90, **options})
        return out.getvalue()

    return make


def off(left: np.ndarray, right: object) -> float:
    return float(np.abs(left.astype(int) - np.asarray(right).astype(int)).mean())


@needs_heif
def test_a_picture_of_a_telephone_is_decoded_upright_and_small(heic, picture) -> None:
    image = picture(1, 320, 240)
    found = decode(heic(image))
    assert (found.format, found.mode, found.frames, found.width, found.height) == ("HEIF", "RGB", 1, 320, 240)
    assert off(found.pixels, image) < 6
    exif = Image.Exif()
    exif[0x0112] = 6
    assert off(decode(heic(image, exif=exif)).pixels, image) < 6  # in HEIF the item's rotation counts, not EXIF
    holder = image.copy()
    holder.info["exif"] = exif.tobytes()
    turned = decode(heic(holder))
    assert (turned.width, turned.height) == (240, 320)
    assert off(turned.pixels, image.transpose(Image.Transpose.ROTATE_270)) < 6
    assert decode_isolated(heic(image), CleanConfig(cache_side_px=64)).pixels.shape == (64, 85, 3)


@needs_heif
def test_modes_thumbnails_and_further_pictures(heic, picture) -> None:
    image = picture(2, 320, 240)
    clear = image.copy()
    clear.putalpha(Image.new("L", image.size, 0))
    assert (decode(heic(clear)).pixels == 255).all()
    grey = decode(heic(image.convert("L"))).pixels
    assert off(grey, image.convert("L").convert("RGB")) < 6
    assert decode(heic(image, save_all=True, append_images=[picture(3, 320, 240)])).frames == 2
    plain, small = heic(image), heic(image, thumbnails=[100])
    assert len(small) > len(plain)
    assert off(decode(small, side_px=64).pixels, image) < 6  # the picture itself, whatever its thumbnail shows


@needs_heif
def test_the_limits_hold(heic, picture) -> None:
    data = heic(picture(4, 400, 300))
    with pytest.raises(ImageRefused, match="too_many_pixels: 400 x 300 px; the limit is 0.1 megapixels"):
        decode(data, max_megapixels=0.1)
    large = heic(Image.new("RGB", (1600, 1600)), quality=10)
    with pytest.raises(ImageRefused, match=r"decoder_timeout: not decoded after 0\.001 s"):
        decode_isolated(large, CleanConfig(decoder_timeout_s=0.001, workers=1))


@needs_heif
def test_a_file_that_is_cut_or_damaged_has_its_reason(heic) -> None:
    data, rng = heic(), np.random.default_rng(5)
    for part in range(1, 24):
        with pytest.raises(ImageRefused) as refused:
            decode(data[: len(data) * part // 24])
        assert refused.value.reason in {"truncated", "damaged", "not_an_image"}
    for _ in range(60):
        bad = bytearray(data)
        for place in rng.integers(0, len(bad), 6):
            bad[place] = rng.integers(0, 256)
        try:
            decode(bytes(bad), max_megapixels=1)
        except ImageRefused as refused:
            assert refused.reason in {"truncated", "damaged", "too_many_pixels", "not_an_image", "format_not_allowed"}


def test_it_is_downloaded_whatever_is_installed_and_a_film_is_not() -> None:
    assert image_suffix(HEAD) == ".heic"
    assert image_suffix(b"\0\0\0\x18ftypmsf1\0\0\0\0hevc" + bytes(100)) == ".heic"
    assert image_suffix(b"\0\0\0\x18ftypmp42\0\0\0\0isom" + bytes(100)) is None


def test_without_pillow_heif_the_refusal_names_the_extra_and_the_file_is_read_once_it_is_there(
    collected, monkeypatch
) -> None:
    sha = collected.add(HEAD, "a")
    config = collected.config(clean={"workers": 1})
    without = tuple(name for name in FORMATS if name != "HEIF")
    with collected.workspace.open_catalog() as catalog:
        monkeypatch.setattr("preprocessing.images.formats.FORMATS", without)
        with pytest.raises(ImageRefused, match=r"pip install -e '\.\[heif\]'") as refused:
            decode(HEAD)
        catalog.put([ImageFacts(sha, error="format_not_allowed", detail=refused.value.detail)])
    monkeypatch.setattr("preprocessing.clean.FORMATS", without)
    assert clean.run(collected.workspace, config).done == 0
    monkeypatch.setattr("preprocessing.clean.FORMATS", (*without, "HEIF"))
    assert clean.run(collected.workspace, config).done == 1
