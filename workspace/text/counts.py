"""Counts with their nouns."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Write a count with its noun.

    Example:
        >>> counted(1, "picture"), counted(2890, "picture"), counted(2, "class")
        ('1 picture', '2,890 pictures', '2 classes')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
