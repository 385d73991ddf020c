"""The whole path on own photographs in the calling process, without Prefect: for notebooks and programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from flows.collecting import run_all_steps
from flows.inputs import open_inputs
from flows.step_table import find_step
from workspace.catalog.records import StepCounts
from workspace.progress import Progress
from workspace.storage.lock import LOCK_WAIT_S, hold
from workspace.storage.paths import Workspace
from workspace.terminal import LogProgress, progress_reporter

_LOG = logging.getLogger("collect_and_train.fit")


def fit_folder(
    photos: str | Path,
    workspace: str | Path = "",
    *,
    per_class: int | None = None,
    backbone: str | None = None,
    settings: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Workspace:
    """Run every step on a folder of photographs; each does only what is not done yet.

    Args:
        photos: a folder with a folder per class, a zip archive of one, or a table of path and label.
        workspace: its folder; empty: data/ and the name of the photographs.
        per_class: clean pictures wanted of each class; None: all.
        backbone: None: as in the settings.
        settings: by dotted name.
        quiet: show warnings alone.

    Raises:
        ConfigError: the photographs cannot be read, or a setting is wrong.
        DatasetError: a class has too few pictures.
        WorkspaceBusy: another process works in the folder.
    """
    inputs = open_inputs(workspace, (), photos, settings, per_class=per_class, backbone=backbone)
    opened, config = inputs.workspace, inputs.config

    def run_step(name: str, number: int = 1) -> StepCounts:
        with _progress(quiet) as progress:
            counts = find_step(name).run(opened, config, progress, number)
            progress.say(counts.line())
        return counts

    with hold(opened, "fit", wait_s=LOCK_WAIT_S, on_wait=_LOG.warning):
        run_all_steps(opened, config, run_step)
    return opened


def _progress(quiet: bool) -> AbstractContextManager[Progress]:
    return nullcontext(LogProgress(_LOG)) if quiet else progress_reporter(_LOG)
