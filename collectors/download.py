"""STEP hits → images/ and downloads: fetch the found urls, store the bytes by digest, record every outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from urllib.parse import urlsplit

from collectors.fetch_shard import FetchBatch, FetchShard, WantedUrl, fetch_shard
from collectors.intake import INBOX_SCHEME
from collectors.lanes import fetch_in_lanes
from collectors.moved_files import drop_moved_files
from collectors.sources.local.folder import SCHEME as LOCAL_SCHEME
from workspace.catalog.class_progress import urls_to_fetch
from workspace.catalog.counts import download_counts
from workspace.catalog.exclusions import record_exclusions
from workspace.catalog.failures import given_up_notes, lost_urls, urls_to_retry
from workspace.catalog.hits.questions import Questions
from workspace.catalog.records import StepCounts
from workspace.config.collect import NetworkConfig
from workspace.config.model import WorkspaceConfig
from workspace.licenses import web_address
from workspace.progress import SILENT, Progress
from workspace.spread.shards import HERE, Spread
from workspace.storage.image_store import record_lost_files
from workspace.storage.paths import Workspace
from workspace.storage.withdrawal import withdrawn_files


def run(
    workspace: Workspace,
    config: WorkspaceConfig,
    progress: Progress = SILENT,
    *,
    urls: Sequence[str] | None = None,
    warn_of_contact: bool = True,
    spread: Spread = HERE,
) -> StepCounts:
    """Fetch as many urls as the classes still need; every outcome is a row within half a second.

    Args:
        workspace: whose catalogue it is.
        config: wanted number of images, limits and network settings.
        progress: receives progress, and a warning for each host that was given up.
        urls: fetch these instead, whatever their earlier outcomes.
        warn_of_contact: warn when network.contact is not set; off in later rounds of one run.
        spread: where urls are fetched; own files and recordings are read and written here.

    Raises:
        WorkspaceError: the folder or the catalogue cannot be written, for example because the disk is full.
        ShardLost: urls ended every process that fetched them; the outcomes of all others are stored.
    """
    with workspace.open_catalog() as catalog:
        record_exclusions(catalog, config.search.wanted_licenses)
        record_lost_files(workspace, catalog)
        asked = Questions.of(config)
        if urls is None:
            wanted = config.collected, config.search.per_class
            urls = urls_to_fetch(catalog, *wanted, asked)
            urls += urls_to_retry(catalog, *wanted, config.network.give_up_s, asked)
            urls += lost_urls(catalog, config.collected, asked)
        urls = [url for url in urls if not url.startswith(INBOX_SCHEME)]
        progress.begin("Downloading", len(urls))
        if warn_of_contact and not config.network.contact and _asks_strangers(urls, config.network):
            progress.warn("network.contact is not set, so site owners cannot reach you; set it in workspace.toml")
        if not spread.alone and (config.network.record or config.network.replay):
            progress.say("a recording is made and replayed by one process: downloads are not spread")
            spread = HERE
        for batch in _fetch_all(workspace, config, urls, withdrawn_files(catalog), spread):
            catalog.put(batch.rows)
            progress.advance(len(batch.rows))
        by_reason = download_counts(catalog)
        notes = (*given_up_notes(catalog, asked), *drop_moved_files(workspace, config, catalog))
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


def _fetch_all(
    workspace: Workspace, config: WorkspaceConfig, urls: Sequence[str], withdrawn: Collection[str], spread: Spread
) -> Iterator[FetchBatch]:
    def shard(some: Sequence[WantedUrl], photos: str = "") -> FetchShard:
        return FetchShard(some, workspace, config.network, config.download, withdrawn, photos)

    photos = config.search.folder.path
    if spread.alone:
        yield from fetch_shard(shard([WantedUrl(url, url) for url in urls], photos))
        return
    if local := [WantedUrl(url, url) for url in urls if url.startswith(LOCAL_SCHEME)]:
        yield from fetch_shard(shard(local, photos))
    yield from fetch_in_lanes((url for url in urls if not url.startswith(LOCAL_SCHEME)), shard, spread)
