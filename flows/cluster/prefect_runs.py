"""Shards as task runs on Prefect's page, beside the step that they belong to.

Made and ended here, in the flow's process: no worker speaks to Prefect.
"""

from __future__ import annotations

import uuid
from typing import Any

from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import TaskRunResult
from prefect.context import TaskRunContext
from prefect.states import Completed, Crashed, Running

from flows.artifacts import Logger, page_may_be_away

_SHOWN = 150  # characters of a shard's name


@task(name="shard", tags=["collect-and-train"])
def _shard() -> None:
    """Stand for a shard, which is done elsewhere; never called."""


class PrefectRuns:
    """Shows shards as task runs of the flow that runs now; in a step's task.

    Args:
        logger: told when Prefect cannot be reached; the shards go on without it.
    """

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._client: SyncPrefectClient | None = None

    def began(self, name: str, shard: str) -> Any:
        """Make a task run that is running; None where Prefect cannot be reached."""
        context = TaskRunContext.get()
        if context is None:
            return None
        made: Any = None
        with page_may_be_away(self._logger):
            made = self._open().create_task_run(
                _shard,
                context.task_run.flow_run_id,
                dynamic_key=str(uuid.uuid4()),
                name=f"{name}: {shard}"[:_SHOWN],
                state=Running(),
                task_inputs={"__parents__": [TaskRunResult(id=context.task_run.id)]},
            )
        return made and made.id

    def ended(self, shown: Any, lost: str = "") -> None:
        """End the task run: completed, or crashed where the shard was given up."""
        if shown is None:
            return
        # By force: Prefect asks no task to crash.
        state: Any = Crashed(message=lost) if lost else Completed()
        with page_may_be_away(self._logger):
            self._open().set_task_run_state(shown, state, force=True)

    def _open(self) -> SyncPrefectClient:
        if self._client is None:
            self._client = get_client(sync_client=True)
        return self._client
