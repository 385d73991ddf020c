"""The encodings of texts that people saved with whatever editor they have."""

from __future__ import annotations

import codecs

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

PLAIN = "utf-8-sig"
"""The encoding without a mark, or with the mark that some editors put before UTF-8."""


def encoding_of(head: bytes) -> str:
    """Return the name of the encoding that the first bytes of a text announce, else UTF-8."""
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), PLAIN)


def decode_text(data: bytes) -> str:
    """Decode a whole text without its byte order mark.

    Raises:
        UnicodeDecodeError: it is neither UTF-8 nor announces what it is.
    """
    return data.decode(encoding_of(data))
