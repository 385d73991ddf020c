"""Turn an exception that nobody foresaw into one sentence; its traceback goes into a file."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

from workspace.errors import os_failure


def sentence_for(error: BaseException) -> str:
    """Write what happened, the remedy where one is known, and where the traceback is."""
    return f"{_cause(error)}; {_where_it_is(error)}"


def _cause(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory; end other programs, or use a smaller batch, then run the same command again"
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename is not None else ""
        path = Path(error.filename) if isinstance(error.filename, str) else None
        cause, semicolon, remedy = os_failure(error, path).rpartition("; ")
        return f"{place}{cause}; {remedy}, then run the same command again" if semicolon else f"{place}{remedy}"
    text = " ".join(str(error).split())
    return f"a fault of this program, {type(error).__name__}: {text[:300] or 'without a text'}; please report it"


def _where_it_is(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="collect-and-train-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
    except OSError as why:  # the same full disk, perhaps
        frame = traceback.extract_tb(error.__traceback__)[-1:]
        place = f"line {frame[0].lineno} of {frame[0].filename}" if frame else "no line that is known"
        return f"it came from {place} (the traceback could not be written: {why.strerror})"
    return f"the traceback is in {file.name}"
