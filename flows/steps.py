"""The steps by name, and each as a Prefect task: retries that fit its faults, counts as an artifact."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.tasks import Task

from flows.artifacts import ArtifactProgress, show_counts
from flows.collecting import COLLECTING, step_options
from flows.progress import listening
from workspace.config import WorkspaceConfig
from workspace.errors import CollectAndTrainError, CollectError
from workspace.paths import Workspace
from workspace.records import StepCounts

Step = Callable[..., StepCounts]
"""run(workspace, config, progress) -> StepCounts; `search` takes an option too."""

# In the order of the path. Modules are named, not imported: `collect-and-train search` needs no torch.
STEP_MODULES = {
    "search": "collectors.search",
    "download": "collectors.download",
    "clean": "preprocessing.clean",
    "features": "training.features",
    "curate": "preprocessing.curate",
    "split": "preprocessing.split",
    "train": "training.train",
    "evaluate": "training.evaluate",
    "report": "training.report",
    "publish": "training.publish",
}
# What brings new pictures to a workspace that has a model.
ARRIVAL_MODULES = {"inbox": "collectors.inbox", "again": "collectors.again"}
AFTER_CLEANING = tuple(name for name in STEP_MODULES if name not in COLLECTING)
_OVER_THE_NETWORK = {"search", "download", "again"}


class ForeseenFilter(logging.Filter):
    """Leaves out the traceback of a failure that we foresaw: its text already names the cause and the remedy."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, some without their traceback."""
        if record.exc_info and isinstance(record.exc_info[1], CollectAndTrainError):
            record.exc_info = None
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(ForeseenFilter())


def step_function(name: str) -> Step:
    """The plain function of a step, for the command line, notebooks and tests."""
    run: Step = importlib.import_module((STEP_MODULES | ARRIVAL_MODULES)[name]).run
    return run


def step_task(name: str, number: int = 1) -> Task[[Workspace, WorkspaceConfig], StepCounts]:
    """A step as a Prefect task; of the steps that collect, in a round counted from 1.

    Only steps that use the network are tried again, and only when the network was at fault: a wrong setting or a full
    disk stays wrong. Results are not cached by Prefect; the workspace itself knows what is done.
    """
    retries: dict[str, Any] = {}
    if name in _OVER_THE_NETWORK:
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
        with listening(logger) as inner:
            progress = ArtifactProgress(inner, f"{name}-progress", workspace.root.name, logger)
            counts = step_function(name)(workspace, config, progress, **step_options(name, number))
            progress.close()
        logger.info("%s", counts.line())
        show_counts(workspace, counts, f"{name}-counts", logger)
        return counts

    return run_step


def network_was_at_fault(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed task may work when it is tried again."""
    try:
        state.result(raise_on_failure=True)
    except (CollectError, ConnectionError, TimeoutError):
        return True
    except Exception:
        return False  # the state carries whatever the step raised
    return False


if __name__ == "__main__":  # python -m flows.steps clean -w data/pandas
    from flows.cli import main

    main()
