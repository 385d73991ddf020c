"""Keep what a well-known file of each site says, so that it is requested once per host and run."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from collectors.http.urls import origin

NEVER_AGAIN_S = float("inf")
_HOSTS_KEPT = 512  # contents in memory; a large robots.txt takes megabytes when it is parsed

Content = TypeVar("Content")


class SiteFile(Generic[Content]):
    """One file per origin, read when the first of its urls is asked about; safe to use from many threads.

    Args:
        read: takes an origin and returns what its file says, and the seconds until it is to be read again. It runs
            in one thread per origin; the others that ask about this origin wait for it.
    """

    def __init__(self, read: Callable[[str], tuple[Content, float]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._sites: OrderedDict[str, _Entry[Content]] = OrderedDict()

    def of(self, url: str) -> Content:
        """Return what the file of the url's origin says; for a url that parse_url accepts."""
        site_origin = origin(url)
        with self._lock:
            entry = self._sites.setdefault(site_origin, _Entry())
            self._sites.move_to_end(site_origin)
            if len(self._sites) > _HOSTS_KEPT:
                self._sites.popitem(last=False)
        with entry.lock:
            if not entry.content or time.monotonic() >= entry.due_at:
                content, valid_for_s = self._read(site_origin)
                entry.content, entry.due_at = [content], time.monotonic() + valid_for_s
            return entry.content[0]


class _Entry(Generic[Content]):
    """The content of one origin's file, in a list that is empty before it was read; `due_at` by time.monotonic."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.content: list[Content] = []
        self.due_at = 0.0
