"""Leave out the ancillary parts of a file: text, colour profile, EXIF, XMP, comments, resolution, thumbnails.

A decoder refuses the whole file where one of them is damaged or too large; browsers ignore the part. The pixels'
data is copied as it is.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from preprocessing.images.jpeg_segments import START_OF_SCAN, segments

PROFILE_BYTES = 4_000_000
"""Largest colour profile that is unpacked; those of printers have up to 3 MB."""


def barer_versions(data: bytes, container: str) -> Iterator[bytes]:
    """Yield a file without its ancillary parts: with those that make the pixels' colours and orientation, then without.

    Args:
        data: the whole file.
        container: its format, as Pillow names it; there are none for those that have no such parts.
    """
    if container not in _WITHOUT:
        return
    before = data
    for keep in (True, False):
        try:
            barer = _WITHOUT[container](data, keep)
        except (IndexError, struct.error):  # cut off within such a part, or no structure at all
            return
        if barer != before:
            yield barer
        before = barer


def _png(data: bytes, keep: bool) -> bytes:
    # PNG specification, 5.4: the case of a chunk's first letter says that it is ancillary.
    kept, at, colour = [data[:8]], 8, data[25]
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : end - 4]
        intact = zlib.crc32(kind + body) == int.from_bytes(data[end - 4 : end], "big")
        if kind[:1].isupper() or (intact and _png_wanted(kind, body, colour, keep)):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _png_wanted(kind: bytes, body: bytes, colour: int, keep: bool) -> bool:
    if kind == b"tRNS":
        return len(body) == {0: 2, 2: 6}.get(colour, len(body)) and colour in (0, 2, 3) and 0 < len(body) <= 256
    if kind == b"iCCP":
        return keep and _unpacks(body.partition(b"\0")[2])
    # Without its frames an animation shows its first one.
    return keep and (kind == b"eXIf" or (kind == b"acTL" and len(body) == 8) or kind in (b"fcTL", b"fdAT"))


def _unpacks(profile: bytes) -> bool:
    try:
        unpacking = zlib.decompressobj()
        unpacking.decompress(profile[1:], PROFILE_BYTES)
    except zlib.error:
        return False
    return profile[:1] == b"\0" and unpacking.eof


def _jpeg(data: bytes, keep: bool) -> bytes:
    kept = [data[:2]]
    for marker, start, end in segments(data):
        if marker == START_OF_SCAN:
            return b"".join([*kept, data[start:]])
        if _jpeg_wanted(marker, data[start + 4 : end], keep):
            kept.append(data[start:end])
    return data


def _jpeg_wanted(marker: int, body: bytes, keep: bool) -> bool:
    if marker == 0xE0:  # these two say how the colours are stored
        return body.startswith(b"JFIF\0") and len(body) >= 14
    if marker == 0xEE:
        return body.startswith(b"Adobe") and len(body) >= 12
    if marker == 0xE1:
        return keep and body.startswith(b"Exif\0\0")
    if marker == 0xE2:
        return keep and body.startswith(b"ICC_PROFILE\0") and len(body) > 14
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _webp(data: bytes, keep: bool) -> bytes:
    # WebP container specification: the flags of VP8X say which chunks there are.
    flags = {b"ICCP": 0x20, b"EXIF": 0x08}
    wanted = {b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L", *(flags if keep else ())}
    chunks, at, present = [], 12, 0
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if kind in wanted and (end <= len(data) or kind not in flags):
            chunks.append(data[at:end])
            present |= flags.get(kind, 0)
        at = end
    if chunks and chunks[0].startswith(b"VP8X"):
        first = bytearray(chunks[0])
        first[8] = first[8] & ~0x2C | present  # 0x04: XMP
        chunks[0] = bytes(first)
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _gif(data: bytes, _keep: bool) -> bytes:
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    kept = [data[:at]]
    while data[at] == 0x21:  # an extension; later ones than those of the first picture do no harm
        start, at = at, at + 2
        while data[at]:
            at += 1 + data[at]
        at += 1
        if data[start + 1] == 0xF9 and data[start + 2] == 4:  # graphic control: which colour is transparent
            kept.append(data[start:at])
    return b"".join([*kept, data[at:]])


# TIFF 6.0: the tags without which the pixels cannot be read, and those that say how they look.
_TIFF_PIXELS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325}
    | {330, 332, 334, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531}
)
_TIFF_LOOKS = frozenset({274, 340, 341, 34675, 42113})  # orientation, least and largest value, profile, no data


def _tiff(data: bytes, keep: bool) -> bytes:
    order, big = "<" if data[:1] == b"I" else ">", data[2:4] in (b"+\0", b"\0+")
    pointer, count, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    pointer, count, header = order + pointer, order + count, 8 if big else 4
    (at,) = struct.unpack_from(pointer, data, header)
    (entries,) = struct.unpack_from(count, data, at)
    at += struct.calcsize(count)
    kept = []
    for start in range(at, at + size * min(entries, 4096), size):
        tag, kind = struct.unpack_from(order + "HH", data, start)
        usual = kind == 3 if tag in (274, 339) else 1 <= kind <= 18
        if usual and (tag in _TIFF_PIXELS or (keep and tag in _TIFF_LOOKS)):
            kept.append(data[start : start + size])
    following = data[at + size * entries :][: struct.calcsize(pointer)]
    directory = b"".join([struct.pack(count, len(kept)), *kept, following])
    here = struct.pack(pointer, len(data) + len(data) % 2)
    return data[:header] + here + data[header + len(here) :] + bytes(len(data) % 2) + directory


_META_ITEM = re.compile(rb"(infe[\x02\x03]\0\0.(?:..|....)\0\0)(?:Exif|mime)", re.DOTALL)


def _iso_media(data: bytes, _keep: bool) -> bytes:
    # ISO 14496-12: an item of a type that nobody knows is passed over. Offsets stay as they are.
    at = data.find(b"meta")
    end = at + int.from_bytes(data[at - 4 : at], "big")
    return data[:at] + _META_ITEM.sub(rb"\1none", data[at:end]) + data[end:]


_WITHOUT: dict[str, Callable[[bytes, bool], bytes]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WEBP": _webp,
    "GIF": _gif,
    "TIFF": _tiff,
    "AVIF": _iso_media,
    "HEIF": _iso_media,
}
