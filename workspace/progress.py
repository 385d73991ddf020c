"""The interface by which a step reports its progress, whoever shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receiver of progress reports."""

    def begin(self, what: str, total: int | None) -> None:
        """Start a stage of `total` items (None: unknown); ends the stage before it."""

    def advance(self, count: int = 1) -> None:
        """Count `count` more items as done."""

    def say(self, message: str) -> None:
        """Report a decision or a state."""

    def warn(self, message: str) -> None:
        """Report what the user should read: a source that failed, another network than requested."""


class Silent:
    """Discards all reports; the default for tests and notebooks."""

    def begin(self, what: str, total: int | None) -> None:
        """Do nothing."""

    def advance(self, count: int = 1) -> None:
        """Do nothing."""

    def say(self, message: str) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing."""


SILENT: Progress = Silent()


class Remembering:
    """Passes all reports on, and remembers the messages.

    Attributes:
        told: every message so far.
    """

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self.told: set[str] = set()

    def begin(self, what: str, total: int | None) -> None:
        """Pass it on."""
        self._inner.begin(what, total)

    def advance(self, count: int = 1) -> None:
        """Pass it on."""
        self._inner.advance(count)

    def say(self, message: str) -> None:
        """Pass it on and remember it."""
        self.told.add(message)
        self._inner.say(message)

    def warn(self, message: str) -> None:
        """Pass it on and remember it."""
        self.told.add(message)
        self._inner.warn(message)
