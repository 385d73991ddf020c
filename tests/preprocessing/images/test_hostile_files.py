"""A thousand malformed and odd files, made by seed: no crash, no hang; clean and predict give each its reason."""

import base64
import gzip
import hashlib
import io
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from preprocessing import clean
from preprocessing.images.formats import FORMATS
from training.inference.classifier import Classifier
from training.inference.predict import predict_files
from workspace.catalog.records import Download, Hit, ImageFacts, Verdict
from workspace.config.clean import CleanConfig
from workspace.reasons import REASONS
from workspace.storage.image_store import ImageStore

COUNT, SEED = 1000, 19
Rng = np.random.Generator
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def drawn(rng: Rng) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize((int(rng.integers(40, 120)), int(rng.integers(40, 120))), Image.Resampling.BICUBIC)


def saved(container: str, convert: Callable[[Image.Image], Image.Image] = lambda image: image, **options: object):
    def make(rng: Rng) -> bytes:
        out = io.BytesIO()
        convert(drawn(rng)).save(out, container, **options)
        return out.getvalue()

    return make


def frames(container: str, **options: object):
    def make(rng: Rng) -> bytes:
        first, *others = (drawn(rng).resize((50, 40)) for _ in range(3))
        out = io.BytesIO()
        first.save(out, container, save_all=True, append_images=others, **options)
        return out.getvalue()

    return make


def mode(name: str) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.convert(name)


