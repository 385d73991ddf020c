"""Which command answers with which document."""

from __future__ import annotations

from collections.abc import Mapping

from cli.documents.base import Document
from cli.documents.images import Forgotten, Leaks, Renamed, Retried, Sources
from cli.documents.models import Exports, ModelDecision, Models, PredictionLine, Pruned
from cli.documents.runs import Collected, Estimate, RunStep, WholeRun, WorkspaceStep
from cli.documents.workspaces import Deployed, Initialised, Moved, Status, Watched

DOCUMENTS: Mapping[str, type[Document]] = {
    "run": WholeRun,
    "demo": WholeRun,
    "init": Initialised,
    "collect": Collected,
    "estimate": Estimate,
    **dict.fromkeys(("search", "download", "clean", "features", "curate", "split"), WorkspaceStep),
    **dict.fromkeys(("train", "evaluate", "report", "publish"), RunStep),
    "watch": Watched,
    "retrain": WholeRun,
    "deploy": Deployed,
    "status": Status,
    "move": Moved,
    "predict": PredictionLine,
    "export": Exports,
    "models": Models,
    "rollback": ModelDecision,
    "prune": Pruned,
    "sources": Sources,
    "retry": Retried,
    "leaks": Leaks,
    "rename": Renamed,
    "forget": Forgotten,
}
"""The document of each command that takes --json; the others serve a page until Ctrl-C."""

IN_LINES = frozenset({"predict"})
"""The commands that print a document for each picture, one a line (JSON Lines), as they go."""
