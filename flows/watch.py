"""The scheduled flow `watch`: emit a Prefect event when enough new images have arrived for a retraining."""

from __future__ import annotations

import json
import time
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.events import emit_event
from prefect.runtime import flow_run

from collectors.refresh import due_searches
from flows.artifacts import Logger
from flows.cluster.spread import spread_for
from flows.each_workspace import look_at_each
from flows.steps import step_task
from preprocessing.dataset.new_images import NewImages, count_new_images
from workspace.catalog.class_progress import class_progress
from workspace.config.model import WorkspaceConfig
from workspace.files.atomic import write_json
from workspace.resolve import open_workspace
from workspace.storage.champion import read_decisions
from workspace.storage.lock import hold
from workspace.storage.paths import Workspace
from workspace.text.counts import counted

EVENT = "images.arrived"
RESOURCE = "collect-and-train.workspace."
"""The start of the id of the resource that the event is about; the workspace's name follows."""

_PATIENCE_S = 3600.0  # a retraining that was called and came to no decision by then (it failed) is called again


def _run_name() -> str:
    return f"{Path(flow_run.parameters['workspace']).name or 'data'}: watch"


@flow(name="watch", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def watch(workspace: str = "") -> dict[str, int]:
    """Take in the inbox, repeat earlier searches, clean what is new, and emit an event when it is enough to retrain.

    Args:
        workspace: The workspace's folder; empty: all under data/ that have a published model.

    Returns:
        How many new clean pictures each workspace has, by its folder; one that another process is at work in is
        left for the next time.

    Raises:
        WorkspaceError: some of all workspaces failed; the others were watched before.
    """
    logger = get_run_logger()
    found = look_at_each(workspace, lambda folder: _look(folder, logger), logger)
    return {folder: arrived.new for folder, arrived in found.items()}


def _look(folder: Path, logger: Logger) -> NewImages:
    workspace, config = open_workspace(folder)
    spread_for(config.cluster)  # a cluster that does not answer is told before work begins
    with hold(workspace, "watch"):
        taken = step_task("inbox")(workspace, config)
        if due_searches(workspace, config):
            step_task("refresh")(workspace, config)
            taken_more = step_task("download")(workspace, config).done
        else:
            taken_more = 0
        if taken.done or taken_more or _has_uncleaned(workspace, config):
            step_task("clean")(workspace, config)
        found = count_new_images(workspace, config)
        enough = found.enough(config)
        due = enough and not _told_before(workspace)
    if due:  # after the lock is given back, since the retraining wants it
        logger.info("%s: %d new clean pictures, enough for a retraining: sending %s", folder.name, found.new, EVENT)
        tell(folder, found)
    elif enough:
        logger.info("%s: %d new clean pictures; the event was sent before", folder.name, found.new)
    else:
        limit = config.retrain.min_new_images
        logger.info("%s: %d of the %d new clean pictures that start a retraining", folder.name, found.new, limit)
    return found


def _has_uncleaned(workspace: Workspace, config: WorkspaceConfig) -> bool:
    """Return whether an earlier `watch` took in pictures and was killed, or failed, before it had cleaned them."""
    with workspace.open_catalog() as catalog:
        if catalog.files_to_examine():
            return True
        # Bytes that are known already need no decoding, but a verdict under the class that has them now.
        return any(state.unjudged for state in class_progress(catalog, config.collected).values())


def _told_before(workspace: Workspace) -> bool:
    """Return whether the event was sent since the last decision, not long ago; if not, record it as sent now."""
    file = workspace.cache / "arrivals-told.json"
    decisions = len(read_decisions(workspace))
    try:
        sent = json.loads(file.read_text(encoding="utf-8"))
        if sent["decisions"] == decisions and 0 <= time.time() - sent["at"] < _PATIENCE_S:
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never told, or the cache was cleared
    write_json(file, {"decisions": decisions, "at": time.time()})
    return False


def tell(folder: Path, found: NewImages) -> None:
    """Emit the event that starts the deployment of `retrain`; see prefect.yaml."""
    emit_event(
        event=EVENT,
        resource={"prefect.resource.id": f"{RESOURCE}{folder.name}", "prefect.resource.name": folder.name},
        payload={
            "workspace": str(folder),
            "new": found.new,
            "per_class": dict(found.per_class),
            "trained_on": found.trained_on,
            "why": f"{counted(found.new, 'new picture')}",
        },
    )


if __name__ == "__main__":
    watch()
