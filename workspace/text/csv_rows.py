"""Rows of CSV tables (RFC 4180) with the words of strangers in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

# Spreadsheets run what begins with these as a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 (their wide forms count too)


def csv_text(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    r"""Write a table; see csv_line.

    Example:
        >>> csv_text(("name", "n"), [("=1+1", -2)])
        "name,n\r\n'=1+1,-2\r\n"
    """
    return "".join(f"{csv_line(row)}\r\n" for row in (header, *rows))


def csv_line(cells: Iterable[object]) -> str:
    """Write one row, without a line end: a text that a spreadsheet would run as a formula gets an apostrophe."""
    buffer = io.StringIO()
    # The default line end, since a cell with one is quoted for it alone.
    csv.writer(buffer).writerow([_inert(cell) if isinstance(cell, str) else cell for cell in cells])
    return buffer.getvalue().removesuffix("\r\n")


def _inert(text: str) -> str:
    words = text.lstrip(" ")
    return f"'{text}" if len(words) > 1 and words.startswith(_FORMULA) else text
