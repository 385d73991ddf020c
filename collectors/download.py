"""STEP hits → images/ and downloads: fetch what was found, keep the bytes by their digest, record every outcome."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from collectors.folder import SCHEME as LOCAL_SCHEME
from collectors.folder import read_local
from collectors.polite import PoliteSession
from collectors.recording import Fetched
from collectors.sniff import describe, image_suffix
from workspace.catalog import Catalog
from workspace.config import WorkspaceConfig
from workspace.errors import TransferFailed
from workspace.paths import Workspace, write_atomic
from workspace.progress import SILENT, Progress
from workspace.records import Download, StepCounts

_ACCEPT = "image/avif,image/webp,image/png,image/jpeg,image/*;q=0.8"
_AHEAD = 4  # transfers queued per connection, so that memory does not grow with the number of urls


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Fetch every url that was found and never tried; each outcome is a row as soon as it is known.

    Raises:
        WorkspaceError: the folder or the catalogue cannot be written, for example because the disk is full.
    """
    with Catalog(workspace.catalog_file) as catalog:
        urls = catalog.urls_to_fetch()
        progress.begin("Downloading", len(urls))
        if urls and not config.network.contact and not config.network.allow_private_addresses:
            progress.say("network.contact is not set: a site's owner cannot reach you; please set it in workspace.toml")
        for outcome in _fetch_all(workspace, config, urls):
            catalog.put([outcome])
            progress.advance()
        outcomes = catalog.all(Download)
    reasons = Counter(f"{row.status}: {row.reason}" for row in outcomes if row.status != "ok")
    by_reason = {"ok": sum(row.status == "ok" for row in outcomes)} | dict(sorted(reasons.items()))
    return StepCounts("download", done=len(urls), reused=len(outcomes) - len(urls), by_reason=by_reason)


def _fetch_all(workspace: Workspace, config: WorkspaceConfig, urls: list[str]) -> Iterator[Download]:
    settings = config.download
    max_bytes = int(settings.max_mb * 1e6)
    session = PoliteSession(
        config.network, connections=settings.connections, per_host_connections=settings.per_host_connections
    )
    pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="download")
    queue = iter(urls)
    running: set[Future[Download]] = set()
    try:
        with session:
            while True:
                while len(running) < _AHEAD * settings.connections and (url := next(queue, None)) is not None:
                    running.add(pool.submit(fetch_one, workspace, session, url, max_bytes, config.search.folder))
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
    finally:
        # After an error (a full disk) the rest must not go on for minutes.
        session.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def fetch_one(workspace: Workspace, session: PoliteSession, url: str, max_bytes: int, folder: str = "") -> Download:
    """Fetch one url, store its bytes if they are a picture, and say what came of it; a failure is a row, no error.

    Args:
        workspace: where the bytes go.
        session: every request goes through it.
        url: what a source found; `folder:…` is a file of the source `folder`.
        max_bytes: the largest file.
        folder: the folder of that source, `search.folder`.

    Raises:
        WorkspaceError: the bytes cannot be stored.
    """
    body = io.BytesIO()
    is_local = bool(folder) and url.startswith(LOCAL_SCHEME)
    now = session.began if is_local else session.now
    try:
        if is_local:
            answer = Fetched(url, None, "", body.write(read_local(folder, url, max_bytes)), 1)
        else:
            answer = session.fetch(url, body, max_bytes=max_bytes, accept=_ACCEPT, crawled=True)
    except TransferFailed as error:
        return Download(
            url,
            error.status,
            error.reason,
            detail=error.detail[:500],
            http_status=error.http_status,
            attempts=error.attempts,
            fetched_at=now(),
        )
    data = body.getvalue()
    suffix = image_suffix(data[:64])
    sha256 = hashlib.sha256(data).hexdigest()
    if suffix is not None:
        file = workspace.image_file(sha256, suffix)
        if not file.exists():
            write_atomic(file, data, durable=False)
    reason = "" if suffix else describe(data[:512])
    return Download(
        url,
        "ok" if suffix else "refused",
        reason,
        detail="" if suffix else f"{answer.content_type or 'no content type'}: {data[:60]!r}",
        http_status=answer.http_status,
        bytes=len(data),
        sha256=sha256 if suffix else "",
        final_url=answer.final_url,
        attempts=answer.attempts,
        fetched_at=now(),
    )
