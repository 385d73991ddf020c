"""The command `retry`: repeat failed searches and downloads."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Annotated

import typer

from cli import output
from cli.app import OTHER, Folder, Settings, app
from cli.given_settings import tell_given
from workspace.resolve import open_workspace, parse_overrides
from workspace.terminal import CONSOLE, progress_reporter


@app.command(rich_help_panel=OTHER)
def retry(
    folder: Folder,
    reason: Annotated[
        list[str] | None,
        typer.Option(help="Reasons to retry, as timeout,http_503; default: every one that may be temporary."),
    ] = None,
    settings: Settings = None,
) -> None:
    """Repeat failed searches and downloads, and nothing else; count the failures before and after.

    Example: collect-and-train retry -w data/pandas --reason timeout,http_503
    """
    from rich.table import Table

    from cli.documents.images import Retried
    from collectors import retry_failed as step
    from workspace.catalog.failures import failure_counts
    from workspace.reasons import order_of
    from workspace.storage.image_store import record_lost_files
    from workspace.storage.lock import hold
    from workspace.storage.run import next_run

    overrides = parse_overrides(settings or [])
    workspace, config = open_workspace(folder, (), overrides)
    tell_given(workspace, overrides)
    reasons = [word.strip() for words in reason or [] for word in words.split(",") if word.strip()]
    with hold(workspace, "retry"):
        with workspace.open_catalog() as catalog:
            record_lost_files(workspace, catalog)
            urls, searches = failure_counts(catalog)
        before = Counter({f"search: {name}": count for name, count in searches.items()})
        before.update({f"download: {name}": count for name, count in urls.items()})
        with progress_reporter(logging.getLogger("collect_and_train.retry")) as progress:
            counts = step.run(workspace, config, reasons, progress)
    after = Counter(counts.by_reason)
    if before or after:
        table = Table("failed", "before", "after", show_edge=False, pad_edge=False)
        for name in sorted(before | after, key=order_of):
            table.add_row(name, f"{before[name]:,}", f"{after[name]:,}")
        CONSOLE.print(table)
    succeeded = before.total() - after.total()
    lines = [f"{counts.done} retried, {succeeded} succeeded"]
    lines += [f"Next: {next_run(workspace, overrides)}"] if succeeded else []
    numbers = {"retried": counts.done, "succeeded": succeeded, "before": dict(before), "after": dict(after)}
    output.answer(Retried.model_validate({"workspace": str(workspace.root), **numbers}), "\n".join(lines))
