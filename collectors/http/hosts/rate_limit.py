"""Rate limits per host: parallel requests, a pause between two requests, and pauses that the server asks for."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class RateLimiter:
    """Limit the requests to each host; shared by all threads of a run.

    Args:
        pause_s: minimum seconds between the starts of two requests to one host.
        connections: maximum of parallel requests to one host.
        host_pauses_s: longer pauses of single hosts, by host name.
        stopped: set when the run ends early; ends every wait.
        asked_before: whether another process may have asked these hosts a moment ago: each then rests once before its
            first request.
    """

    def __init__(
        self,
        *,
        pause_s: float,
        connections: int,
        stopped: threading.Event,
        host_pauses_s: Mapping[str, float] | None = None,
        asked_before: bool = False,
    ) -> None:
        self._pause_s = pause_s
        self._rested_from = time.monotonic() if asked_before else float("-inf")
        self._stopped = stopped
        self._lock = threading.Lock()
        self._next_start: dict[str, float] = defaultdict(float)
        self._host_pauses_s = dict(host_pauses_s or {})
        self._slots: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(connections))

    @contextmanager
    def slot(self, host: str) -> Iterator[None]:
        """Wait until a request to this host may start, and hold one of its connections while the block runs."""
        with self._lock:
            slot = self._slots[host]
        with slot:
            self._wait(host)
            yield

    def pause(self, host: str, seconds: float) -> None:
        """Send this host no request for so many seconds, from any thread."""
        with self._lock:
            self._next_start[host] = max(self._next_start[host], time.monotonic() + seconds)

    def slow_down(self, host: str, pause_s: float) -> None:
        """Raise the pause between two requests to this host to at least `pause_s`."""
        if pause_s > self._pause_s:
            with self._lock:
                self._host_pauses_s[host] = max(self._host_pauses_s.get(host, 0.0), pause_s)
                self._next_start[host] = max(self._next_start[host], time.monotonic() + pause_s)

    def rests(self) -> dict[str, float]:
        """Return for how many seconds more each host must not be asked, by host name."""
        with self._lock:
            now = time.monotonic()
            return {host: start - now for host, start in self._next_start.items() if start > now}

    def _wait(self, host: str) -> None:
        pause = max(self._pause_s, self._host_pauses_s.get(host, 0.0))
        with self._lock:
            self._next_start[host] = max(self._next_start[host], self._rested_from + pause)
        while not self._stopped.is_set():
            with self._lock:
                now = time.monotonic()
                start = self._next_start[host]
                if start <= now:
                    self._next_start[host] = now + pause
                    return
            self._stopped.wait(min(start - now, 1.0))
