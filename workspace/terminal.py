"""Progress on a terminal as bars, in a notebook as one line, and in a log as a line every few seconds."""

from __future__ import annotations

import codecs
import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from workspace.clock import duration
from workspace.progress import Progress

_SECONDS_BETWEEN_LINES = 15.0
_SECONDS_BETWEEN_REWRITES = 0.5
_BAR_WIDTH = 24

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


class _Stage:
    """A stage that is being counted: what has been done of it, and how long the rest will take at that rate."""

    def __init__(self, what: str = "", total: int | None = None) -> None:
        self.what, self.total, self.done = what, total, 0
        self.began_s = self.shown_s = time.monotonic()

    def is_due(self, pause_s: float) -> bool:
        """Return whether so many seconds have passed since it was shown; it counts as shown then."""
        now = time.monotonic()
        due = now - self.shown_s >= pause_s
        self.shown_s = now if due else self.shown_s
        return due

    def __str__(self) -> str:
        if not self.total:
            return f"{self.what}: {self.done}"
        left_s = (time.monotonic() - self.began_s) / max(1, self.done) * (self.total - self.done)
        rest = f", about {duration(left_s)} left" if 0 < self.done < self.total else ""
        return f"{self.what}: {self.done} of {self.total}{rest}"


class LineProgress:
    """Progress as one line that is written anew, for notebooks: standard output as they show it, without widgets."""

    def __init__(self) -> None:
        self._stage = _Stage()
        self._width = 0  # of the line that stands there

    def begin(self, what: str, total: int | None) -> None:
        """Start a stage."""
        self._stage = _Stage(what, total)

    def advance(self, count: int = 1) -> None:
        """Count, and rewrite the line twice a second at most."""
        stage = self._stage
        stage.done += count
        if stage.is_due(_SECONDS_BETWEEN_REWRITES):
            full = round(_BAR_WIDTH * min(1.0, stage.done / stage.total)) if stage.total else 0
            self._rewrite(f"{'█' * full}{'·' * (_BAR_WIDTH - full)} {stage}")

    def say(self, message: str) -> None:
        """Print in the place of the line."""
        self._rewrite(message, end="\n")

    def warn(self, message: str) -> None:
        """Print, marked as a warning."""
        self.say(f"! {message}")

    def close(self) -> None:
        """Remove the line."""
        if self._width:
            self._rewrite("", end="\r")

    def _rewrite(self, text: str, end: str = "") -> None:
        sys.stdout.write(f"\r{text.ljust(self._width)}{end}" if self._width else f"{text}{end}")
        sys.stdout.flush()
        self._width = 0 if end else len(text)


class LogProgress:
    """Progress as lines of a log: a count every few seconds, never a line per image."""

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        self._logger = logger
        self._stage = _Stage()

    def begin(self, what: str, total: int | None) -> None:
        """Start counting a stage."""
        self._stage = _Stage(what, total)

    def advance(self, count: int = 1) -> None:
        """Count, and log when the last line is some time ago."""
        self._stage.done += count
        if self._stage.is_due(_SECONDS_BETWEEN_LINES):
            self._logger.info("%s", self._stage)

    def say(self, message: str) -> None:
        """Log it."""
        self._logger.info("%s", message)

    def warn(self, message: str) -> None:
        """Log a warning."""
        self._logger.warning("%s", message)


class _LogLines(logging.Handler):
    """Prints a log on standard error as it stands then, a line at once: with time and level where no person watches."""

    def emit(self, record: logging.LogRecord) -> None:
        if CONSOLE.quiet and record.levelno < logging.WARNING:
            return
        try:
            when = "" if CONSOLE.is_terminal else f"{time.strftime('%H:%M:%S')} | {record.levelname:<7} | "
            sys.stderr.write(f"{when}{record.getMessage()}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Print the project's log while the block runs: the progress of steps where there is no terminal, and warnings."""
    log, lines = logging.getLogger("collect_and_train"), _LogLines()
    before = log.level, log.propagate
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    log.propagate = False  # Prefect prints, once it is loaded, what arrives at the root
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.setLevel(before[0])
        log.propagate = before[1]


@contextmanager
def progress_reporter(logger: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> Iterator[Progress]:
    """Report progress as bars on a terminal, as a line in a notebook, else, or where quiet is wanted, in the log."""
    if CONSOLE.is_jupyter and not CONSOLE.quiet:
        with closing(LineProgress()) as line:
            yield line
        return
    if CONSOLE.quiet or not CONSOLE.is_terminal:
        yield LogProgress(logger)
        return
    columns = (
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=CONSOLE) as bars:
        yield BarProgress(bars)
