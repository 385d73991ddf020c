"""Giving up on a host that keeps failing, so that its thousand urls do not each wait for a time-out."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from collectors.http.transfer import AttemptFailed
from workspace.reasons import GIVEN_UP


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last_good: float = float("-inf")
    trial_at: float | None = None  # set while the host is given up: when one url may try it again
    reason: str = ""


class CircuitBreaker:
    """Counts, per host, the urls in a row that failed for reasons of the host; shared by all threads of a run.

    A failure counts only if its last try began after the host's last good answer: of many transfers at a time, the
    one bad file that ends last says nothing about a host that has answered since.

    Args:
        limit: failures in a row after which a host is given up.
        pause_s: how long it is left alone before one url may try again, in seconds.
    """

    def __init__(self, *, limit: int, pause_s: float) -> None:
        self._limit = limit
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}

    def admit(self, host: str) -> bool:
        """Let a request to this host pass.

        Returns:
            Whether it is the trial of a host that was given up.

        Raises:
            AttemptFailed: `host_given_up`: it was given up, and it is not yet time for a trial.
        """
        with self._lock:
            record = self._records.get(host)
            if record is None or record.trial_at is None:
                return False
            now = time.monotonic()
            if now >= record.trial_at:
                record.trial_at = now + self._pause_s  # one url tries, the others go on waiting for what it meets
                return True
            detail = f"{host} failed {record.failures} times in a row, last with {record.reason}, and was given up"
        raise AttemptFailed(GIVEN_UP, detail, retryable=False, sent=False)

    def record_success(self, host: str) -> None:
        """The host gave an answer, whatever it was, that shows it to be alive."""
        with self._lock:
            record = self._records.get(host)
            if record is None:
                record = self._records[host] = _Record()
            record.failures, record.trial_at, record.last_good = 0, None, time.monotonic()

    def record_failure(self, host: str, reason: str, began: float) -> None:
        """A url of this host failed for a reason of the host.

        Args:
            host: as for admit.
            reason: the short word, for the text of what is skipped.
            began: when its last try began, by time.monotonic.
        """
        with self._lock:
            record = self._records.setdefault(host, _Record())
            if began < record.last_good:
                return
            record.failures += 1
            record.reason = reason
            if record.failures >= self._limit:
                record.trial_at = time.monotonic() + self._pause_s
