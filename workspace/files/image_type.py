"""Image types by content (magic numbers), since names and declared types on the web are often wrong.

One table, so that download stores exactly the types that the decoder reads.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from workspace.reasons import words_for

SUFFIXES: dict[str, str] = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
    "HEIF": ".heic",
}
"""The formats that are downloaded and decoded, most frequent first: Pillow's name, and the suffix of a stored file."""

_OTHER_SUFFIXES = (
    ".jpeg .jpe .jfif .jif .tiff .heif .hif .avifs .apng .dib .jp2 .j2k .jpx .jxl .psd .ico .svg .svgz .pnm .ppm .pgm "
    ".pbm .tga .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf"
)
_IMAGE_SUFFIXES = frozenset((*SUFFIXES.values(), *_OTHER_SUFFIXES.split()))

# Signatures: the formats' specifications, as gathered in the WHATWG standard "MIME Sniffing", section 6.1. The formats
# without a suffix are known only so that a refusal can name them.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF, with offsets of 64 bits
    (b"MM\0+", "TIFF"),
    (b"8BPS", "PSD"),
    (b"%PDF", "PDF"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"%!PS", "PostScript"),
    *((b"P" + digit, "PNM") for digit in (b"1\n", b"2\n", b"3\n", b"4\n", b"5\n", b"6\n", b"7\n")),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})  # a still image, a sequence
# ISO 23008-12: images and sequences coded as HEVC, and those of any coding.
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
HEAD_BYTES = 1024
"""How much of a file tells its type."""


def image_format(data: bytes) -> str | None:
    """Detect the format of a file (`JPEG`, `PSD`); None when it is unknown.

    Args:
        data: the file, or at least its first 1024 bytes.
    """
    head = data[:HEAD_BYTES]
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brands = _brands(head)
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else "a film"
    return None


def is_named_as_image(name: str) -> bool:
    """Return whether a file's name ends as that of an image does, whether or not its format is opened."""
    return PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES


def image_suffix(data: bytes) -> str | None:
    """Return the suffix that fits the content (`.jpg`); None when it is no image that can be decoded.

    Args:
        data: the file, or at least its first 1024 bytes.
    """
    return SUFFIXES.get(image_format(data) or "")


def describe_other(data: bytes) -> str:
    """Classify a file that is no image: `html`, `svg`, `empty` (nothing, or nothing but blanks) or `unknown_content`.

    Args:
        data: the file, or at least its first 1024 bytes.
    """
    text = data[:HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n\0").lower()
    if not text:
        return "empty"
    if b"<svg" in text:
        return "svg"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!--")):
        return "html"
    return "unknown_content"


def why_no_image(data: bytes) -> str:
    """Say in words why a file is no image that can be decoded; empty for one that is.

    Args:
        data: the file, or at least its first 1024 bytes. Of a file without any nothing is said: it may be an image
            that was cut off, which whoever reads it reports.
    """
    form = image_format(data)
    if not data or form in SUFFIXES:
        return ""
    if form:
        return f"{form}, which is not opened"
    other = describe_other(data)
    return "it begins with zeros or spaces alone" if other == "empty" else words_for(other)


def _brands(head: bytes) -> set[bytes]:
    """Read the brands of an ISO media file: its ftyp box holds a major one, a version and the compatible ones."""
    box = head[: int.from_bytes(head[:4], "big")]
    return {box[8:12], *(box[start : start + 4] for start in range(16, len(box), 4))}
