"""The whole path on one screen: keywords in, classifier out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from pydantic import Field

from flows.collecting import COLLECTING, collect_until_clean
from flows.opening import folder_for, open_workspace
from flows.steps import STEP_MODULES, step_task
from flows.summary import summary_markdown
from workspace.records import StepCounts


def _run_name() -> str:
    given = flow_run.parameters
    return f"{Path(given['workspace'] or folder_for(given['keywords'] or ())).name}: keywords to classifier"


@flow(name="collect-and-train", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def collect_and_train(
    workspace: Annotated[str, Field(description="The workspace's folder; empty: data/<keywords>.")] = "",
    keywords: Annotated[list[str] | None, Field(description="One class each; none: those of workspace.toml.")] = None,
    per_class: Annotated[int | None, Field(description="Clean pictures wanted per class.", ge=1)] = None,
    backbone: Annotated[str | None, Field(description="resnet50 or efficientnet_lite0.")] = None,
    settings: Annotated[
        dict[str, str | int | float | bool | list[str]] | None,
        Field(description="More settings by name, as train.epochs: 20."),
    ] = None,
) -> dict[str, StepCounts]:
    """Search, download, clean, compute features, curate, split, train, evaluate and report; only what is not done yet.

    Returns:
        What each step did, by its name.
    """
    overrides = dict(settings or {})
    overrides |= {"search.per_class": per_class} if per_class else {}
    overrides |= {"train.backbone": backbone} if backbone else {}
    place, config = open_workspace(Path(workspace or folder_for(keywords or ())), keywords or (), overrides)
    counts = collect_until_clean(place, config, lambda name, number: step_task(name, number)(place, config))
    counts |= {name: step_task(name)(place, config) for name in STEP_MODULES if name not in COLLECTING}
    create_markdown_artifact(
        key="report", markdown=summary_markdown(place, counts), description=f"{place.root.name}: report"
    )
    return counts


if __name__ == "__main__":
    collect_and_train()
