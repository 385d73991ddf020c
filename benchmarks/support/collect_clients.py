"""Download clients to compare, run as a script in the environment of each; imports none of our packages.

    PYTHON benchmarks/support/collect_clients.py NAME URLS FOLDER CONNECTIONS

NAME is this_project, icrawler, img2dataset or raw (as fast as plain sockets and threads go; keeps nothing). Prints one
JSON line: seconds from the call to the last file, and how many files there are and how many bytes they hold.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit


def this_project(urls: Path, folder: Path, connections: int) -> None:
    """Run the project's download step over a catalogue that holds these URLs as hits; every limit is on."""
    from collectors import download
    from workspace.catalog.records import Hit
    from workspace.config.model import WorkspaceConfig
    from workspace.storage.paths import Workspace

    workspace = Workspace(folder)
    config = WorkspaceConfig.model_validate(
        {
            "classes": {"a": "a", "b": "b"},
            "search": {"per_class": 100_000},
            # Loopback is private, and a pause between requests to one host would be all that is measured.
            "network": {"allow_private_addresses": True, "per_host_pause_s": 0},
            "download": {"connections": connections, "per_host_connections": connections},
        }
    )
    with workspace.open_catalog() as catalog, urls.open(encoding="utf-8") as lines:
        ranked = enumerate(line.strip() for line in lines)
        # Page by page, as a search does: a list of all of them would be the memory that is measured.
        while page := [Hit("a", "a", "bench", rank, url) for rank, url in islice(ranked, 500)]:
            catalog.add_new(page)
    _timed(folder / "images", lambda: download.run(workspace, config))


def icrawler(urls: Path, folder: Path, connections: int) -> None:
    """Run icrawler's crawler of a list of URLs."""
    from icrawler.builtin import UrlListCrawler

    crawler = UrlListCrawler(
        downloader_threads=connections, storage={"root_dir": str(folder)}, log_level=logging.WARNING
    )
    _timed(folder, lambda: crawler.crawl(str(urls), max_num=10**9))


def img2dataset(urls: Path, folder: Path, connections: int) -> None:
    """Run img2dataset into plain files, without resizing and without re-encoding."""
    from img2dataset import download

    _timed(
        folder,
        lambda: download(
            url_list=str(urls),
            output_folder=str(folder),
            output_format="files",
            processes_count=1,
            thread_count=connections,
            resize_mode="no",
            skip_reencode=True,
            enable_wandb=False,
            number_sample_per_shard=10_000,
        ),
    )


def raw(urls: Path, folder: Path, connections: int) -> None:
    """Download with http.client and kept-alive connections alone: the most that one process can get from the server."""
    addresses = urls.read_text().split()
    host = urlsplit(addresses[0]).netloc

    def fetch(share: list[str]) -> int:
        connection = http.client.HTTPConnection(host)
        total = 0
        for url in share:
            connection.request("GET", urlsplit(url).path)
            total += len(connection.getresponse().read())
        connection.close()
        return total

    began = time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        total = sum(pool.map(fetch, [addresses[n::connections] for n in range(connections)]))
    print(json.dumps({"seconds": time.monotonic() - began, "files": len(addresses), "bytes": total}))


def _timed(folder: Path, call) -> None:  # type: ignore[no-untyped-def]
    began = time.time()
    call()
    last, files, size = began, 0, 0
    for directory, _, names in os.walk(folder):  # no list of all files: peak memory is what is measured
        for name in names:
            if name.endswith((".jpg", ".jpeg")):
                status = os.stat(os.path.join(directory, name))  # noqa: PTH116, PTH118 (a Path each would be the slower half)
                last, files, size = max(last, status.st_mtime), files + 1, size + status.st_size
    print(json.dumps({"seconds": last - began, "files": files, "bytes": size}))


CLIENTS = {"this_project": this_project, "icrawler": icrawler, "img2dataset": img2dataset, "raw": raw}

if __name__ == "__main__":
    CLIENTS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
