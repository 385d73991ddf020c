"""Prefect artifacts: counts, progress, the report and the models' history on Prefect's page."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from training.report.history import history_markdown
from training.report.summary import summary_markdown
from workspace.catalog.records import StepCounts
from workspace.progress import Progress
from workspace.reasons import words_for
from workspace.storage.paths import Workspace

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]

_SECONDS_BEFORE_SHOWING = 3.0  # a step that is over by then needs no bar
_SECONDS_BETWEEN_UPDATES = 2.0


class ArtifactProgress:
    """Forwards progress, and shows a stage that takes long as a progress artifact.

    Args:
        inner: hears everything too.
        key: of the artifact: lower case, digits and dashes.
        name: the workspace's, for the artifact's description.
        logger: told when Prefect's page cannot be reached; the step goes on without it.
    """

    def __init__(self, inner: Progress, key: str, name: str, logger: Logger) -> None:
        self._inner, self._key, self._name, self._logger = inner, key, name, logger
        self._what, self._total, self._done = "", 0, 0
        self._next = 0.0
        self._artifact: UUID | None = None

    def begin(self, what: str, total: int | None) -> None:
        """Start a stage; the artifact of the stage before, if any, continues with this one."""
        self._inner.begin(what, total)
        self._what, self._total, self._done = what, total or 0, 0
        self._next = time.monotonic() + _SECONDS_BEFORE_SHOWING

    def advance(self, count: int = 1) -> None:
        """Count, and update the artifact every few seconds."""
        self._inner.advance(count)
        self._done += count
        if self._total and time.monotonic() >= self._next:
            self._show()
            self._next = time.monotonic() + _SECONDS_BETWEEN_UPDATES

    def say(self, message: str) -> None:
        """Forward a message."""
        self._inner.say(message)

    def warn(self, message: str) -> None:
        """Forward a warning."""
        self._inner.warn(message)

    def close(self) -> None:
        """Update the artifact a last time, where there is one."""
        if self._artifact is not None and self._total:
            self._show()

    def _show(self) -> None:
        percent = min(100.0, 100 * self._done / self._total)
        text = f"{self._name}: {self._what}, {self._done:,} of {self._total:,}"
        with page_may_be_away(self._logger):
            if self._artifact is None:
                made = create_progress_artifact(percent, key=self._key, description=text)
                self._artifact = made if isinstance(made, UUID) else None  # a coroutine only where a loop runs
            else:
                update_progress_artifact(self._artifact, percent, description=text)


@contextmanager
def page_may_be_away(logger: Logger) -> Iterator[None]:
    """Continue when the Prefect server does not answer, with a warning: hours of work must not fail for a table."""
    try:
        yield
    except httpx.HTTPError as error:
        logger.warning("Prefect's server does not answer, so its page lacks this: %s", error or type(error).__name__)


def show_counts(workspace: Workspace, counts: StepCounts, key: str, logger: Logger) -> None:
    """Create a table artifact of the counts of one step by outcome or reason."""
    rows = [
        {"outcome": reason, "count": count, "in words": words_for(reason)} for reason, count in counts.by_reason.items()
    ]
    with page_may_be_away(logger):
        create_table_artifact(key=key, table=rows, description=f"{workspace.root.name}: {counts.line()}")


def show_result(workspace: Workspace, counts: Mapping[str, StepCounts], logger: Logger) -> None:
    """Create the artifacts of a finished run: the report's summary, and the history of the workspace's models."""
    name = workspace.root.name
    with page_may_be_away(logger):
        create_markdown_artifact(
            key="report", markdown=summary_markdown(workspace, counts), description=f"{name}: report"
        )
        create_markdown_artifact(
            key="models", markdown=history_markdown(workspace), description=f"{name}: models and decisions"
        )
