"""Progress on a terminal as bars, and in a log as a line every few seconds."""

from __future__ import annotations

import codecs
import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from workspace.progress import Progress

_SECONDS_BETWEEN_LINES = 15.0

# One console for everything that people read beside the answers: standard error, so that answers can be piped.
# Long lines are left to the terminal, so that a command that is printed can be copied whole.
# Without markup and emoji: a path or a keyword may hold square brackets and colons, and is shown as it is.
CONSOLE = Console(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)


def be_quiet() -> None:
    """Show warnings, errors and answers only: no progress, no summaries, no log of what goes well.

    To be called before Prefect is imported, which reads the level of its log then.
    """
    CONSOLE.quiet = True
    os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"


def say(*parts: str | tuple[str, str]) -> None:
    """Print a line, put together from texts and from pairs of a text and its style, such as `("run", "bold")`."""
    CONSOLE.print(Text.assemble(*parts))


def rendered(table: Table, least_width: int = 100) -> str:
    """Render a table as text as wide as the terminal."""
    out = io.StringIO()
    width = max(least_width, CONSOLE.width)
    Console(file=out, width=width, markup=False, emoji=False, highlight=False).print(table)
    return out.getvalue()


def never_fail_to_print() -> None:
    r"""Make standard output and error write `\uXXXX` for what their encoding lacks, which JSON reads as well."""
    codecs.register_error("escape", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end


class BarProgress:
    """Progress bars on a terminal, one per stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, what: str, total: int | None) -> None:
        """Add a bar; none for a stage without items."""
        self._task = self._bars.add_task(what, total=total) if total != 0 else None

    def advance(self, count: int = 1) -> None:
        """Advance the bar."""
        if self._task is not None:
            self._bars.advance(self._task, count)

    def say(self, message: str) -> None:
        """Print above the bars."""
        self._bars.console.print(Text(message))

    def warn(self, message: str) -> None:
        """Print above the bars, marked as a warning."""
        self._bars.console.print(Text.assemble(("!", "yellow"), f" {message}"))


class LogProgress:
    """Progress as lines of a log: a count every few seconds, never a line per image."""

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        self._logger = logger
        self._what, self._total, self._done, self._logged_s = "", None, 0, 0.0  # type: tuple[str, int | None, int, float]

    def begin(self, what: str, total: int | None) -> None:
        """Start counting a stage."""
        self._what, self._total, self._done, self._logged_s = what, total, 0, time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count, and log when the last line is some time ago."""
        self._done += count
        if time.monotonic() - self._logged_s >= _SECONDS_BETWEEN_LINES:
            self._logged_s = time.monotonic()
            of = f" of {self._total}" if self._total else ""
            self._logger.info("%s: %d%s", self._what, self._done, of)

    def say(self, message: str) -> None:
        """Log it."""
        self._logger.info("%s", message)

    def warn(self, message: str) -> None:
        """Log a warning."""
        self._logger.warning("%s", message)


@contextmanager
def progress_reporter(logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> Iterator[Progress]:
    """Report progress as bars on a terminal, else, or where quiet is wanted, as lines of the log."""
    if CONSOLE.quiet or not CONSOLE.is_terminal:
        yield LogProgress(logger)
        return
    columns = (
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=CONSOLE) as bars:
        yield BarProgress(bars)
