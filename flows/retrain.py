"""New pictures, a new model from the live one's settings, and a decision between the two."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.artifacts import show_result
from flows.step_table import Phase, steps_of
from flows.steps import step_task
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig, load_config
from workspace.resolve import open_workspace, run_title, workspace_folder
from workspace.storage.champion import read_champion
from workspace.storage.lock import PATIENCE_S, hold
from workspace.storage.paths import Workspace

# Where and how to collect, and when to retrain, are those of workspace.toml today; all else is the live model's.
_OF_TODAY = frozenset({"classes", "search", "network", "download", "retrain"})


def _run_name() -> str:
    return f"{run_title(flow_run.parameters)}: retrain, {flow_run.parameters['why']}"


@flow(name="retrain", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def retrain(
    workspace: str = "",
    why: str = "by hand",
    settings: dict[str, str | int | float | bool | list[str] | dict[str, str | list[str]]] | None = None,
) -> dict[str, StepCounts]:
    """Take in the inbox, clean, train a challenger, and publish it only if it is better than the live model.

    One retraining of a workspace at a time: another waits for it, and then finds its work done. What arrives in the
    meantime counts for the next one.

    Args:
        workspace: The workspace's folder; empty: the only one under data/.
        why: What started it, for the run's name.
        settings: Settings that differ from the live model's, by name, as {"train.epochs": 20}.

    Returns:
        What each step did, by its name.
    """
    logger = get_run_logger()
    place, today = open_workspace(workspace_folder(workspace), (), settings)
    with hold(place, "retrain", wait_s=PATIENCE_S, on_wait=logger.info):
        config, differing = settings_of_champion(place, today, settings)
        if differing:
            logger.info(
                "The live model's settings count where workspace.toml differs: %s; `collect-and-train run` uses those "
                "of workspace.toml",
                ", ".join(differing),
            )
        counts = {
            name: step_task(name)(place, config) for name in ("inbox", "clean", *steps_of(Phase.DATASET, Phase.RUN))
        }
    for note in counts["publish"].notes:
        logger.info("%s", note)
    show_result(place, counts, logger)
    return counts


def settings_of_champion(
    workspace: Workspace, today: WorkspaceConfig, overrides: dict[str, Any] | None = None
) -> tuple[WorkspaceConfig, list[str]]:
    """The settings that the live model was trained with; where to collect, and the classes, as they are today.

    Args:
        workspace: whose live model; where there is none, today's settings count.
        today: workspace.toml.
        overrides: settings by dotted name that win over both.

    Returns:
        The settings, and the names of those that workspace.toml gives another value.

    Raises:
        ConfigError: the live model's settings, or the overrides, do not hold.
    """
    champion = read_champion(workspace)
    file = workspace.run(champion.champion).config_file if champion else workspace.config_file
    if champion is None or not file.is_file():
        return load_config(workspace.config_file, overrides), []
    theirs = load_config(file, overrides)
    config = theirs.model_copy(update={name: getattr(today, name) for name in _OF_TODAY})
    return config, _differing(config, today)


def _differing(one: WorkspaceConfig, other: WorkspaceConfig) -> list[str]:
    names = []
    for section in WorkspaceConfig.model_fields:
        mine, yours = (getattr(config, section) for config in (one, other))
        if section == "classes" or mine == yours:
            continue
        fields = type(mine).model_fields if hasattr(type(mine), "model_fields") else {}
        names += [f"{section}.{name}" for name in fields if getattr(mine, name) != getattr(yours, name)] or [section]
    return names


if __name__ == "__main__":
    retrain()
