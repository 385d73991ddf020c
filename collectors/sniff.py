"""What a file is, by its first bytes: names and declared types are often wrong on the web."""

from __future__ import annotations

# Signatures: the formats' specifications, as gathered in the WHATWG standard "MIME Sniffing", section 6.1.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)


def image_suffix(head: bytes) -> str | None:
    """The suffix that fits the content (`.jpg`), or None when it is no picture that we read.

    Args:
        head: the first 32 bytes or more.
    """
    for signature, suffix in _SIGNATURES:
        if head.startswith(signature):
            return suffix
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[4:8] == b"ftyp" and b"avif" in head[8:32]:
        return ".avif"
    return None


def describe(head: bytes) -> str:
    """Say in a word what it is instead of a picture: `html`, `svg`, `empty` or `unknown_content`.

    Args:
        head: the first 512 bytes or so.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not text:
        return "empty"
    if b"<svg" in text:
        return "svg"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!--")):
        return "html"
    return "unknown_content"
