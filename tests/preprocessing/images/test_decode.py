import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, ImageOps

from preprocessing.images.decode import decode, shrink
from preprocessing.images.formats import FORMATS
from workspace.errors import ImageRefused

LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {"lossless": True}}


def difference(left, right) -> float:
    return float(np.abs(np.asarray(left, dtype=np.int16) - np.asarray(right, dtype=np.int16)).mean())


@pytest.mark.parametrize("container", LOSSLESS)
def test_lossless_containers_give_the_very_pixels(picture, encode, container) -> None:
    image = picture(1)
    got = decode(encode(image, container, **LOSSLESS[container]))
    assert (got.format, got.mode, got.frames, got.width, got.height) == (container, "RGB", 1, 120, 90)
    assert got.pixels.dtype == np.uint8
    assert np.array_equal(got.pixels, np.asarray(image))


@pytest.mark.parametrize("container", [name for name in FORMATS if name in ("JPEG", "AVIF")])
def test_lossy_containers_give_nearly_the_pixels(picture, encode, container) -> None:
    image = picture(2)
    got = decode(encode(image, container, quality=95))
    assert got.format == container
    assert difference(got.pixels, image) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("container", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_once(picture, encode, container, orientation) -> None:
    image = picture(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, container, exif=exif, **LOSSLESS[container])
    holder = image.copy()
    holder.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(holder))
    got = decode(data)
    assert np.array_equal(got.pixels, expected)
    assert (got.height, got.width) == expected.shape[:2]


def test_a_drafted_jpeg_reports_the_full_upright_size(picture, encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture(4, 800, 600)
    got = decode(encode(image, "JPEG", quality=90, exif=exif), side_px=150)
    assert got.pixels.shape == (200, 150, 3)
    assert (got.width, got.height) == (600, 800)
    expected = image.transpose(Image.Transpose.ROTATE_270).resize((150, 200), Image.Resampling.BOX)
    assert difference(got.pixels, expected) < 3


@pytest.mark.parametrize("side_px", [151, 299, 300, 301, 599, 600, 900])
def test_a_draft_never_goes_below_the_side_asked_for(picture, encode, side_px) -> None:
    got = decode(encode(picture(4, 800, 600), "JPEG"), side_px=side_px)
    assert min(got.pixels.shape[:2]) >= min(side_px, 600)
    assert (got.width, got.height) == (800, 600)


def test_sixteen_bits_are_scaled_not_clipped(encode) -> None:
    deep = np.random.default_rng(5).integers(0, 65536, (40, 50)).astype(np.uint16)
    for container in ("PNG", "TIFF"):
        got = decode(encode(Image.fromarray(deep), container))
        assert np.array_equal(got.pixels, np.repeat(np.rint(deep / 257)[..., None], 3, axis=2))


def test_float_and_wide_integers_use_their_range(encode) -> None:
    ramp = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    for values in (ramp.astype(np.float32), (ramp * 5e6 - 100).astype(np.int32)):
        got = decode(encode(Image.fromarray(values), "TIFF")).pixels
        assert (got.min(), got.max()) == (0, 255)
        assert difference(got[..., 0], np.rint(ramp * 255)) < 0.01


@pytest.mark.parametrize("container", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(picture, encode, container) -> None:
    image = picture(6).convert("RGBA")
    alpha = np.random.default_rng(6).choice([0, 128, 255], (90, 120)).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha))
    options = {"exact": True, "lossless": True} if container == "WEBP" else {}
    got = decode(encode(image, container, **options)).pixels
    share = alpha[..., None] / 255
    expected = np.asarray(image)[..., :3] * share + 255 * (1 - share)
    assert np.abs(got - expected).max() <= 1


def test_transparent_palette_entries_are_white(picture, encode) -> None:
    image = picture(7).quantize(16)
    index = int(np.asarray(image)[10, 10])
    for container in ("PNG", "GIF"):
        got = decode(encode(image, container, transparency=index)).pixels
        expected = np.asarray(image.convert("RGB")).copy()
        expected[np.asarray(image) == index] = 255
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_grey_and_palette_modes(picture, encode, mode) -> None:
    image = picture(8).convert(mode)
    assert np.array_equal(decode(encode(image)).pixels, np.asarray(image.convert("RGB")))


