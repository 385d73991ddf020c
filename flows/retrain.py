"""The flow `retrain`: train a challenger with new images, and publish it if it beats the live model."""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.artifacts import show_result
from flows.cluster.spread import spread_for
from flows.step_table import Phase, steps_of
from flows.steps import step_task
from training.network.backbone import check_weights
from workspace.catalog.records import StepCounts
from workspace.resolve import open_workspace, run_title, workspace_folder
from workspace.storage.champion import settings_of_champion
from workspace.storage.lock import LOCK_WAIT_S, hold


def _run_name() -> str:
    return f"{run_title(flow_run.parameters)}: retrain, {flow_run.parameters['why']}"


@flow(name="retrain", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def retrain(
    workspace: str = "",
    why: str = "by hand",
    settings: dict[str, str | int | float | bool | list[str] | dict[str, str | list[str]]] | None = None,
) -> dict[str, StepCounts]:
    """Take in the inbox, clean, train a challenger, and publish it only if it is better than the live model.

    One process at work in a workspace at a time: a retraining waits for another at most 10 minutes, and fails if that
    takes longer. After another retraining it finds its work done. What arrives in the meantime counts for the next one.

    Args:
        workspace: The workspace's folder; empty: the only one under data/.
        why: What started it, for the run's name.
        settings: Settings that differ from the live model's, by name, as {"train.epochs": 20}.

    Returns:
        What each step did, by its name.

    Raises:
        WorkspaceBusy: another process is still at work in the workspace; names it.
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
    show_result(opened, counts, logger)
    return counts


if __name__ == "__main__":
    retrain()
