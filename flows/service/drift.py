"""The scheduled flow `drift`: compare the latest answers of a service with those to its model's test pictures."""

from __future__ import annotations

import json
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.runtime import flow_run

from flows.artifacts import Logger, page_may_be_away
from flows.each_workspace import look_at_each
from flows.watch import RESOURCE
from training.evaluation.drift import Drift, drift_markdown, read_drift
from workspace.files.atomic import write_json
from workspace.resolve import open_workspace
from workspace.storage.champion import answering_run
from workspace.storage.paths import Workspace

EVENT = "answers.drifted"


def _run_name() -> str:
    return f"{Path(flow_run.parameters['workspace']).name or 'data'}: drift"


@flow(name="drift", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def drift(workspace: str = "") -> dict[str, list[str]]:
    """Show how the service's answers have moved against the test pictures, and emit an event when they leave a band.

    Shares of classes, probability of the answer, share of `none` and distance to the training pictures, by counts that
    `serve --api` leaves in the workspace. The event is sent once, and again only after the answers have come back.

    Args:
        workspace: The workspace's folder; empty: all under data/ that have a published model.

    Returns:
        What has drifted, by the folder of each workspace whose service has answered enough.

    Raises:
        WorkspaceError: some of all workspaces failed; the others were looked at before.
    """
    logger = get_run_logger()
    found = look_at_each(workspace, lambda folder: _look(folder, logger), logger)
    return {folder: list(compared.drifted) for folder, compared in found.items()}


def _look(folder: Path, logger: Logger) -> Drift | None:
    workspace, config = open_workspace(folder)
    compared = read_drift(workspace, answering_run(workspace).run_id, config.serve.drift_level)
    if compared is None:
        logger.info("%s: its service has not answered enough yet to be compared", folder.name)
        return None
    logger.info("%s: %s", folder.name, compared.sentence())
    with page_may_be_away(logger):
        create_markdown_artifact(key="drift", markdown=drift_markdown(compared), description=f"{folder.name}: drift")
    if _has_just_left(workspace, compared):
        tell(folder, compared)
    write_json(_last_look(workspace), {"run_id": compared.run_id, "drifted": list(compared.drifted)})  # once it is told
    return compared


def _has_just_left(workspace: Workspace, compared: Drift) -> bool:
    """Return whether the answers are out of their bands now, and were not at the last look at this model."""
    try:
        before = json.loads(_last_look(workspace).read_text(encoding="utf-8"))
        was_out = before["run_id"] == compared.run_id and bool(before["drifted"])
    except (OSError, ValueError, KeyError, TypeError):
        was_out = False  # never looked, or the cache was cleared
    return bool(compared.drifted) and not was_out


def _last_look(workspace: Workspace) -> Path:
    return workspace.cache / "drift-told.json"


def tell(folder: Path, compared: Drift) -> None:
    """Emit the event; an automation may notify somebody, or start the deployment of `retrain`."""
    emit_event(
        event=EVENT,
        resource={"prefect.resource.id": f"{RESOURCE}{folder.name}", "prefect.resource.name": folder.name},
        payload={
            "workspace": str(folder),
            "run_id": compared.run_id,
            "drifted": list(compared.drifted),
            "answers": compared.served.n,
            "why": compared.sentence(),
        },
    )


if __name__ == "__main__":
    drift()
