"""Circuit breaker: stop requesting a host that keeps failing, so that its remaining urls do not all time out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from collectors.http.transfer import AttemptFailed
from workspace.reasons import GIVEN_UP


@dataclass(slots=True)
class _HostState:
    failures: int = 0
    last_success: float = float("-inf")
    trial_at: float | None = None  # set while the circuit is open: when one request may try the host again
    reason: str = ""
    trial_thread: int | None = None  # whose requests belong to the trial
    is_tried: bool = False  # whether a file of its site was asked for in the trial


@dataclass(frozen=True, slots=True)
class HostFailures:
    """What is known of a host that fails.

    Attributes:
        failures: in a row.
        reason: of the last one.
        trial_in_s: seconds until one request may try it again; None: it was not given up.
    """

    failures: int
    reason: str
    trial_in_s: float | None


class CircuitBreaker:
    """Count consecutive failures per host and give a host up at a limit; shared by all threads of a run.

    A failure counts only if its last attempt began after the host's last success: with parallel transfers, the one
    bad file that ends last says nothing about a host that has answered since.

    Args:
        limit: consecutive failures after which a host is given up.
        pause_s: seconds until one request may try a host again that was given up.
        known: failures that others have met just before, by host.
    """

    def __init__(self, *, limit: int, pause_s: float, known: Mapping[str, HostFailures] | None = None) -> None:
        self._limit = limit
        self._pause_s = pause_s
        self._lock = threading.Lock()
        now = time.monotonic()
        self._hosts = {
            host: _HostState(
                state.failures,
                reason=state.reason,
                trial_at=None if state.trial_in_s is None else now + state.trial_in_s,
            )
            for host, state in (known or {}).items()
        }

    def failures(self) -> dict[str, HostFailures]:
        """Return what is known of the hosts that fail, for whoever asks them next."""
        with self._lock:
            now = time.monotonic()
            return {
                host: HostFailures(
                    state.failures, state.reason, None if state.trial_at is None else max(0.0, state.trial_at - now)
                )
                for host, state in self._hosts.items()
                if state.failures
            }

    def admit(self, host: str) -> bool:
        """Check that a request to this host may be sent.

        Returns:
            Whether this request is the trial of a host that was given up.

        Raises:
            AttemptFailed: `host_given_up`: the host was given up and the pause is not over.
        """
        with self._lock:
            state = self._hosts.get(host)
            if state is None or state.trial_at is None:
                return False
            if state.trial_thread == threading.get_ident():
                state.is_tried = True
                return True
            now = time.monotonic()
            if now >= state.trial_at:
                state.trial_at = now + self._pause_s  # one request tries, the others wait for its result
                return True
            detail = f"{host} failed {state.failures} times in a row, last with {state.reason}, and was given up"
        raise AttemptFailed(GIVEN_UP, detail, retryable=False, sent=False)

    @contextmanager
    def trial(self, host: str) -> Iterator[None]:
        """Admit, as part of a trial, what this thread requests from the host in the block.

        The files of the host's site are needed before the url that tries the host; refusing them would end every trial.
        Where what is known of the site refuses the url, nothing was asked, and the next request is the trial.
        """
        state = self._hosts[host]
        with self._lock:
            state.trial_thread, state.is_tried = threading.get_ident(), False
        try:
            yield
        except AttemptFailed:
            with self._lock:
                if not state.is_tried and state.trial_at is not None:  # None: the host has answered meanwhile
                    state.trial_at = time.monotonic()
            raise
        finally:
            with self._lock:
                state.trial_thread = None

    def record_success(self, host: str) -> None:
        """Record a response that shows the host to be alive, whatever its status."""
        with self._lock:
            state = self._hosts.get(host)
            if state is None:
                state = self._hosts[host] = _HostState()
            state.failures, state.trial_at, state.last_success = 0, None, time.monotonic()

    def record_failure(self, host: str, reason: str, began: float) -> None:
        """Record a failure for which the host is to blame.

        Args:
            host: as for admit.
            reason: the name of the reason, for the text of later refusals.
            began: start of the last attempt, by time.monotonic.
        """
        with self._lock:
            state = self._hosts.setdefault(host, _HostState())
            if began < state.last_success:
                return
            state.failures += 1
            state.reason = reason
            if state.failures >= self._limit:
                state.trial_at = time.monotonic() + self._pause_s
