"""Fetch a shard of urls over threads, with one session: store the bytes by digest, and return every outcome."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import NamedTuple

from collectors.http.hosts.lane import LaneOfHosts, LaneState, RedirectedElsewhere
from collectors.http.picture import fetch_picture
from collectors.http.recording import FetchResult
from collectors.http.session import PoliteSession
from collectors.http.urls import site_of
from collectors.intake import Intake, failed_row
from collectors.sources.local.folder import SCHEME as LOCAL_SCHEME
from collectors.sources.local.folder import LocalPhotos
from collectors.sources.registry import open_session
from workspace.catalog.records import Download
from workspace.config.collect import DownloadConfig, NetworkConfig
from workspace.errors import TransferFailed
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

_AHEAD = 4  # transfers queued per connection, so that memory does not grow with the number of urls
_BATCH = 64  # rows per commit, and seconds after which a smaller batch is committed: what a kill loses at most
_BATCH_S = 0.5


class WantedUrl(NamedTuple):
    """A url to fetch.

    `url` is that of a hit; `at` where to go on: the same at first, later where `redirects` have led to. `attempts` were
    made in other lanes before the present one.
    """

    url: str
    at: str
    redirects: int = 0
    attempts: int = 0


class Moved(NamedTuple):
    """A url that goes on in another lane; `together`: two sites that must be in one lane before it does."""

    wanted: WantedUrl
    together: tuple[str, str] | None = None


class FetchBatch(NamedTuple):
    """Outcomes of some urls; the last batch of a shard has the state in which it leaves its sites."""

    rows: Sequence[Download]
    moved: Sequence[Moved] = ()
    sites: Collection[str] = ()
    state: LaneState | None = None


@dataclass(frozen=True, slots=True)
class FetchShard:
    """Urls to fetch with one session.

    Attributes:
        urls: in order.
        workspace: receives the files.
        network: settings of the session.
        download: limits.
        withdrawn: the sha256 of withdrawn images, which are not stored again.
        photos: `search.folder.path`, for files of the source `folder`; empty: none.
        sites: the lane's registered domains, which are asked by this shard alone; None: every site is.
        state: of these sites.
    """

    urls: Sequence[WantedUrl]
    workspace: Workspace
    network: NetworkConfig
    download: DownloadConfig
    withdrawn: Collection[str]
    photos: str = ""
    sites: Collection[str] | None = None
    state: LaneState | None = None

    def __str__(self) -> str:
        return f"{len(self.urls)} addresses from {self.urls[0].url} on"


def fetch_shard(shard: FetchShard) -> Iterator[FetchBatch]:
    """Fetch a shard's urls; yield the outcomes in batches, also those before an error.

    Raises:
        WorkspaceError: the bytes cannot be stored.
    """
    settings = shard.download
    intake = Intake(  # not durable: a file lost in a power cut is found and fetched again
        ImageStore(shard.workspace), shard.withdrawn, max_bytes=int(settings.max_mb * 1e6), durable=False
    )
    session = open_session(
        shard.network,
        connections=settings.connections,
        per_host_connections=settings.per_host_connections,
        lane=None if shard.sites is None else LaneOfHosts(shard.sites, shard.state),
    )
    photos = LocalPhotos(shard.photos) if shard.photos else None
    pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="download")
    finished: SimpleQueue[Future[Download | Moved]] = SimpleQueue()
    queue = iter(shard.urls)

    def start_next() -> int:
        wanted = next(queue, None)
        if wanted is None:
            return 0
        future = pool.submit(_fetch, session, wanted, intake, photos)
        future.add_done_callback(finished.put)
        return 1

    try:
        with session:
            running = sum(start_next() for _ in range(_AHEAD * settings.connections))
            while running:
                outcomes, error = _next_batch(finished, running)
                running += sum(start_next() for _ in outcomes) - len(outcomes)
                yield FetchBatch(
                    [outcome for outcome in outcomes if isinstance(outcome, Download)],
                    [outcome for outcome in outcomes if isinstance(outcome, Moved)],
                )
                if error is not None:
                    raise error
            yield FetchBatch((), (), shard.sites or (), session.lane_state())
    finally:
        # After an error (a full disk) the other transfers must not run on for minutes.
        session.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _next_batch(
    finished: SimpleQueue[Future[Download | Moved]], running: int
) -> tuple[list[Download | Moved], BaseException | None]:
    """Wait for a full batch, or for what is there after _BATCH_S; also return the error that ends the run, if any."""
    batch: list[Download | Moved] = []
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


def _fetch(session: PoliteSession, wanted: WantedUrl, intake: Intake, photos: LocalPhotos | None) -> Download | Moved:
    try:
        row = fetch_image(session, wanted.url, intake, photos, at=wanted.at, redirects=wanted.redirects)
    except RedirectedElsewhere as redirected:
        if redirected.of_site:
            return Moved(wanted, (site_of(wanted.at), site_of(redirected.url)))
        attempts = wanted.attempts + redirected.attempt - 1
        return Moved(wanted._replace(at=redirected.url, redirects=redirected.redirects, attempts=attempts))
    return replace(row, attempts=row.attempts + wanted.attempts) if row.attempts and wanted.attempts else row


def fetch_image(
    session: PoliteSession,
    url: str,
    intake: Intake,
    photos: LocalPhotos | None = None,
    *,
    at: str = "",
    redirects: int = 0,
) -> Download:
    """Fetch one url, store its bytes if they are an image, and return the outcome; a failure is a row, no error.

    Args:
        session: sends every request.
        url: of a hit; `folder:…` is a file of the source `folder`.
        intake: checks and stores the bytes.
        photos: reads the files of the source `folder`; None where the settings name no folder.
        at: where to go on, after so many `redirects`; empty: at the url.
        redirects: how many were followed already.

    Raises:
        WorkspaceError: the bytes cannot be stored.
        RedirectedElsewhere: it goes on at a host of another lane.
    """
    local = photos if url.startswith(LOCAL_SCHEME) else None
    now = session.began if local else session.now
    try:
        if local:
            data = local.read(url, intake.max_bytes)
            fetched = FetchResult(local.place_url, None, "", len(data), 1)
        else:
            data, fetched = fetch_picture(session, at or url, intake.max_bytes, crawled=True, redirects=redirects)
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
    return intake.take(row, data, fetched.content_type)
