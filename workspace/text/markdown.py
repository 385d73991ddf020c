"""Words of strangers in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#|!~&])")


def escaped(text: object) -> str:
    r"""Write words of strangers so that nothing in them becomes markup, a link, a cell or a new line.

    Example:
        >>> print(escaped("[x](javascript:y)\n<b> |"))
        \[x\]\(javascript:y\) \<b\> \|
    """
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def table_row(cells: Iterable[object]) -> str:
    """Write a row of a table, its cells escaped."""
    return f"| {' | '.join(map(escaped, cells))} |"
