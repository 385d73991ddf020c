"""How fast one host may be asked: so many at a time, a pause in between, and silence when it says so."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class RateLimiter:
    """Shared by all threads of a run.

    Args:
        pause_s: shortest time between the starts of two requests to one host.
        connections: most requests to one host at a time.
        host_pauses_s: longer times for single hosts, by name.
        stopped: set when the run ends early, so that nobody waits for nothing.
    """

    def __init__(
        self,
        *,
        pause_s: float,
        connections: int,
        stopped: threading.Event,
        host_pauses_s: Mapping[str, float] | None = None,
    ) -> None:
        self._pause_s = pause_s
        self._stopped = stopped
        self._lock = threading.Lock()
        self._next_start: dict[str, float] = defaultdict(float)
        self._slower = dict(host_pauses_s or {})
        self._slots: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(connections))

    @contextmanager
    def slot(self, host: str) -> Iterator[None]:
        """Wait for this host's turn, and hold one of its places while the block runs."""
        with self._lock:
            slot = self._slots[host]
        with slot:
            self._wait(host)
            yield

    def pause(self, host: str, seconds: float) -> None:
        """Ask this host nothing for so long; every thread keeps to it."""
        with self._lock:
            self._next_start[host] = max(self._next_start[host], time.monotonic() + seconds)

    def slow_down(self, host: str, pause_s: float) -> None:
        """Leave at least so long between two requests to this host, from now on."""
        if pause_s > self._pause_s:
            with self._lock:
                self._slower[host] = max(self._slower.get(host, 0.0), pause_s)
                self._next_start[host] = max(self._next_start[host], time.monotonic() + pause_s)

    def _wait(self, host: str) -> None:
        pause = max(self._pause_s, self._slower.get(host, 0.0))
        while not self._stopped.is_set():
            with self._lock:
                now = time.monotonic()
                start = self._next_start[host]
                if start <= now:
                    self._next_start[host] = now + pause
                    return
            self._stopped.wait(min(start - now, 1.0))
