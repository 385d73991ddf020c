"""Steps as Prefect tasks, with retries for network failures and artifacts of their counts."""

from __future__ import annotations

import logging
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.tasks import Task

from flows.artifacts import ArtifactProgress, show_counts
from flows.cluster.prefect_runs import PrefectRuns
from flows.step_table import find_step
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.errors import CollectAndTrainError, CollectError
from workspace.storage.paths import Workspace
from workspace.terminal import progress_reporter


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":")  # whatever else it says is told when the last try has failed


class ForeseenFilter(logging.Filter):
    """Tells an expected failure once, in its own words, which name the cause and the remedy; Prefect writes reprs."""

    _told = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Put an expected failure into words; drop what repeats it."""
        if self._told and record.getMessage().startswith("Finished in state Failed("):
            return False
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, CollectAndTrainError):
            is_new, self._told = str(error) != self._told, str(error)
            record.msg, record.args, record.exc_info = "%s", (str(error),), None
            return is_new
        if isinstance(record.args, tuple) and "Retry" in str(record.msg):
            record.args = tuple(_first_line(value) if isinstance(value, Exception) else value for value in record.args)
            record.msg = str(record.msg).replace("%r", "%s")
        return True


_FORESEEN = ForeseenFilter()  # one for both: a task's failure is its flow's
for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_FORESEEN)


def step_task(name: str, number: int = 1) -> Task[[Workspace, WorkspaceConfig], StepCounts]:
    """Wrap a step as a Prefect task; `number` is the round of a collecting step, from 1.

    Only steps that use the network are tried again, and only when the network was at fault: a wrong setting or a full
    disk stays wrong. Results are not cached by Prefect; the workspace itself knows what is done.
    """
    step = find_step(name)
    retries: dict[str, Any] = {}
    if step.uses_network:
        retries = {"retries": 2, "retry_delay_seconds": [5, 20], "retry_condition_fn": network_was_at_fault}

    run_name = f"{name}, round {number}" if number > 1 else name

    @task(
        name=name,
        task_run_name=run_name,
        cache_policy=NO_CACHE,
        persist_result=False,
        tags=["collect-and-train"],
        **retries,
    )
    def run_step(workspace: Workspace, config: WorkspaceConfig) -> StepCounts:
        logger = get_run_logger()
        with progress_reporter(logger) as inner:
            progress = ArtifactProgress(inner, f"{name}-progress", workspace.root.name, logger)
            counts = step.run(workspace, config, progress, number, PrefectRuns(logger))
            progress.close()
        logger.info("%s", counts.line())
        show_counts(workspace, counts, f"{name}-counts", logger)
        return counts

    return run_step


def network_was_at_fault(_task: Any, _run: Any, state: Any) -> bool:
    """Return whether a failed task may succeed when it is tried again."""
    try:
        state.result(raise_on_failure=True)
    except (CollectError, ConnectionError, TimeoutError):
        return True
    except Exception:
        return False  # the state carries whatever the step raised
    return False
