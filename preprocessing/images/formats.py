"""The formats that are opened, and what is refused by its first bytes."""

from __future__ import annotations

from collections.abc import Callable

from PIL import features

from preprocessing.images.jpeg_segments import count_scans
from workspace.errors import ImageRefused, install_extra
from workspace.files.image_type import SUFFIXES, describe_other, image_format
from workspace.text.counts import counted

try:
    import pillow_heif
except ImportError:
    _HEIF = False
else:
    # A thumbnail may show something else than the picture, and threads count in a worker's limit of memory.
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    _HEIF = True

FORMATS: tuple[str, ...] = tuple(
    name for name in SUFFIXES if {"AVIF": bool(features.check("avif")), "HEIF": _HEIF}.get(name, True)
)
"""The formats that are opened; every other one is refused before any decoder sees it."""

MAX_SCANS = 100
"""Most scans of a JPEG. Each takes the time of a pass over the whole image: 0.1 s in a colour one of 50 megapixels.
A progressive JPEG of libjpeg has 10."""

_NEEDS = {
    "HEIF": ", which telephones make, needs the extra heif (pillow-heif): " + install_extra("heif"),
    "AVIF": ", which this build of Pillow does not open: pip install --upgrade pillow",
}

# Tells by its end whether a file is truncated, rather than damaged inside.
_ENDS_EARLY: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda data: b"\xff\xd9" not in data[-64:],
    "PNG": lambda data: b"IEND" not in data[-64:],
    "GIF": lambda data: not data.rstrip(b"\0").endswith(b";"),
    "WEBP": lambda data: int.from_bytes(data[4:8], "little") + 8 > len(data),
    "BMP": lambda data: len(data) < 26 or int.from_bytes(data[2:6], "little") > len(data),
    "TIFF": lambda data: int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") >= len(data),
    "AVIF": lambda data: _boxes_end(data) > len(data),
    "HEIF": lambda data: _boxes_end(data) > len(data),
}


def recognise(data: bytes) -> str:
    """Return the format of a file, before any decoder sees it.

    Raises:
        ImageRefused: it is empty, no picture, of a format that is not opened, or a JPEG of too many scans.
    """
    other = describe_other(data)
    if other == "empty":
        blank = f"{counted(len(data), 'byte')}, which begin with zeros or spaces alone"
        raise ImageRefused("empty", blank if data else "the file has 0 bytes")
    found = image_format(data)
    if found is None:
        if other == "svg":
            raise ImageRefused("format_not_allowed", f"an SVG drawing; opened are {', '.join(FORMATS)}")
        begins = f"it begins with {ascii(data[:16].decode('latin-1'))}"
        raise ImageRefused("not_an_image", "an HTML page" if other == "html" else begins)
    if found not in FORMATS:
        why = f"{found}{_NEEDS.get(found, '')}"
        raise ImageRefused("format_not_allowed", f"{why}; opened are {', '.join(FORMATS)}")
    if found == "JPEG" and (scans := count_scans(data, MAX_SCANS)) > MAX_SCANS:
        raise ImageRefused("too_many_scans", f"{scans} scans, each a pass over the picture; the limit is {MAX_SCANS}")
    return found


def ends_early(data: bytes, container: str) -> bool:
    """Tell by its end whether a file of this format is cut off."""
    return container in _ENDS_EARLY and _ENDS_EARLY[container](data)


def _boxes_end(data: bytes) -> int:
    """Return the end of the last box of an ISO media file (AVIF, HEIF), by its headers."""
    end = 0
    while end + 8 <= len(data):
        size = int.from_bytes(data[end : end + 4], "big")
        if size < 8:  # 0: up to the file's end; 1: a 64-bit size, which no picture needs
            return len(data)
        end += size
    return end
