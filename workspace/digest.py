"""Short names for what a result depends on, equal for equal inputs; the form of a file's own digest."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator

SHA256 = "[0-9a-f]{64}"
"""What the sha256 of a file looks like, as a regular expression."""

_ITEMS_PER_PIECE = 1000


def digest(*parts: object, length: int = 12) -> str:
    """Hash these parts (JSON, sorted keys) to a short hex name, equal for equal parts."""
    hashed = hashlib.sha256(b"[")
    for number, part in enumerate(parts):
        hashed.update(b", " if number else b"")
        for text in _json_pieces(part):
            hashed.update(text.encode())
    hashed.update(b"]")
    return hashed.hexdigest()[:length]


def is_sha256(text: str) -> bool:
    """Return whether a text from outside has the form of a sha256, and so can name a file and no other path."""
    return re.fullmatch(SHA256, text) is not None


def _json_pieces(part: object) -> Iterator[str]:
    """Yield what `json.dumps` writes of a part, a list piece by piece: the text of a million rows fills a gigabyte."""
    dumps = functools.partial(json.dumps, sort_keys=True, ensure_ascii=False, default=str)
    if not isinstance(part, list):
        yield dumps(part)
        return
    yield "["
    for start in range(0, len(part), _ITEMS_PER_PIECE):
        yield (", " if start else "") + dumps(part[start : start + _ITEMS_PER_PIECE])[1:-1]
    yield "]"
