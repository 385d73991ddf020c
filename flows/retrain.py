"""The flow `retrain`: train a challenger with new images, and publish it if it beats the live model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.artifacts import show_result
from flows.cluster.spread import spread_for
from flows.step_table import Phase, steps_of
from flows.steps import step_task
from training.network.backbone import check_weights
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig, load_config
from workspace.resolve import open_workspace, run_title, workspace_folder
from workspace.storage.champion import read_champion
from workspace.storage.lock import LOCK_WAIT_S, hold
from workspace.storage.paths import Workspace
from workspace.storage.run import differing_settings

# How to collect, when to retrain, on which machines and what to log to are as today; all else is the live model's.
_OF_TODAY = frozenset(
    {"classes", "negatives", "search", "network", "download", "retrain", "cluster", "storage", "serve", "tracking"}
)


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
    opened, today = open_workspace(workspace_folder(workspace), (), settings)
    spread_for(today.cluster)  # a cluster that does not answer is told before work begins
    with hold(opened, "retrain", wait_s=LOCK_WAIT_S, on_wait=logger.info):
        champion = settings_of_champion(opened, today, settings)
        config = champion.config
        if champion.missing:
            logger.warning(
                "The live model's settings are gone (%s is missing): all settings are taken from workspace.toml",
                champion.missing,
            )
        if champion.differing:
            logger.info(
                "The live model's settings count where workspace.toml differs: %s; `collect-and-train run` uses those "
                "of workspace.toml",
                ", ".join(champion.differing),
            )
        check_weights(config.train)  # before the first step, not after the last picture
        counts = {
            name: step_task(name)(opened, config) for name in ("inbox", "clean", *steps_of(Phase.DATASET, Phase.RUN))
        }
    for note in counts["publish"].notes:
        logger.info("%s", note)
    show_result(opened, counts, logger)
    return counts


@dataclass(frozen=True, slots=True)
class ChampionSettings:
    """The settings of a retraining.

    Attributes:
        config: those that the live model was trained with, but classes and collection of workspace.toml.
        differing: dotted names of those that workspace.toml gives another value.
        missing: the live model's config.toml where it is gone, and all of workspace.toml counts; None where it is not.
    """

    config: WorkspaceConfig
    differing: tuple[str, ...] = ()
    missing: Path | None = None


def settings_of_champion(
    workspace: Workspace, today: WorkspaceConfig, overrides: dict[str, Any] | None = None
) -> ChampionSettings:
    """Read the settings that the live model was trained with, for a retraining.

    Args:
        workspace: whose live model; where there is none, or its settings are gone, those of workspace.toml count.
        today: the settings of workspace.toml.
        overrides: settings by dotted name that win over both.

    Raises:
        ConfigError: the live model's settings, or the overrides, do not hold.
    """
    champion = read_champion(workspace)
    if champion is None:
        return ChampionSettings(load_config(workspace.config_file, overrides))
    file = workspace.run(champion.champion, "config.toml").config_file
    if not file.is_file():
        return ChampionSettings(load_config(workspace.config_file, overrides), missing=file)
    config = load_config(file, overrides, frozen=True).model_copy(
        update={name: getattr(today, name) for name in _OF_TODAY}
    )
    return ChampionSettings(config, tuple(differing_settings(config, today)))


if __name__ == "__main__":
    retrain()
