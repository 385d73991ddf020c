"""Delete the models of earlier runs: nearly all of a run's bytes are its weights."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from workspace.errors import WorkspaceError
from workspace.storage.champion import read_champion, read_decisions
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import CARD_NAME


@dataclass(frozen=True, slots=True)
class RunModel:
    """The model of a run, and how many bytes its files have."""

    run_id: str
    bytes: int


def prunable(workspace: Workspace, keep: int) -> list[RunModel]:
    """List the models that may be deleted: all but the live one, the latest run's, and those that were live last.

    Args:
        workspace: whose models.
        keep: how many of those that were live before are left for `rollback`.

    Raises:
        ModelError: the history of decisions cannot be read.
        WorkspaceError: the files cannot be reached.
    """
    was_live = [decision.champion for decision in reversed(read_decisions(workspace)) if decision.champion]
    live = read_champion(workspace)
    earlier = [run for run in dict.fromkeys(was_live) if live is None or run != live.champion]
    kept = {*earlier[:keep], live.champion if live else "", _latest(workspace)}
    sizes = {run: sum(entry.bytes for entry in workspace.files.entries(_folder(run))) for run in workspace.run_ids()}
    return [RunModel(run, size) for run, size in sizes.items() if size and run not in kept]


def prune(workspace: Workspace, models: Sequence[RunModel]) -> None:
    """Delete these models; their runs keep dataset, numbers, report and credits.

    The card goes first, so that what a kill leaves is no model.

    Raises:
        WorkspaceError: a file cannot be deleted.
    """
    for model in models:
        names = sorted(
            (entry.name for entry in workspace.files.entries(_folder(model.run_id))),
            key=lambda name: (not name.endswith(f"/{CARD_NAME}"), name),
        )
        workspace.files.remove(names[:1])
        workspace.files.remove(names[1:])
        shutil.rmtree(workspace.run(model.run_id, "dataset.parquet").model, ignore_errors=True)  # empty, or a copy


def _folder(run_id: str) -> str:
    return f"runs/{run_id}/model"


def _latest(workspace: Workspace) -> str:
    try:
        return workspace.latest_run().run_id
    except WorkspaceError:
        return ""
