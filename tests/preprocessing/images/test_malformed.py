"""Fifty and more kinds of malformed file: no crash, no hang, memory capped, each with its reason.

They pass through the workers, as in the clean step, under limits far below the defaults.
"""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, features

from preprocessing import clean
from preprocessing.images.decode import decode
from workspace.catalog.records import ImageFacts
from workspace.errors import ImageRefused


def picture(width: int = 90, height: int = 70, mode: str = "RGB", seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def encoded(container: str, mode: str = "RGB", image: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (image or picture(mode=mode)).save(out, container, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def png(width: int, height: int, data: bytes, *more: bytes, depth: int = 8, colour: int = 2) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def rows(width: int, height: int) -> bytes:
    return zlib.compress((b"\0" + b"\x80\x40\x20" * width) * height, 9)


def tiff(entries: list[tuple[int, int, int, int]], next_ifd: int = 0, rest: bytes = b"") -> bytes:
    body = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    for tag, kind, count, value in sorted(entries):
        body += struct.pack("<HHII", tag, kind, count, value)
    return body + struct.pack("<I", next_ifd) + rest


def strip(width: int, height: int, offset: int, size: int, compression: int = 1) -> list[tuple[int, int, int, int]]:
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, offset),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, size),
    ]


def bmp(width: int, height: int, offset: int, body: bytes = b"", bits: int = 24) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(body), 0, 0, offset) + info + body


