"""Repeat failed searches and downloads, by reason, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

from collectors import download, search
from collectors.intake import INBOX_SCHEME
from workspace.catalog.failures import failed_searches, failed_urls, failure_counts
from workspace.catalog.hits.questions import Questions
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.errors import ConfigError
from workspace.progress import SILENT, Progress
from workspace.reasons import in_order, is_retryable
from workspace.storage.image_store import record_lost_files
from workspace.storage.paths import Workspace


def run(
    workspace: Workspace, config: WorkspaceConfig, reasons: Collection[str] = (), progress: Progress = SILENT
) -> StepCounts:
    """Repeat the searches and downloads that failed for these reasons.

    Each row is replaced as soon as its new outcome is known. New hits are left to the next download. What was found by
    a keyword or source that the settings no longer name is left out.

    Args:
        workspace: whose catalogue it is.
        config: the current settings (a larger `download.max_mb` may solve `too_large`).
        reasons: as in the catalogue; empty: every transient reason.
        progress: receives progress.

    Returns:
        The number of repeated items; `by_reason` counts what still failed, `search: …` and `download: …`.

    Raises:
        ConfigError: nothing failed for one of the reasons; lists the reasons of the failures.
        WorkspaceError: the folder or the catalogue cannot be written.
    """
    with workspace.open_catalog() as catalog:
        record_lost_files(workspace, catalog)
        urls_by_reason, searches_by_reason = failure_counts(catalog)
        failed = urls_by_reason + searches_by_reason
        unknown = [reason for reason in reasons if reason not in failed]
        if unknown:
            existing = ", ".join(f"{reason} ({count})" for reason, count in in_order(failed).items())
            raise ConfigError(f"nothing failed for the reason {', '.join(unknown)}; failures: {existing or 'none'}")
        chosen = reasons or [reason for reason in failed if is_retryable(reason)]
        searches = failed_searches(catalog, chosen)
        urls = [url for url in failed_urls(catalog, chosen, Questions.of(config)) if not url.startswith(INBOX_SCHEME)]
    repeated = search.retry_searches(workspace, config, searches, progress) if searches else 0
    if urls:
        download.run(workspace, config, progress, urls=urls)
    with workspace.open_catalog() as catalog:
        urls_by_reason, searches_by_reason = failure_counts(catalog)
    by_reason = {f"search: {reason}": count for reason, count in in_order(searches_by_reason).items()}
    by_reason |= {f"download: {reason}": count for reason, count in in_order(urls_by_reason).items()}
    return StepCounts("retry", done=repeated + len(urls), by_reason=by_reason)
