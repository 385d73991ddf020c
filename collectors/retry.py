"""Try again what failed, by reason, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

from collectors import download
from workspace.catalog import Catalog
from workspace.config import WorkspaceConfig
from workspace.errors import ConfigError
from workspace.failures import failed_urls, failure_counts, may_heal
from workspace.paths import Workspace
from workspace.progress import SILENT, Progress
from workspace.records import StepCounts


def run(
    workspace: Workspace, config: WorkspaceConfig, reasons: Collection[str] = (), progress: Progress = SILENT
) -> StepCounts:
    """Fetch again the urls that failed for these reasons; each row is replaced as soon as its new outcome is known.

    Args:
        workspace: whose catalogue it is.
        config: its settings, which may have changed since (a larger `download.max_mb` heals `too_large`).
        reasons: as in the catalogue; empty: every one that may heal by itself.
        progress: is told how it goes.

    Raises:
        ConfigError: nothing failed for one of the reasons; lists those that there are.
        WorkspaceError: the folder or the catalogue cannot be written.
    """
    with Catalog(workspace.catalog_file) as catalog:
        failed, _ = failure_counts(catalog)
        unknown = [reason for reason in reasons if reason not in failed]
        if unknown:
            there = ", ".join(f"{reason} ({count})" for reason, count in sorted(failed.items()))
            raise ConfigError(f"nothing failed for the reason {', '.join(unknown)}; {there or 'nothing failed at all'}")
        urls = failed_urls(catalog, reasons or [reason for reason in failed if may_heal(reason)])
    return download.run(workspace, config, progress, urls=urls)