def exif(body: bytes) -> bytes:
    """A good JPEG with this EXIF block."""
    jpeg = encoded("JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 8) + b"Exif\0\0" + body + jpeg[2:]


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("cat.jpg", b"not really")
    return out.getvalue()


def loop_of_ifds() -> bytes:
    """An EXIF block whose first directory is its own sub-directory and its own successor."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 8)


def animation(container: str) -> bytes:
    frames = [picture(40, 30, "P" if container == "GIF" else "RGB", seed) for seed in range(3)]
    return encoded(container, image=frames[0], save_all=True, append_images=frames[1:], duration=50)


JPEG, PNG, GIF, WEBP, TIFF = (encoded(kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF"))
BMP = encoded("BMP")
LZW = encoded("TIFF", compression="tiff_lzw")
IDAT = PNG.index(b"IDAT")

# name → the file, and the reason for which it is refused; "" where the pixels are good whatever else is wrong.
FILES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "blanks": (b" \n\t" * 40, "empty"),
    "zeros": (bytes(5000), "empty"),
    "noise": (np.random.default_rng(1).bytes(3000), "not_an_image"),
    "text": (b"Dear reader, there is no picture here.", "not_an_image"),
    "html": (b"<!doctype html><html><body><img src=x></body></html>", "not_an_image"),
    "json": (b'{"error": "not found"}', "not_an_image"),
    "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "format_not_allowed"),
    "svg bomb": (b'<svg><!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>&b;</svg>', "format_not_allowed"),
    "zip": (zipped(), "not_an_image"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "not_an_image"),
    "executable": (b"\x7fELF" + bytes(200), "not_an_image"),
    "pdf": (b"%PDF-1.7\n" + bytes(100), "format_not_allowed"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "format_not_allowed"),
    "icon": (encoded("ICO"), "format_not_allowed"),
    "photoshop": (b"8BPS\0\1" + bytes(100), "format_not_allowed"),
    "netpbm": (encoded("PPM"), "format_not_allowed"),
    "film": (b"\0\0\0\x18ftypmp42" + bytes(100), "format_not_allowed"),
    "html behind a gif's magic": (b"GIF89a<script>alert(1)</script>", "truncated"),
    "jpeg: three bytes": (JPEG[:3], "truncated"),
    "jpeg: magic alone": (JPEG[:20], "truncated"),
    "jpeg: cut in its tables": (JPEG[:150], "truncated"),
    "jpeg: cut at a quarter": (JPEG[: len(JPEG) // 4], "truncated"),
    "jpeg: cut at a half": (JPEG[: len(JPEG) // 2], "truncated"),
    "jpeg: cut near its end": (JPEG[:-200], "truncated"),
    "jpeg: no tables": (JPEG[:2] + JPEG[JPEG.index(b"\xff\xc0") :], "damaged"),
    "jpeg: zero high": (changed(JPEG, JPEG.index(b"\xff\xc0") + 5, b"\0\0"), "damaged"),
    "jpeg: claims 65500 x 65500": (changed(JPEG, JPEG.index(b"\xff\xc0") + 5, b"\xff\xdc\xff\xdc"), "too_many_pixels"),
    "jpeg: nine components": (changed(JPEG, JPEG.index(b"\xff\xc0") + 9, b"\x09"), "damaged"),
    "jpeg: a zip behind it": (JPEG + zipped(), ""),
    "jpeg: html behind it": (JPEG + b"<html><script>alert(1)</script></html>" * 9, ""),
    "jpeg: exif of noise": (exif(np.random.default_rng(2).bytes(300)), ""),
    "jpeg: exif that points at itself": (exif(loop_of_ifds()), ""),
    "jpeg: exif with a count of 4 billion": (
        exif(b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x112, 3, 0xFFFFFFFF, 0)),
        "",
    ),
    "jpeg: orientation 200": (exif(b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x112, 3, 1, 200, 0)), ""),
    "jpeg: profile of noise": (encoded("JPEG", icc_profile=np.random.default_rng(3).bytes(900)), ""),
    "jpeg: cmyk without a profile": (encoded("JPEG", "CMYK"), ""),
    "png: magic alone": (PNG[:8], "truncated"),
    "png: cut in its header": (PNG[:20], "truncated"),
    "png: cut in its data": (PNG[: len(PNG) // 2], "truncated"),
    "png: no IEND": (PNG[:-12], ""),
    "png: wrong sum of a chunk": (changed(PNG, IDAT + 4000, b"\0\1\2\3"), "damaged"),
    "png: noise in its data": (png(90, 70, np.random.default_rng(4).bytes(500)), "damaged"),
    "png: too little data": (png(90, 70, rows(90, 10)), ""),
    "png: too much data": (png(90, 70, rows(90, 500)), ""),
    "png: zero wide": (png(0, 70, rows(1, 70)), "damaged"),
    "png: 300 megapixels in 36 kB": (png(20_000, 15_000, zlib.compress(bytes(36_000_000), 9)), "too_many_pixels"),
    "png: claims 4 billion x 4 billion": (png(0x7FFFFFFF, 0x7FFFFFFF, rows(9, 9)), "too_many_pixels"),
    "png: 40 megapixels of nothing": (png(8000, 5000, rows(10, 10)), "truncated"),
    "png: text of 30 MB in 30 kB": (
        png(90, 70, rows(90, 70), chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(30_000_000), 9))),
        "",
    ),
    "png: profile of noise": (png(90, 70, rows(90, 70), chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(99)))), ""),
    "png: profile that does not unpack": (png(90, 70, rows(90, 70), chunk(b"iCCP", b"icc\0\0" + bytes(99))), ""),
    "png: palette missing": (png(90, 70, zlib.compress(bytes(91 * 70)), colour=3), "damaged"),
    "png: depth 77": (png(90, 70, rows(90, 70), depth=77), "damaged"),
    "png: 16 bits": (encoded("PNG", image=Image.fromarray(np.arange(7000, dtype=np.uint16).reshape(70, 100))), ""),
    "png: animated": (animation("PNG"), ""),
    "gif: cut in its header": (GIF[:9], "truncated"),
    "gif: cut in its data": (GIF[: len(GIF) // 2], "truncated"),
    "gif: later frames broken": (animation("GIF")[:-300], ""),
    "gif: claims 65535 x 65535": (changed(GIF, 6, b"\xff\xff\xff\xff"), "too_many_pixels"),
    "gif: zero wide": (changed(GIF, 6, b"\0\0"), ""),
    "gif: no frame": (GIF[:13] + b"\0" * 768 + b";", "damaged"),
    "bmp: cut": (BMP[: len(BMP) // 2], "truncated"),
    "bmp: data at 4 billion": (bmp(90, 70, 0xFFFFFFF0), "truncated"),
    "bmp: data inside its header": (bmp(90, 70, 2, bytes(90 * 70 * 3 + 200)), ""),
    "bmp: claims 2 billion x 2 billion": (bmp(0x7FFFFFFF, 0x7FFFFFFF, 54), "too_many_pixels"),
    "bmp: zero high": (bmp(90, 0, 54), "damaged"),
    "bmp: 77 bits": (bmp(90, 70, 54, bytes(19_000), bits=77), "damaged"),
    "tiff: cut": (TIFF[: len(TIFF) // 2], "truncated"),
    "tiff: no directory": (b"II*\0" + struct.pack("<I", 0), "damaged"),
    "tiff: directory beyond its end": (b"II*\0" + struct.pack("<I", 99_999), "truncated"),
    "tiff: directory that follows itself": (tiff(strip(9, 9, 200, 81), 8, bytes(300)), ""),
    "tiff: data beyond its end": (tiff(strip(90, 70, 900_000, 6300)), "truncated"),
    "tiff: claims 4 billion x 4 billion": (
        tiff(strip(0xFFFFFFFF, 0xFFFFFFFF, 200, 81), 0, bytes(300)),
        "too_many_pixels",
    ),
    "tiff: zero wide": (tiff(strip(0, 9, 200, 81), 0, bytes(300)), "damaged"),
    "tiff: noise as lzw": (tiff(strip(90, 70, 122, 900, 5), 0, np.random.default_rng(5).bytes(1000)), "damaged"),
    "tiff: noise as jpeg": (tiff(strip(90, 70, 122, 900, 7), 0, np.random.default_rng(6).bytes(1000)), "damaged"),
    "tiff: unknown compression": (tiff(strip(90, 70, 122, 900, 31_337), 0, bytes(1000)), "damaged"),
    "tiff: 4 billion values in a tag": (tiff([*strip(9, 9, 200, 81), (315, 2, 0xFFFFFFF0, 300)], 0, bytes(300)), ""),
    "tiff: lzw changed inside": (changed(LZW, 2000, bytes(range(200))), "damaged"),
    "webp: cut in its header": (WEBP[:25], "truncated"),
    "webp: cut in its data": (WEBP[: len(WEBP) // 2], "truncated"),
    "webp: noise inside": (WEBP[:30] + np.random.default_rng(7).bytes(len(WEBP) - 30), "damaged"),
    "webp: no chunk": (b"RIFF" + struct.pack("<I", 4) + b"WEBP", "damaged"),
}
if features.check("avif"):
    AVIF = encoded("AVIF")
    FILES |= {
        "avif: cut": (AVIF[: len(AVIF) // 2], "truncated"),
        "avif: boxes alone": (AVIF[:32], "damaged"),
        "avif: noise inside": (AVIF[:-400] + np.random.default_rng(8).bytes(400), ""),
    }


def test_every_kind_has_its_reason_within_little_time_and_memory(collected, capfd) -> None:
    names = {collected.add(data, "a"): name for name, (data, _) in FILES.items()}
    assert len(names) == len(FILES) > 50
    limits = {"workers": 2, "decoder_memory_mb": 300, "decoder_timeout_s": 30}
    clean.run(collected.workspace, collected.config(clean=limits))
    with collected.workspace.open_catalog() as catalog:
        facts = {names[one.sha256]: one for one in catalog.all(ImageFacts)}
    assert {name: facts[name].error for name in FILES} == {name: reason for name, (_, reason) in FILES.items()}
    for one in facts.values():
        assert bool(one.detail) == bool(one.error)
        assert (one.width > 0 and len(one.phash) == 16) == (not one.error)
    assert capfd.readouterr().err == ""  # libtiff and libjpeg like to comment


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("tiff")])
def test_no_library_prints_in_this_process_either(name, capfd) -> None:
    data, reason = FILES[name]
    if reason:
        with pytest.raises(ImageRefused, match=reason):
            decode(data)
    else:
        decode(data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("container", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_file_cut_anywhere_is_refused_or_whole(container) -> None:
    data = encoded(container, image=picture(64, 48))
    whole = decode(data).pixels
    for part in range(1, 32):
        cut = data[: len(data) * part // 32]
        try:
            pixels = decode(cut).pixels
        except ImageRefused as refused:
            assert refused.reason in {"truncated", "damaged", "not_an_image", "empty"}
        else:  # what is missing was not needed
            assert np.array_equal(pixels, whole)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ValueError("Failed to decode image: Out of memory"),
        RuntimeError("Memory allocation error: Unspecified: Allocating 12264015 bytes failed"),
    ],
)
def test_memory_that_runs_out_has_a_reason_of_its_own(error, monkeypatch) -> None:
    def no_room(_image: object) -> None:
        raise error

    monkeypatch.setattr("preprocessing.images.decode.rgb_pixels", no_room)
    with pytest.raises(ImageRefused, match="decoder_memory"):
        decode(PNG)
