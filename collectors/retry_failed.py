"""Try again what failed, by reason, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

from collectors import download, search
from workspace.catalog.failures import failed_searches, failed_urls, failure_counts
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.errors import ConfigError
from workspace.progress import SILENT, Progress
from workspace.reasons import in_order, is_retryable
from workspace.storage.paths import Workspace


def run(
    workspace: Workspace, config: WorkspaceConfig, reasons: Collection[str] = (), progress: Progress = SILENT
) -> StepCounts:
    """Ask again the questions, and fetch again the urls, that failed for these reasons.

    Each row is replaced as soon as its new outcome is known. What a question finds now is for the next download.

    Args:
        workspace: whose catalogue it is.
        config: its settings, which may have changed since (a larger `download.max_mb` solves `too_large`).
        reasons: as in the catalogue; empty: every one that may heal by itself.
        progress: is told how it goes.

    Returns:
        How many were tried again; `by_reason` counts what has failed after it, `search: …` and `download: …`.

    Raises:
        ConfigError: nothing failed for one of the reasons; lists those that there are.
        WorkspaceError: the folder or the catalogue cannot be written.
    """
    with workspace.open_catalog() as catalog:
        urls_by_reason, searches_by_reason = failure_counts(catalog)
        failed = urls_by_reason + searches_by_reason
        unknown = [reason for reason in reasons if reason not in failed]
        if unknown:
            there = ", ".join(f"{reason} ({count})" for reason, count in in_order(failed).items())
            raise ConfigError(
                f"nothing failed for the reason {', '.join(unknown)}; these there are: {there or 'none at all'}"
            )
        chosen = reasons or [reason for reason in failed if is_retryable(reason)]
        questions, urls = failed_searches(catalog, chosen), failed_urls(catalog, chosen)
    asked = search.retry_searches(workspace, config, questions, progress) if questions else 0
    if urls:
        download.run(workspace, config, progress, urls=urls)
    with workspace.open_catalog() as catalog:
        urls_by_reason, searches_by_reason = failure_counts(catalog)
    by_reason = {f"search: {reason}": count for reason, count in in_order(searches_by_reason).items()}
    by_reason |= {f"download: {reason}": count for reason, count in in_order(urls_by_reason).items()}
    return StepCounts("retry", done=asked + len(urls), by_reason=by_reason)
