"""STEP features → verdicts: off-topic pictures and label errors; a pass-through until its own release."""

from __future__ import annotations

from workspace.config import WorkspaceConfig
from workspace.paths import Workspace
from workspace.progress import SILENT, Progress
from workspace.records import StepCounts


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Write nothing, and say so."""
    note = "curation is not built yet: off-topic pictures stay in"
    progress.say(note)
    return StepCounts("curate", notes=(note,))
