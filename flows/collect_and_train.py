"""The flow `collect-and-train`: from keywords to a classifier."""

from __future__ import annotations

from typing import Annotated

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from flows.artifacts import show_result
from flows.cluster.spread import spread_for
from flows.collecting import run_all_steps
from flows.inputs import open_inputs
from flows.steps import step_task
from workspace.catalog.records import StepCounts
from workspace.resolve import run_title
from workspace.storage.lock import LOCK_WAIT_S, hold


def _run_name() -> str:
    return f"{run_title(flow_run.parameters)}: keywords to classifier"


@flow(name="collect-and-train", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def collect_and_train(
    workspace: str = "",
    keywords: list[str] | None = None,
    photos: str = "",
    per_class: Annotated[int, Field(ge=1)] | None = None,
    backbone: str | None = None,
    settings: dict[str, str | int | float | bool | list[str] | dict[str, str | list[str]]] | None = None,
) -> dict[str, StepCounts]:
    """Search, download, clean, compute features, curate, split, train, evaluate, report and publish.

    Does only what is not done yet.

    Args:
        workspace: The workspace's folder; empty: data/KEYWORDS, or the only one under data/.
        keywords: One class each; none: those of the photographs, or of workspace.toml.
        photos: Your own pictures instead of a search: a folder with a folder per class, a zip archive of one, or a
            table of path and label; empty: search.
        per_class: Clean pictures wanted per class; none: as in workspace.toml.
        backbone: resnet50, efficientnet_lite0 or another that `train.backbone` takes; none: as in workspace.toml.
        settings: More settings of workspace.toml by name, for this run, as {"train.epochs": 20}.

    Returns:
        What each step did, by its name.
    """
    inputs = open_inputs(workspace, keywords or (), photos, settings, per_class=per_class, backbone=backbone)
    opened, config = inputs.workspace, inputs.config
    spread_for(config.cluster)  # a cluster that does not answer is told before work begins
    logger = get_run_logger()
    with hold(opened, "run", wait_s=LOCK_WAIT_S, on_wait=logger.info):
        counts = run_all_steps(opened, config, lambda name, number: step_task(name, number)(opened, config))
    show_result(opened, counts, logger)
    return counts


if __name__ == "__main__":
    collect_and_train()
