"""Text, profiles, EXIF, XMP, comments and their checksums never refuse a picture: its pixels are those without them."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from preprocessing import clean
from preprocessing.images.decode import decode
from workspace.catalog.records import ImageFacts
from workspace.errors import ImageRefused

NOISE = np.random.default_rng(0).bytes(500)
LONG = b"A" * 1_100_000
PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8))


def encoded(container: str, image: Image.Image = PICTURE, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, container, **options)
    return out.getvalue()


PLAIN = {container: encoded(container) for container in ("PNG", "JPEG", "WEBP", "GIF")}


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    sum_ = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)


def png(*chunks: bytes, after: bool = False, base: bytes = PLAIN["PNG"]) -> bytes:
    at = len(base) - 12 if after else 33
    return base[:at] + b"".join(chunks) + base[at:]


def packed(kind: bytes, data: bytes) -> bytes:
    return chunk(kind, b"name\0\0" + zlib.compress(data))


def png_files() -> Iterator[tuple[str, bytes]]:
    chunks = {
        "text of 1.1 MB": chunk(b"tEXt", b"Comment\0" + LONG),
        "XMP of 1.1 MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + LONG),
        "XMP of 1.1 MB, packed": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)),
        "XMP of 9 MB, packed": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(9_000_000))),
        "text bomb of 300 MB": packed(b"zTXt", bytes(300_000_000)),
        "100 texts of 1 MB": packed(b"zTXt", bytes(1_000_000)) * 100,
        "profile bomb": packed(b"iCCP", bytes(50_000_000)),
        "profile cut off": chunk(b"iCCP", b"icc\0\0" + zlib.compress(NOISE)[:50]),
        "unknown packing of a text": chunk(b"zTXt", b"Comment\0\7" + NOISE),
        "unknown packing of a profile": chunk(b"iCCP", b"icc\0\7" + NOISE),
        "text that is no UTF-8": chunk(b"iTXt", b"Comment\0\0\0\xff\xfe\0\xff\xff\0\xff"),
        "EXIF of noise": chunk(b"eXIf", NOISE),
        "unit of nothing": chunk(b"pHYs", bytes(9)),
        "animation without frames": chunk(b"acTL", bytes(8)),
        "EXIF as text": packed(b"zTXt", b"\nexif\n  99\nzz"),
    }
    kinds = b"tEXt zTXt iTXt iCCP eXIf cHRM gAMA sRGB pHYs tIME bKGD sBIT hIST sPLT acTL fcTL fdAT tRNS prVt caBX cICP"
    for kind in kinds.split():
        chunks[f"{kind.decode()} without data"] = chunk(kind, b"")
        chunks[f"{kind.decode()} of noise"] = chunk(kind, NOISE[:9])
        chunks[f"{kind.decode()} with a wrong checksum"] = chunk(kind, b"\0\0\0\1\0\0", 4)
    for name, part in chunks.items():
        if name != "tRNS without data":  # below
            yield f"png: {name}", png(part)
        yield f"png: {name}, at the end", png(part, after=True)


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def jpeg_files() -> Iterator[tuple[str, bytes]]:
    jpeg = PLAIN["JPEG"]
    parts = {
        "JFIF cut off": segment(0xE0, b"JFIF\0"),
        "JFIF thumbnail without data": segment(0xE0, b"JFXX\0"),
        "Adobe cut off": segment(0xEE, b"Adobe"),
        "EXIF without data": segment(0xE1, b"Exif\0\0"),
        "EXIF of noise": segment(0xE1, b"Exif\0\0" + NOISE),
        "EXIF of 1.8 MB": segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 30,
        "XMP of noise": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + NOISE),
        "further pictures of noise": segment(0xE2, b"MPF\0" + NOISE),
        "further pictures, 4 billion": segment(0xE2, b"MPF\0II*\0\x08\0\0\0\1\0\1\xb0\4\0\1\0\0\0" + b"\xff" * 8),
        "profile without data": segment(0xE2, b"ICC_PROFILE\0"),
        "profile of noise": segment(0xE2, b"ICC_PROFILE\0\1\1" + NOISE),
        "profile with a part missing": segment(0xE2, b"ICC_PROFILE\0\1\3" + NOISE),
        "Photoshop of noise": segment(0xED, b"Photoshop 3.0\x008BIM" + NOISE),
        "Photoshop, cut off": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\xff\xff\xff\xffab"),
        "comments of 6 MB": segment(0xFE, LONG[:60_000]) * 100,
    }
    for marker in (*range(0xE0, 0xF0), 0xFE):
        parts |= {f"segment {marker:x} {name}": segment(marker, data) for name, data in (("empty", b""), ("", NOISE))}
    for name, part in parts.items():
        yield f"jpeg: {name}", jpeg[:2] + part + jpeg[2:]
    yield "jpeg: JFIF cut off and no other", jpeg[:2] + segment(0xE0, b"JFIF") + jpeg[20:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = (kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_files() -> Iterator[tuple[str, bytes]]:
    webp = PLAIN["WEBP"]
    pixels = (webp[12:16], webp[20 : 20 + int.from_bytes(webp[16:20], "little")])

    def header(flags: int) -> tuple[bytes, bytes]:
        return b"VP8X", bytes([flags, 0, 0, 0, 89, 0, 0, 69, 0, 0])

    whole = riff(header(0x04), pixels, (b"XMP ", LONG))
    yield "webp: profile of noise", riff(header(0x20), (b"ICCP", NOISE), pixels)
    yield "webp: profile without data", riff(header(0x20), (b"ICCP", b""), pixels)
    yield "webp: profile missing", riff(header(0x20), pixels)
    yield "webp: profile at the end", riff(header(0x20), pixels, (b"ICCP", NOISE))
    yield "webp: EXIF of noise", riff(header(0x08), pixels, (b"EXIF", NOISE))
    yield "webp: EXIF missing", riff(header(0x08), pixels)
    yield "webp: parts that the header does not name", riff(header(0), (b"ICCP", NOISE), pixels, (b"EXIF", NOISE))
    yield "webp: XMP of 1.1 MB", whole
    yield "webp: XMP cut off", whole[:-1000]
    yield "webp: XMP of 2 billion bytes", riff(header(0x04), pixels) + b"XMP \xff\xff\xff\x7f" + NOISE
    yield "webp: wrong length of all", whole[:4] + struct.pack("<I", len(whole) + 1000) + whole[8:]


def gif_files() -> Iterator[tuple[str, bytes]]:
    gif = PLAIN["GIF"]
    head = 13 + (3 << ((gif[10] & 7) + 1))

    def blocks(data: bytes) -> bytes:
        parts = (data[start : start + 255] for start in range(0, len(data), 255))
        return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"

    extensions = {
        "comment of noise": b"!\xfe" + blocks(NOISE),
        "comment of 1.1 MB": b"!\xfe" + blocks(LONG),
        "application without data": b"!\xff\0",
        "application of noise": b"!\xff" + blocks(NOISE),
        "loop without a count": b"!\xff\x0bNETSCAPE2.0\0",
        "loop cut off": b"!\xff\x0bNETSCAPE2.0\1\1\0",
        "plain text of noise": b"!\1" + blocks(NOISE),
        "unknown extension": b"!\x77" + blocks(NOISE),
        "control cut off": b"!\xf9\1\1\0",
        "control without data": b"!\xf9\0",
        "profile of noise": b"!\xff\x0bICCRGBG1012" + blocks(NOISE),
    }
    for name, extension in extensions.items():
        yield f"gif: {name}", b"GIF89a" + gif[6:head] + extension + gif[head:]


def tiff(*extra: tuple[int, int, int, int | bytes], packed: bool = False, order: str = "<", big: bool = False) -> bytes:
    pixels = PICTURE.tobytes()
    data = zlib.compress(pixels) if packed else pixels
    word, first = ("Q", 16) if big else ("I", 8)
    body = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42))
    body += struct.pack(f"{order}HHQ", 8, 0, 0) if big else bytes(4)
    body += data
    wanted = [(256, 4, 1, 90), (257, 4, 1, 70), (258, 3, 3, struct.pack(f"{order}HHH", 8, 8, 8)), (262, 3, 1, 2)]
    wanted += [
        (259, 3, 1, 8 if packed else 1),
        (273, 4, 1, first),
        (277, 3, 1, 3),
        (278, 4, 1, 70),
        (279, 4, 1, len(data)),
    ]
    entries = []
    for tag, kind, count, value in sorted([*wanted, *extra]):
        room = 8 if big else 4
        if isinstance(value, bytes) and len(value) > room:
            value, kept = len(body), value
            body += kept
            field = struct.pack(f"{order}{word}", value)
        elif isinstance(value, bytes):
            field = value.ljust(room, b"\0")
        else:
            field = struct.pack(f"{order}H" if kind == 3 and count == 1 else f"{order}I", value).ljust(room, b"\0")
        entries.append(struct.pack(f"{order}HH{word}", tag, kind, count) + field)
    body[8 if big else 4 : 16 if big else 8] = struct.pack(f"{order}{word}", len(body))
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    return bytes(body) + count + b"".join(entries) + bytes(8 if big else 4)


def tiff_files() -> Iterator[tuple[str, bytes]]:
    tags = {"XMP": 700, "profile": 34675, "EXIF": 34665, "Photoshop": 34377, "IPTC": 33723, "description": 270}
    tags |= {"resolution": 282, "unit": 296, "date": 306, "GPS": 34853, "private": 65000, "document": 269}
    tags |= {"least value": 340, "largest value": 341, "orientation": 274, "white": 318}
    values = {
        "noise": (7, 500, NOISE),
        "text": (2, 500, NOISE),
        "nothing": (7, 0, 0),
        "beyond the end": (7, 4000, 0x7FFFFFF0),
    }
    values |= {"4 billion": (7, 0xFFFFFFF0, 8), "unknown type": (99, 10, 5), "numbers": (3, 3, NOISE[:6])}
    values |= {"0/0": (5, 1, bytes(8)), "a pointer": (13, 1, 8)}
    for tag, number in tags.items():
        for name, value in values.items():
            if tag != "orientation" or name not in ("noise", "text", "numbers", "a pointer"):
                for packed in (False, True):
                    yield f"tiff{' packed' * packed}: {tag}, {name}", tiff((number, *value), packed=packed)
    yield "tiff, big-endian: XMP", tiff((700, 3, 3, NOISE[:6]), order=">")
    yield "big tiff: XMP", tiff((700, 3, 3, NOISE[:12]), big=True)


FILES = {**dict(png_files()), **dict(jpeg_files()), **dict(webp_files()), **dict(gif_files()), **dict(tiff_files())}


@pytest.mark.parametrize("container", ["png", "jpeg", "webp", "gif", "tiff", "big tiff"])
def test_what_is_wrong_with_ancillary_parts_changes_no_pixel(container) -> None:
    files = {name: data for name, data in FILES.items() if name.startswith(container)}
    bare = {"png": PLAIN["PNG"], "jpeg": PLAIN["JPEG"], "webp": PLAIN["WEBP"], "gif": PLAIN["GIF"]}
    expected = decode(bare.get(container, tiff())).pixels
    wrong = {}
    for name, data in files.items():
        try:
            if not np.array_equal(decode(data).pixels, expected):
                wrong[name] = "other pixels"
        except ImageRefused as refused:
            wrong[name] = str(refused)
    assert files and wrong == {}


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_exif_of_noise_in_an_avif_changes_no_pixel() -> None:
    exif = Image.Exif()
    exif[0x010E] = "Z" * 60
    payload = exif.tobytes()[6:]
    whole = encoded("AVIF", exif=exif)
    at = whole.index(payload)
    broken = whole[:at] + NOISE[: len(payload)] + whole[at + len(payload) :]
    assert np.array_equal(decode(broken).pixels, decode(whole).pixels)


def test_clean_keeps_a_png_with_a_long_text(collected) -> None:
    names = {collected.add(data, "a"): name for name, data in FILES.items() if "1.1 MB" in name or "bomb" in name}
    clean.run(collected.workspace, collected.config(clean={"decoder_memory_mb": 300, "workers": 2}))
    with collected.workspace.open_catalog() as catalog:
        found = {names[one.sha256]: one.error for one in catalog.all(ImageFacts)}
    assert found == dict.fromkeys(names.values(), "") and len(found) > 8


def rotated_profile(size: int) -> bytes:
    """An sRGB profile with red, green and blue exchanged, under another name, of this many bytes."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"????"), (b"bXYZ", b"rXYZ"), (b"????", b"bXYZ"), (b"sRGB", b"BGRs")):
        profile = profile.replace(old, new)
    profile = profile.replace("sRGB".encode("utf-16-be"), "BGRs".encode("utf-16-be")).ljust(size, b"\0")
    return struct.pack(">I", len(profile)) + profile[4:]


