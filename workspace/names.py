"""Names of classes, keywords and files: one rule for folders, lists, settings and arguments."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

NO_CLASS = "none"
"""The answer of a model to a picture that is none of its classes; no class may have this name."""

_SEPARATORS = re.compile(r"[\s_-]+")
_AT_THE_ENDS = re.compile(r"^ | $")
_FOLDER_BYTES = 200  # file systems take 255
_CONTROL = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories: control characters, separators of lines and of paragraphs."""


def same_name(a: str, b: str) -> bool:
    """Compare two names of a class or keyword.

    Example:
        >>> same_name("red panda", "Red_Panda"), same_name("A", "A-")
        (True, False)
    """
    return name_key(a) == name_key(b)


def name_key(name: str) -> str:
    """Reduce a name to a text that is equal for the same names, for use as the key of a dictionary.

    Letters are composed (NFC) and case-folded; characters without width are left out; runs of spaces, hyphens and
    underscores are one space. White space at the ends goes; a hyphen or underscore there is a hyphen, so that the
    grades `A` and `A-` differ. The key of a key is that key.

    Example:
        >>> name_key("Red_Panda"), name_key(" A_"), name_key("- alpha")
        ('red panda', 'a-', '-alpha')
    """
    while (key := _reduced(name)) != name:  # what case-folding takes apart may be composed to what folds once more
        name = key
    return key


def _reduced(name: str) -> str:
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    folded = normalised_name(normalised_name(seen).casefold())
    return _AT_THE_ENDS.sub("-", _SEPARATORS.sub(" ", folded))


def normalised_name(name: str) -> str:
    """Compose the letters of a name (Unicode NFC) and strip white space at its ends.

    Example:
        >>> normalised_name(" cafe\u0301") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name).strip()


def folder_name(name: str) -> str:
    """Return a name that every file system takes as that of a folder: a long one is cut and ends in a digest.

    Example:
        >>> folder_name("red panda"), len(folder_name("팬더" * 60).encode())
        ('red panda', 200)
    """
    data = name.encode()
    if len(data) <= _FOLDER_BYTES:
        return name
    return f"{data[: _FOLDER_BYTES - 11].decode(errors='ignore')}-{hashlib.sha256(data).hexdigest()[:10]}"


def has_control(name: str) -> bool:
    """Return whether a name has control characters, such as a tab, or breaks a line."""
    return any(unicodedata.category(letter) in _CONTROL for letter in name)


def is_text(name: str) -> bool:
    """Return whether a name can be written as UTF-8; bytes of an argument that are none come in as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def local_path(text: str | Path) -> Path:
    """Return the path that a person wrote, where a `~` at its start is the home of whoever runs the program."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:  # of `~name` for a name that nobody has here; what reads it says that there is no such file
        return path


def as_text(name: str) -> str:
    r"""Write a file's name so that UTF-8 can hold it: bytes in it that are not UTF-8 become escapes.

    Example:
        >>> print(as_text("ca\udcf1on.jpg"))
        ca\udcf1on.jpg
    """
    return name.encode("utf-8", "backslashreplace").decode()


def one_line(name: str) -> str:
    r"""Write a file's name as text on one line; also control characters, which a terminal would obey, become escapes.

    Example:
        >>> print(one_line("a\nb\t.jpg"))
        a\nb\t.jpg
    """
    escaped = "".join(ascii(letter)[1:-1] if has_control(letter) else letter for letter in name)
    return as_text(escaped)


def quoted_pair(a: str, b: str) -> str:
    r"""Quote two names for a message; those that look the same on a screen are written with escapes.

    Example:
        >>> print(quoted_pair("caf\u00e9", "cafe\u0301"), "or", quoted_pair("cat", " cat"))
        'caf\xe9' and 'cafe\u0301' or 'cat' and ' cat'
    """
    look_the_same = unicodedata.normalize("NFC", a) == unicodedata.normalize("NFC", b) or not (a + b).isprintable()
    quote = ascii if look_the_same else repr
    return f"{quote(a)} and {quote(b)}"
