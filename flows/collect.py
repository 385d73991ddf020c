"""The flow `collect`: collection and cleaning without training."""

from __future__ import annotations

from typing import Annotated

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from flows.cluster.spread import spread_for
from flows.collecting import collect_until_clean
from flows.inputs import open_inputs
from flows.steps import step_task
from workspace.catalog.records import StepCounts
from workspace.resolve import run_title
from workspace.storage.lock import LOCK_WAIT_S, hold


def _run_name() -> str:
    return f"{run_title(flow_run.parameters)}: collect"


@flow(name="collect", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def collect(
    workspace: str = "",
    keywords: list[str] | None = None,
    photos: str = "",
    per_class: Annotated[int, Field(ge=1)] | None = None,
    settings: dict[str, str | int | float | bool | list[str] | dict[str, str | list[str]]] | None = None,
) -> dict[str, StepCounts]:
    """Search, download and clean, until every class has its clean pictures or its sources have no more.

    Args:
        workspace: The workspace's folder; empty: data/KEYWORDS, or the only one under data/.
        keywords: One class each; none: those of the photographs, or of workspace.toml.
        photos: Your own pictures instead of a search: a folder with a folder per class, a zip archive of one, or a
            table of path and label; empty: search.
        per_class: Clean pictures wanted per class; none: as in workspace.toml.
        settings: More settings of workspace.toml by name, for this run, as {"download.max_mb": 5}.

    Returns:
        What each step did, by its name.
    """
    inputs = open_inputs(workspace, keywords or (), photos, settings, per_class=per_class)
    opened, config = inputs.workspace, inputs.config
    spread_for(config.cluster)  # a cluster that does not answer is told before work begins
    with hold(opened, "collect", wait_s=LOCK_WAIT_S, on_wait=get_run_logger().info):
        return collect_until_clean(opened, config, lambda name, number: step_task(name, number)(opened, config))


if __name__ == "__main__":
    collect()