def deep(dtype: str, scale: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: Image.fromarray((np.asarray(image.convert("L"), np.float64) * scale).astype(dtype))


def clear(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(image.getchannel("R"))
    return image


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112], block[0x010E] = orientation, "a description" * 20
    return block


# What people have: every container, its modes, palettes with transparency, depths, frames, metadata.
GOOD = {
    "jpeg": saved("JPEG"),
    "jpeg grey": saved("JPEG", mode("L")),
    "jpeg cmyk": saved("JPEG", mode("CMYK")),
    "jpeg progressive": saved("JPEG", progressive=True, icc_profile=PROFILE, comment=b"no comment" * 30),
    "jpeg turned": saved("JPEG", exif=exif(6)),
    "jpeg of a telephone": frames("MPO"),
    "png": saved("PNG", icc_profile=PROFILE, exif=exif(3)),
    "png 1 bit": saved("PNG", mode("1")),
    "png grey and alpha": saved("PNG", mode("LA")),
    "png palette": saved("PNG", lambda image: image.quantize(16)),
    "png palette, transparent": saved("PNG", lambda image: image.quantize(16), transparency=bytes(range(0, 256, 16))),
    "png alpha": saved("PNG", clear),
    "png 16 bits": saved("PNG", deep("u2", 257)),
    "png animated": frames("PNG"),
    "gif": saved("GIF"),
    "gif transparent": saved("GIF", lambda image: image.quantize(16), transparency=2, comment=b"c" * 400),
    "gif animated": frames("GIF", loop=0),
    "webp": saved("WEBP", exif=exif(8), icc_profile=PROFILE, xmp=b"<x:xmpmeta/>" * 40),
    "webp lossless, alpha": saved("WEBP", clear, lossless=True),
    "webp animated": frames("WEBP"),
    "tiff": saved("TIFF"),
    "tiff lzw": saved("TIFF", compression="tiff_lzw", exif=exif(5)),
    "tiff deflate, alpha": saved("TIFF", clear, compression="tiff_adobe_deflate"),
    "tiff jpeg": saved("TIFF", compression="jpeg"),
    "tiff fax": saved("TIFF", mode("1"), compression="group4"),
    "tiff cmyk": saved("TIFF", mode("CMYK")),
    "tiff float": saved("TIFF", deep("f4", 1)),
    "tiff wide": saved("TIFF", deep("i4", 9000), compression="tiff_lzw"),
    "tiff 16 bits": saved("TIFF", deep("u2", 200)),
    "tiff, pages": frames("TIFF"),
    "bmp": saved("BMP"),
    "bmp palette": saved("BMP", lambda image: image.quantize(16)),
}
if features.check("avif"):
    GOOD |= {"avif": saved("AVIF", speed=10, exif=exif(6))}
if "HEIF" in FORMATS:
    GOOD |= {"heic": saved("HEIF")}


def pick(rng: Rng, options: Sequence[bytes]) -> bytes:
    return options[int(rng.integers(len(options)))]


def places(rng: Rng, data: bytes, count: int = 2) -> list[int]:
    return sorted(int(at) for at in rng.integers(0, len(data) + 1, count))


def cut(rng: Rng, data: bytes) -> bytes:
    return data[: places(rng, data, 1)[0]]


def flip(rng: Rng, data: bytes) -> bytes:
    bad = bytearray(data)
    for at in rng.integers(0, len(bad), int(rng.integers(1, 40))):
        bad[at] ^= 1 << int(rng.integers(8))
    return bytes(bad)


def flip_header(rng: Rng, data: bytes) -> bytes:
    return flip(rng, data[:80]) + data[80:]


def blot(rng: Rng, data: bytes) -> bytes:
    start, end = places(rng, data)
    end = min(end, start + 400)
    return data[:start] + pick(rng, [bytes(end - start), b"\xff" * (end - start), rng.bytes(end - start)]) + data[end:]


def remove(rng: Rng, data: bytes) -> bytes:
    start, end = places(rng, data)
    return data[:start] + data[min(end, start + 300) :]


def repeat(rng: Rng, data: bytes) -> bytes:
    start, end = places(rng, data)
    return data[:end] + data[start:end] * int(rng.integers(1, 4)) + data[end:]


def exchange(rng: Rng, data: bytes) -> bytes:
    one, two, three, four = places(rng, data, 4)
    return data[:one] + data[three:four] + data[two:three] + data[one:two] + data[four:]


def huge_number(rng: Rng, data: bytes) -> bytes:
    at = int(rng.integers(4, min(len(data), 120)))
    number = pick(rng, [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\1\0\0"])
    return data[:at] + number + data[at + 4 :]


def behind_something(rng: Rng, data: bytes) -> bytes:
    return pick(rng, [b"<html>", b"PK\3\4" + bytes(26), b"GIF89a", b"\xff\xd8\xff", b"\xef\xbb\xbf", b"\n"]) + data


def before_something(rng: Rng, data: bytes) -> bytes:
    return data + pick(rng, [b"<script>alert(1)</script>" * 50, b"PK\3\4" + rng.bytes(400), data, bytes(9000)])


def head_of_another(rng: Rng, data: bytes) -> bytes:
    other = GOOD[str(rng.choice(list(GOOD)[:32]))](rng)
    return other[: int(rng.integers(2, 200))] + data[int(rng.integers(0, 200)) :]


def packed(rng: Rng, data: bytes) -> bytes:
    utf_16 = data.decode("latin-1").encode("utf-16")
    return pick(rng, [gzip.compress(data), base64.b64encode(data), utf_16, data[::-1]])


def reorder_chunks(rng: Rng, data: bytes) -> bytes:
    """Shuffle, drop and repeat a PNG's chunks, a JPEG's segments by their marks, else pieces of 64 bytes."""
    if data.startswith(b"\x89PNG"):
        chunks, at = [], 8
        while at + 12 <= len(data):
            end = at + 12 + int.from_bytes(data[at : at + 4], "big")
            chunks.append(data[at:end])
            at = end
        head, parts = data[:8], chunks
    elif data.startswith(b"\xff\xd8"):
        head, *parts = [b"\xff" + part for part in data[1:].split(b"\xff")]
    else:
        head, parts = data[:16], [data[at : at + 64] for at in range(16, len(data), 64)]
    picked = rng.integers(0, len(parts), len(parts)) if rng.random() < 0.5 else rng.permutation(len(parts))
    return head + b"".join(parts[int(place)] for place in picked)


def rewritten_png(rng: Rng, data: bytes) -> bytes:
    """A PNG whose header says something else, with a checksum that is right."""
    width, height = (int(rng.choice([0, 1, 7, 50, 9000, 70_000, 2**31 - 1])) for _ in range(2))
    head = struct.pack(">IIBBBBB", width, height, *(int(rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 77])) for _ in range(5)))
    body = b"\x89PNG\r\n\x1a\n"
    for kind, part in ((b"IHDR", head), (b"PLTE", rng.bytes(48)), (b"IDAT", zlib.compress(data * 3)), (b"IEND", b"")):
        body += struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
    return body


def noise(rng: Rng, data: bytes) -> bytes:
    return data[: int(rng.integers(0, 40))] + rng.bytes(int(rng.integers(0, 3000)))


def untouched(_rng: Rng, data: bytes) -> bytes:
    return data


CHANGES = (
    *(cut, flip, flip, flip_header, blot, remove, repeat, exchange, huge_number, huge_number, behind_something),
    *(before_something, head_of_another, packed, reorder_chunks, rewritten_png, noise, untouched),
)
NAMES = ("a b.jpg", "ÀÉ ñ 写真.png", "-rf.gif", "tab\tand\nline.webp", "quote'\"`$(x).tif", "x" * 240 + ".jpg", "plain")
SUFFIXES = (".jpg", ".png", ".txt", ".php", ".JPEG", "", ".webp", ".exe")


OTHERS = {
    "nothing": b"",
    "blanks": b" \n" * 300,
    "page": b"<!doctype html><html><body><h1>404</h1></body></html>",
    "drawing": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
    "pdf": b"%PDF-1.7\n" + bytes(90),
    "photoshop": b"8BPS\0\1" + bytes(90),
    "icon": b"\0\0\1\0" + bytes(90),
    "film": b"\0\0\0\x18ftypmp42" + bytes(90),
    "program": b"\x7fELF" + bytes(900),
    "json": b'{"error": "gone"}',
    "scans": b"\xff\xd8" + b"\xff\xda\0\x08\1\1\0\0\x3f\0data" * 5000,
}


def hostile_files() -> list[tuple[str, bytes]]:
    """(what it is, the file) of COUNT files: every change of every kind of good file, and what is no picture."""
    rng, found = np.random.default_rng(SEED), list(OTHERS.items())
    kinds = list(GOOD)
    for number in range(len(OTHERS), COUNT):
        kind, change = kinds[number % len(kinds)], CHANGES[number // len(kinds) % len(CHANGES)]
        found.append((f"{number} {kind}: {change.__name__}", change(rng, GOOD[kind](rng))))
    return found


@pytest.mark.timeout(400)
def test_a_thousand_files_have_a_row_with_a_reason_and_predict_says_the_same(
    collected, save_model, tmp_path: Path, capfd
) -> None:
    files, began = hostile_files(), time.monotonic()
    names = {hashlib.sha256(data).hexdigest(): what for what, data in files}
    store, workspace = ImageStore(collected.workspace), collected.workspace
    downloads, hits, paths = [], [], {}
    (tmp_path / "odd").mkdir()
    for number, (what, data) in enumerate(files):
        sha, url = hashlib.sha256(data).hexdigest(), f"http://odd.test/{number}"
        store.put(sha, ".jpg", data, durable=False)
        downloads.append(Download(url, "ok", bytes=len(data), sha256=sha))
        hits.append(Hit("a", "a", "odd", number, url))
        name = f"{number}{SUFFIXES[number % len(SUFFIXES)]}" if number >= len(NAMES) else NAMES[number]
        paths[tmp_path / "odd" / name] = what
        (tmp_path / "odd" / name).write_bytes(data)
    limits = {"decoder_memory_mb": 400, "decoder_timeout_s": 20, "workers": 2}
    with workspace.open_catalog() as catalog:
        catalog.add_new(hits)
        catalog.put(downloads)
    clean.run(workspace, collected.config(clean=limits))
    with workspace.open_catalog() as catalog:
        rows = {names[one.sha256]: one for one in catalog.all(ImageFacts)}
        judged = {names[one.sha256] for one in catalog.all(Verdict)}
    assert rows.keys() == judged == set(names.values())
    reasons = Counter(one.error for one in rows.values())
    assert {REASONS[name].stage for name in reasons if name not in ("", "empty")} == {"decode"}
    assert not reasons.keys() & {"decoder_crashed", "decoder_timeout", "decoder_memory"}
    assert all(bool(one.error) == bool(one.detail) for one in rows.values())
    assert {what: rows[what].detail for what in rows if "untouched" in what and rows[what].error} == {}
    assert len(reasons) > 6 and 200 < reasons[""] < 800

    classifier = Classifier.load(save_model(tmp_path / "model", crop_px=64, resize_px=64), "cpu")
    answers = {
        paths[Path(one.name)]: one
        for one in predict_files(classifier, list(paths), clean=CleanConfig.model_validate(limits))
    }
    assert len(answers) == COUNT
    assert {what: answers[what].error.partition(":")[0] for what in rows} == {what: rows[what].error for what in rows}
    assert all((one.answer is None) == bool(one.error) for one in answers.values())
    assert capfd.readouterr().err == ""
    assert time.monotonic() - began < 300