def test_a_large_profile_is_applied_and_one_beside_damage_too() -> None:
    plain, swapped = decode(PLAIN["PNG"]).pixels.astype(int), {}
    for name, parts in {
        "large": [packed(b"iCCP", rotated_profile(2_000_000))],
        "beside damage": [packed(b"iCCP", rotated_profile(0)), chunk(b"tEXt", b"a\0b", 1)],
    }.items():
        swapped[name] = decode(png(*parts)).pixels.astype(int)
    for pixels in swapped.values():
        assert np.abs(pixels[..., ::-1] - plain).mean() < 2


def test_orientation_and_transparency_beside_damage_stay() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    damage = chunk(b"tEXt", b"a\0b", 1)
    turned = {
        "png": png(chunk(b"eXIf", exif.tobytes()[6:]), damage),
        "jpeg": (lambda data: data[:2] + segment(0xEE, b"Adobe") + data[2:])(encoded("JPEG", exif=exif)),
        "webp": encoded("WEBP", exif=exif) + b"XMP \xff\xff\xff\x7f",
        "tiff": tiff((274, 3, 1, 6), (700, 3, 3, NOISE[:6])),
    }
    turned["webp"] = turned["webp"][:4] + struct.pack("<I", len(turned["webp"]) + 9) + turned["webp"][8:]
    assert {name: decode(data).width for name, data in turned.items()} == dict.fromkeys(turned, 70)
    index = PICTURE.quantize(8)
    clear = encoded("PNG", index, transparency=3)
    assert np.array_equal(decode(png(damage, base=clear)).pixels, decode(clear).pixels)
    assert not np.array_equal(decode(clear).pixels, decode(encoded("PNG", index)).pixels)


def test_an_animation_beside_damage_stays_one() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]
    animated = encoded("PNG", frames[0], save_all=True, append_images=frames[1:])
    found = decode(png(chunk(b"tEXt", b"a\0b", 1), base=animated))
    assert found.frames == 3 and (found.pixels == (255, 0, 0)).all()


def test_damage_to_the_pixels_is_refused_with_the_reason_of_the_whole_file() -> None:
    data = PLAIN["PNG"]
    at = data.index(b"IDAT") + 2000
    for extra in (b"", chunk(b"tEXt", b"a\0b", 1)):
        with pytest.raises(ImageRefused, match=f"PNG of {len(data) + len(extra)} bytes"):
            decode(png(extra, base=data[:at] + b"\0\1\2\3" + data[at + 4 :]))
