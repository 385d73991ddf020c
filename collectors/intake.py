"""Take bytes into the workspace: store them if they are an image, and complete the row that says what came of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace

from workspace.catalog.records import Download
from workspace.errors import TransferFailed
from workspace.storage.image_store import ImageStore
from workspace.storage.image_type import describe_other, image_suffix
from workspace.storage.withdrawal import mark_withdrawn


@dataclass(frozen=True, slots=True)
class Intake:
    """Where bytes go, and which are refused.

    Attributes:
        store: keeps the images.
        withdrawn: the sha256 of withdrawn images, which are not stored again.
        max_bytes: the largest file.
        durable: wait for the disk with each file; see ImageStore.put.
    """

    store: ImageStore
    withdrawn: Collection[str]
    max_bytes: int
    durable: bool

    def take(self, row: Download, data: bytes, content_type: str = "") -> Download:
        """Store the bytes of a finished transfer and complete its row: ok, refused or withdrawn.

        Args:
            row: what is known of the transfer.
            data: all that came, at most `max_bytes`.
            content_type: as the server declared it, for the detail of a refusal.

        Raises:
            WorkspaceError: the bytes cannot be stored.
        """
        suffix = image_suffix(data)
        if suffix is None:
            detail = f"{content_type or 'no content type'}: {data[:60]!r}"
            return replace(row, status="refused", reason=describe_other(data), detail=detail, bytes=len(data))
        taken = replace(row, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        if taken.sha256 in self.withdrawn:
            return mark_withdrawn(taken)
        self.store.put(taken.sha256, suffix, data, durable=self.durable)
        return taken


def failed_row(url: str, error: TransferFailed, fetched_at: str) -> Download:
    """Return the row of a transfer that brought no bytes."""
    return Download(
        url,
        error.status,
        error.reason,
        detail=error.detail[:500],
        http_status=error.http_status,
        attempts=error.attempts,
        fetched_at=fetched_at,
    )
