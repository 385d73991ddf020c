"""How a step tells how far it is, without knowing whether a terminal, Prefect or nobody listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a step reports to."""

    def begin(self, what: str, total: int | None) -> None:
        """Start a stretch of work of `total` items (None: not known); ends the stretch before it."""

    def advance(self, count: int = 1) -> None:
        """`count` more items are done."""

    def say(self, message: str) -> None:
        """A decision, or how things go on."""

    def warn(self, message: str) -> None:
        """Something that a person should read: a source that failed, another network than was asked for."""


class Silent:
    """Listens to nobody; the default for tests and notebooks."""

    def begin(self, what: str, total: int | None) -> None:
        """Do nothing."""

    def advance(self, count: int = 1) -> None:
        """Do nothing."""

    def say(self, message: str) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing."""


SILENT: Progress = Silent()
