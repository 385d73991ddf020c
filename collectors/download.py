"""STEP hits → images/ and downloads: fetch the found urls, store the bytes by digest, record every outcome."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from collectors.http.recording import FetchResult
from collectors.http.session import PoliteSession
from collectors.intake import INBOX_SCHEME, Intake, failed_row
from collectors.sources.local.folder import SCHEME as LOCAL_SCHEME
from collectors.sources.local.folder import LocalPhotos
from collectors.sources.registry import open_session
from workspace.catalog.class_progress import urls_to_fetch
from workspace.catalog.counts import download_counts
from workspace.catalog.exclusions import record_exclusions
from workspace.catalog.failures import given_up_notes, lost_urls, urls_to_retry
from workspace.catalog.records import Download, StepCounts
from workspace.config.collect import NetworkConfig
from workspace.config.model import WorkspaceConfig
from workspace.errors import TransferFailed
from workspace.licenses import web_address
from workspace.progress import SILENT, Progress
from workspace.storage.image_store import ImageStore, record_lost_files
from workspace.storage.paths import Workspace
from workspace.storage.withdrawal import withdrawn_files

_ACCEPT = "image/avif,image/webp,image/png,image/jpeg,image/*;q=0.8"
_AHEAD = 4  # transfers queued per connection, so that memory does not grow with the number of urls
_BATCH = 64  # rows per commit, and seconds after which a smaller batch is committed: what a kill loses at most
_BATCH_S = 0.5


def run(
    workspace: Workspace,
    config: WorkspaceConfig,
    progress: Progress = SILENT,
    *,
    urls: Sequence[str] | None = None,
    warn_of_contact: bool = True,
) -> StepCounts:
    """Fetch as many urls as the classes still need; every outcome is a row within half a second.

    Args:
        workspace: whose catalogue it is.
        config: wanted number of images, limits and network settings.
        progress: receives progress, and a warning for each host that was given up.
        urls: fetch these instead, whatever their earlier outcomes.
        warn_of_contact: warn when network.contact is not set; off in later rounds of one run.

    Raises:
        WorkspaceError: the folder or the catalogue cannot be written, for example because the disk is full.
    """
    with workspace.open_catalog() as catalog:
        record_exclusions(catalog, config.search.wanted_licenses)
        intake = Intake(  # not durable: a file lost in a power cut is found and fetched again
            ImageStore(workspace), withdrawn_files(catalog), max_bytes=int(config.download.max_mb * 1e6), durable=False
        )
        record_lost_files(workspace, catalog)
        if urls is None:
            wanted = config.classes, config.search.per_class
            urls = urls_to_fetch(catalog, *wanted) + urls_to_retry(catalog, *wanted, config.network.give_up_s)
            urls += lost_urls(catalog, config.classes)
        urls = [url for url in urls if not url.startswith(INBOX_SCHEME)]
        progress.begin("Downloading", len(urls))
        if warn_of_contact and not config.network.contact and _asks_strangers(urls, config.network):
            progress.warn("network.contact is not set, so site owners cannot reach you; set it in workspace.toml")
        for outcomes in _fetch_all(config, urls, intake):
            catalog.put(outcomes)
            progress.advance(len(outcomes))
        by_reason = download_counts(catalog)
        notes = given_up_notes(catalog)
        for note in notes:
            progress.warn(note)
    return StepCounts(
        "download", done=len(urls), reused=by_reason.total() - len(urls), by_reason=by_reason, notes=notes
    )


def _asks_strangers(urls: Sequence[str], network: NetworkConfig) -> bool:
    """Return whether any of the urls is requested from a site of somebody else."""
    if network.replay or network.allow_private_addresses:
        return False
    return any(web_address(url) and urlsplit(url).hostname not in network.private_hosts for url in urls)


def _fetch_all(config: WorkspaceConfig, urls: Sequence[str], intake: Intake) -> Iterator[list[Download]]:
    """Fetch over threads; yield the outcomes in batches, also those before an error."""
    settings = config.download
    session = open_session(
        config.network, connections=settings.connections, per_host_connections=settings.per_host_connections
    )
    pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="download")
    finished: SimpleQueue[Future[Download]] = SimpleQueue()
    queue = iter(urls)
    photos = LocalPhotos(config.search.folder.path) if config.search.folder.path else None

    def start_next() -> int:
        url = next(queue, None)
        if url is None:
            return 0
        future = pool.submit(fetch_image, session, url, intake, photos)
        future.add_done_callback(finished.put)
        return 1

    try:
        with session:
            running = sum(start_next() for _ in range(_AHEAD * settings.connections))
            while running:
                batch, error = _next_batch(finished, running)
                running += sum(start_next() for _ in batch) - len(batch)
                yield batch
                if error is not None:
                    raise error
    finally:
        # After an error (a full disk) the other transfers must not run on for minutes.
        session.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _next_batch(finished: SimpleQueue[Future[Download]], running: int) -> tuple[list[Download], BaseException | None]:
    """Wait for a full batch, or for what is there after _BATCH_S; also return the error that ends the run, if any."""
    batch: list[Download] = []
    deadline = time.monotonic() + _BATCH_S
    while len(batch) < min(_BATCH, max(1, running // 2)):  # half: the connections stay busy meanwhile
        try:
            future = finished.get(timeout=max(0.0, deadline - time.monotonic()) if batch else None)
        except Empty:
            break
        if (error := future.exception()) is not None:
            return batch, error
        batch.append(future.result())
    return batch, None


def fetch_image(session: PoliteSession, url: str, intake: Intake, photos: LocalPhotos | None = None) -> Download:
    """Fetch one url, store its bytes if they are an image, and return the outcome; a failure is a row, no error.

    Args:
        session: sends every request.
        url: of a hit; `folder:…` is a file of the source `folder`.
        intake: checks and stores the bytes.
        photos: reads the files of the source `folder`; None where the settings name no folder.

    Raises:
        WorkspaceError: the bytes cannot be stored.
    """
    body = io.BytesIO()
    local = photos if url.startswith(LOCAL_SCHEME) else None
    now = session.began if local else session.now
    try:
        if local:
            fetched = FetchResult(url, None, "", body.write(local.read(url, intake.max_bytes)), 1)
        else:
            fetched = session.fetch(url, body, max_bytes=intake.max_bytes, accept=_ACCEPT, crawled=True)
    except TransferFailed as error:
        return failed_row(url, error, now())
    row = Download(
        url,
        "ok",
        http_status=fetched.http_status,
        final_url=fetched.final_url,
        attempts=fetched.attempts,
        fetched_at=now(),
        preferences=fetched.preferences,
    )
    return intake.take(row, body.getvalue(), fetched.content_type)