def test_cmyk_and_lab(picture, encode) -> None:
    image = picture(9)
    assert difference(decode(encode(image.convert("CMYK"), "JPEG", quality=98)).pixels, image) < 3
    lab = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert difference(decode(encode(lab, "TIFF")).pixels, image) < 2


def swapped_profile() -> bytes:
    """An sRGB profile whose red and blue primaries are exchanged, under another name."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    swapped = bytes(profile).replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    for name in (b"sRGB", "sRGB".encode("utf-16-be")):
        swapped = swapped.replace(name, name[::-1] if len(name) == 4 else "BGRs".encode("utf-16-be"))
    return swapped


def test_an_embedded_profile_is_applied_and_a_broken_one_ignored(picture, encode) -> None:
    image = picture(10)
    got = decode(encode(image, icc_profile=swapped_profile())).pixels
    assert difference(got[..., ::-1], image) < 2
    assert difference(got, image) > 10
    assert np.array_equal(decode(encode(image, icc_profile=b"no profile" * 20)).pixels, np.asarray(image))


@pytest.mark.parametrize("container", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(picture, encode, container) -> None:
    frames = [picture(seed, 40, 30).quantize(64).convert("RGB") for seed in (11, 12, 13)]
    options = {"lossless": True} if container == "WEBP" else {}
    got = decode(encode(frames[0], container, save_all=True, append_images=frames[1:], **options))
    assert got.frames == 3
    assert difference(got.pixels, frames[0]) < 1


def test_a_phone_s_double_jpeg_counts_as_jpeg(picture, encode) -> None:
    got = decode(encode(picture(14), "MPO", save_all=True, append_images=[picture(15)]))
    assert (got.format, got.frames) == ("JPEG", 2)


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def malformed(picture, encode) -> dict[str, tuple[bytes, str]]:
    image = picture(20)
    jpeg, png, webp = encode(image, "JPEG", quality=90), encode(image), encode(image, "WEBP")
    gif, bmp, tiff = encode(image, "GIF"), encode(image, "BMP"), encode(image, "TIFF", compression="tiff_lzw")
    return {
        "nothing": (b"", "empty"),
        "blanks": (b" \n\r\t\0" * 9, "empty"),
        "html": (b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
        "html behind a mark": (b"\xef\xbb\xbf\n<html>", "not_an_image"),
        "script": (b"#!/bin/sh\nrm -rf /\n", "not_an_image"),
        "json": (b'{"error": "gone"}', "not_an_image"),
        "zip": (b"PK\x03\x04" + bytes(60), "not_an_image"),
        "noise": (np.random.default_rng(0).bytes(500), "not_an_image"),
        "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "format_not_allowed"),
        "ico": (encode(image, "ICO"), "format_not_allowed"),
        "ppm": (encode(image, "PPM"), "format_not_allowed"),
        "jpeg 2000": (encode(image, "JPEG2000"), "format_not_allowed"),
        "pdf": (b"%PDF-1.7\n", "format_not_allowed"),
        "photoshop": (b"8BPS" + bytes(100), "format_not_allowed"),
        "film": (b"\0\0\0\x18ftypisom" + bytes(40), "format_not_allowed"),
        "claims 300 megapixels": (png_claiming(20_000, 15_000), "too_many_pixels"),
        "claims 100 megapixels": (png_claiming(10_000, 10_000), "too_many_pixels"),
        "claims no width": (png_claiming(0, 10), "damaged"),
        "too few rows": (png_claiming(100, 100), "truncated"),
        "jpeg head only": (jpeg[:3], "truncated"),
        "jpeg half": (jpeg[: len(jpeg) // 2], "truncated"),
        "jpeg but its end": (jpeg[:-200], "truncated"),
        "png half": (png[: len(png) // 2], "truncated"),
        "webp half": (webp[: len(webp) // 2], "truncated"),
        "gif half": (gif[: len(gif) // 2], "truncated"),
        "bmp half": (bmp[: len(bmp) // 2], "truncated"),
        "tiff half": (tiff[: len(tiff) // 2], "truncated"),
        "png body": (flipped(png, len(png) // 2), "damaged"),
        "png header": (flipped(png, 18), "damaged"),
        "webp header": (flipped(webp, 23), "damaged"),
        "jpeg tables": (jpeg[:20] + bytes(300) + jpeg[320:], "damaged"),
    }


def test_every_malformed_file_is_refused_with_its_reason(picture, encode) -> None:
    got = {}
    for name, (data, _) in malformed(picture, encode).items():
        try:
            decode(data)
            got[name] = "decoded"
        except ImageRefused as refused:
            got[name] = refused.reason
            assert refused.detail
    assert got == {name: reason for name, (_, reason) in malformed(picture, encode).items()}


@pytest.mark.parametrize("container", FORMATS)
def test_random_damage_never_raises_anything_else_and_never_warns(picture, encode, container) -> None:
    data = encode(picture(21, 48, 40), container)
    rng = np.random.default_rng(21)
    for _ in range(60):
        bad = bytearray(data)
        for place in rng.integers(0, len(bad), 6):
            bad[place] = rng.integers(0, 256)
        try:
            got = decode(bytes(bad), max_megapixels=1)
            assert got.pixels.shape == (got.height, got.width, 3)
        except ImageRefused as refused:
            assert refused.reason in {"not_an_image", "format_not_allowed", "too_many_pixels", "truncated", "damaged"}


def test_the_limit_is_in_pixels_of_the_header(encode, picture) -> None:
    data = encode(picture(22, 100, 100))
    assert decode(data, max_megapixels=0.01).width == 100
    with pytest.raises(ImageRefused, match="100 x 100 px; the limit is 0.0099 megapixels") as caught:
        decode(data, max_megapixels=0.0099)
    assert caught.value.reason == "too_many_pixels"


def test_the_limit_is_the_settings_and_not_pillows(encode, picture, monkeypatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # it refuses more than twice this
    assert decode(encode(picture(22, 100, 100))).width == 100
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_a_cut_file_is_refused_even_when_another_library_lets_pillow_pad_it(picture, encode, monkeypatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encode(picture(23), "JPEG")
    with pytest.raises(ImageRefused, match="truncated"):
        decode(data[:-300])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_broken_exif_is_no_reason_to_refuse(picture, encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    for broken in (raw[:12], raw[:8] + b"\xff" * 30, raw[:-3]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert decode(encode(picture(24), "JPEG", exif=broken)).width in (120, 90)


def test_shrink_keeps_the_aspect_and_never_enlarges(picture) -> None:
    pixels = np.asarray(picture(25, 300, 100))
    small = shrink(pixels, 50)
    assert small.shape == (50, 150, 3)
    assert difference(small, Image.fromarray(pixels).resize((150, 50), Image.Resampling.BOX)) < 6
    assert shrink(pixels, 100) is pixels
    assert shrink(np.zeros((2000, 1, 3), np.uint8), 64).shape == (2000, 1, 3)


def test_a_page_of_text_is_refused_before_a_decoder_sees_it(monkeypatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(ImageRefused, match="not_an_image"):
        decode(b"<html>")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "16 bits"])
def test_a_large_picture_has_the_pixels_of_a_small_one(picture, encode, mode, monkeypatch) -> None:
    if mode == "16 bits":
        image = Image.fromarray(np.asarray(picture(30).convert("L"), np.uint16) * 257)
    else:
        image = picture(30).quantize(32) if mode == "P" else picture(30).convert(mode)
    options = {"transparency": 5} if mode == "P" else {}
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(image, "TIFF" if mode == "CMYK" else "PNG", icc_profile=swapped_profile(), exif=exif, **options)
    whole = decode(data)
    monkeypatch.setattr("preprocessing.images.colour._PIXELS_AT_ONCE", 700)  # 5 rows of 120 px
    strips = decode(data)
    assert np.array_equal(strips.pixels, whole.pixels) and (strips.width, strips.height) == (90, 120)
