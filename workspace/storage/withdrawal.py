"""Withdrawal of images: delete their files and everything computed from them; keep the rows of their downloads."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.exclusions import WithdrawalRules
from workspace.catalog.records import Cluster, Download, Hit, ImageFacts, Override, Verdict, Withdrawal
from workspace.files.atomic import unfinished_writes
from workspace.reasons import WITHDRAWN_FILE
from workspace.storage.arrays import drop_keys
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

STATUS = "withdrawn"


@dataclass(frozen=True, slots=True)
class WithdrawalScope:
    """URLs and files that a withdrawal concerns.

    Attributes:
        urls: every URL of these images, fetched or not; the same bytes under another URL count too.
        files: the sha256 of those that were fetched.
        new: of the files, those that were not withdrawn before.
    """

    urls: tuple[str, ...]
    files: tuple[str, ...]
    new: tuple[str, ...]


def find_scope(catalog: Catalog, wanted: WithdrawalRules) -> WithdrawalScope:
    """Find the URLs and files that a withdrawal concerns."""
    urls = {hit.image_url for hit in catalog.all(Hit) if wanted.kind(hit)}
    downloads = catalog.all(Download)
    urls |= {row.image_url for row in downloads if row.image_url in wanted.urls or row.final_url in wanted.urls}
    files = {row.sha256 for row in downloads if row.image_url in urls and row.sha256}
    files |= {row.sha256 for row in downloads if row.sha256 in wanted.files}
    same = [row for row in downloads if row.sha256 in files]
    new = {row.sha256 for row in same if row.status != STATUS}
    return WithdrawalScope(
        tuple(sorted(urls | {row.image_url for row in same})), tuple(sorted(files)), tuple(sorted(new))
    )


def withdraw(workspace: Workspace, catalog: Catalog, rules: Collection[Withdrawal], found: WithdrawalScope) -> None:
    """Record the withdrawal, then delete files, cached pixels and features; a repetition finishes what a kill left.

    Raises:
        WorkspaceError: the catalogue or a folder cannot be written.
    """
    kind, made_at = next((rule.kind, rule.made_at) for rule in rules)
    detail = "forget: " + ", ".join(f"{rule.kind} {rule.value}" for rule in rules)
    rows = {row.image_url: row for row in catalog.all(Download)}
    catalog.put(rules)
    catalog.put(
        replace(
            rows.get(url, Download(url, STATUS, attempts=0, fetched_at=made_at)),
            status=STATUS,
            reason=kind,
            detail=detail,
        )
        for url in found.urls
        if url not in rows or rows[url].status != STATUS
    )
    for table in (Verdict, Override, Cluster, ImageFacts):
        catalog.delete(table, "sha256", found.files)
    remove_files(workspace, found.files)


def remove_files(workspace: Workspace, files: Iterable[str]) -> None:
    """Delete the stored files of these sha256, and everything cached under their names."""
    gone, store = set(files), ImageStore(workspace)
    for sha in sorted(gone):
        store.delete(sha)
        for folder in workspace.cache.glob(f"*/{sha[:2]}"):
            for file in (*folder.glob(f"{sha}*"), *unfinished_writes([folder / sha])):
                file.unlink(missing_ok=True)
    for folder in sorted(path for path in workspace.cache.glob("*") if path.is_dir()):
        drop_keys(folder, gone)


def withdrawn_files(catalog: Catalog) -> set[str]:
    """Read the sha256 of every withdrawn image, fetched or not."""
    table = TABLES[Download]
    query = sa.select(table.c.sha256).where(table.c.status == STATUS, table.c.sha256 != "").distinct()
    with catalog.engine.connect() as connection:
        found = {str(sha) for sha in connection.execute(query).scalars()}
    return found | {rule.value for rule in catalog.all(Withdrawal) if rule.kind == WITHDRAWN_FILE}


def mark_withdrawn(row: Download) -> Download:
    """Return the row to record for an image whose bytes were withdrawn under another URL."""
    return replace(row, status=STATUS, reason="same_bytes", detail="these bytes were withdrawn under another URL")
