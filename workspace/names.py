"""Comparison of class names and keywords: one rule for folders, lists, settings and arguments."""

from __future__ import annotations

import re
import unicodedata

_SEPARATORS = re.compile(r"[\s_-]+")


def same_name(a: str, b: str) -> bool:
    """Compare two names of a class or keyword.

    Example:
        >>> same_name("red panda", "Red_Panda"), same_name("A", "A-")
        (True, False)
    """
    return name_key(a) == name_key(b)


def name_key(name: str) -> str:
    """Reduce a name to a text that is equal for the same names, for use as the key of a dictionary.

    Letters are composed (NFC) and case-folded; runs of spaces, hyphens and underscores are one space. White space at
    the ends goes; a hyphen there stays, so that the grades `A` and `A-` differ.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).strip().casefold())
    return _SEPARATORS.sub(" ", folded)
