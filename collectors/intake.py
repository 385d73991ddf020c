"""Check downloaded bytes, store them if they are an image, and complete their row in the catalogue."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace

from workspace.catalog.records import Download
from workspace.errors import TransferFailed
from workspace.files.image_type import describe_other, image_suffix
from workspace.storage.image_store import ImageStore
from workspace.storage.withdrawal import mark_withdrawn

INBOX_SCHEME = "inbox:"
"""Of the URLs of files from the inbox, which the step `inbox` alone can read."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Checks and stores downloaded bytes.

    Attributes:
        store: receives the images.
        withdrawn: the sha256 of withdrawn images, which are not stored again.
        max_bytes: size limit of a file.
        durable: sync each file to disk; see ImageStore.put.
    """

    store: ImageStore
    withdrawn: Collection[str]
    max_bytes: int
    durable: bool

    def take(self, row: Download, data: bytes, content_type: str = "") -> Download:
        """Store the bytes of a finished transfer and complete its row: ok, refused or withdrawn.

        Args:
            row: the row of the transfer.
            data: the whole body, at most `max_bytes`.
            content_type: as the server declared it, for the detail of a refusal.

        Raises:
            WorkspaceError: the bytes cannot be stored.
        """
        suffix = image_suffix(data)
        if suffix is None:
            detail = f"{content_type or 'no content type'}: {data[:60]!r}"
            return replace(row, status="refused", reason=describe_other(data), detail=detail, bytes=len(data))
        stored = replace(row, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        if stored.sha256 in self.withdrawn:
            return mark_withdrawn(stored)
        self.store.put(stored.sha256, suffix, data, durable=self.durable)
        return stored


def failed_row(url: str, error: TransferFailed, fetched_at: str) -> Download:
    """Return the row of a failed transfer."""
    return Download(
        url,
        error.status,
        error.reason,
        detail=error.detail[:500],
        http_status=error.http_status,
        attempts=error.attempts,
        fetched_at=fetched_at,
    )
