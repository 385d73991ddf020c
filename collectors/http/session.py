"""The HTTP session of a run: identification, rate limits, retries, size limits, deadlines, address policy.

Only http and https urls at public addresses are requested. Redirects are followed here, so that every hop is checked.
Bodies are capped while they stream, and a slow response ends at a deadline. Transient failures (time-outs, 429, 5xx)
are retried, and a host that keeps failing is given up. Crawled pages and files obey robots.txt, opt-outs and
reservations (collectors/http/usage_preferences.py).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO
from urllib.parse import urlsplit

import requests

from collectors.http import robots
from collectors.http.hosts.circuit_breaker import CircuitBreaker
from collectors.http.hosts.lane import LaneOfHosts, LaneState, RedirectedElsewhere
from collectors.http.hosts.rate_limit import RateLimiter
from collectors.http.recording import FetchResult, open_cassette
from collectors.http.ssrf import AddressPolicy, AddressPolicyAdapter
from collectors.http.tdmrep import MAX_BYTES as TDMREP_BYTES
from collectors.http.tdmrep import TdmReservations
from collectors.http.transfer import TRANSPORT_ERRORS, AttemptFailed, check_status, stream, transport_failure
from collectors.http.urls import host_port, origin, parse_url, redirect_target
from collectors.http.usage_preferences import PRODUCT, Preference, header_preferences
from workspace.config.collect import NetworkConfig
from workspace.errors import TransferFailed
from workspace.reasons import OPTED_OUT, RESERVED

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FIRST_BACKOFF_S = 0.5
_MAX_BACKOFF_S = 30.0
_MAX_PREFERENCES = 500  # characters that are kept of what an owner says of machine learning


class PoliteSession:
    """Fetch urls for one run; safe to use from many threads; a context manager.

    Args:
        network: timeouts, retries, contact, address policy; whether robots.txt, opt-outs and reservations are obeyed.
        connections: maximum of parallel transfers over all hosts.
        per_host_connections: maximum of parallel transfers from one host.
        host_pauses_s: hosts that need a longer pause; registry.open_session passes those of the sources.
        lane: which hosts are asked here, where other sessions ask others; None: all are.

    Example:
        A private address is refused before anything is sent:

        >>> import io
        >>> with PoliteSession(NetworkConfig()) as session:
        ...     session.fetch("http://127.0.0.1/red-panda.jpg", io.BytesIO(), max_bytes=10_000_000)
        Traceback (most recent call last):
        ...
        workspace.errors.TransferFailed: private_address: 127.0.0.1 is 127.0.0.1, ...
    """

    def __init__(
        self,
        network: NetworkConfig,
        *,
        connections: int = 4,
        per_host_connections: int = 4,
        host_pauses_s: Mapping[str, float] | None = None,
        lane: LaneOfHosts | None = None,
    ) -> None:
        self.network = network
        self._lane = lane or LaneOfHosts()
        self._cassette = open_cassette(network.record, network.replay)
        self.stopped = threading.Event()
        self._rate_limiter = RateLimiter(
            pause_s=network.per_host_pause_s,
            connections=per_host_connections,
            stopped=self.stopped,
            host_pauses_s=host_pauses_s,
            asked_before=lane is not None,
        )
        for host, seconds in self._lane.state.rests_s.items():
            self._rate_limiter.pause(host, seconds)
        self._breaker = CircuitBreaker(
            limit=network.give_up_after, pause_s=network.give_up_s, known=self._lane.state.failures
        )
        self._robots = robots.Robots(
            self._fetch_robots,
            self._rate_limiter,
            max_delay_s=network.longest_crawl_delay_s,
            recheck_after_s=network.give_up_s,
        )
        self._tdm = TdmReservations(self._fetch_tdmrep, recheck_after_s=network.give_up_s)
        self._obeyed = {OPTED_OUT: network.opt_outs, RESERVED: network.reservations}
        self._session = requests.Session()
        # A proxy would connect in our place, so the address policy could not check the address.
        self._session.trust_env = False
        contact = f"; {network.contact}" if network.contact else ""
        self._session.headers["User-Agent"] = f"{PRODUCT}/0.1 (image classifier training{contact})"
        policy = AddressPolicy(network.allow_private_addresses, network.private_hosts, network.transfer_timeout_s)
        adapter = AddressPolicyAdapter(policy, connections=connections)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def __enter__(self) -> PoliteSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._session.close()
        self._cassette.close()

    def lane_state(self) -> LaneState:
        """Return what the next session of these hosts must know: how long they rest, and which of them fail."""
        return LaneState(self._rate_limiter.rests(), self._breaker.failures())

    def now(self) -> str:
        """Return the time of this thread's latest response, in a replay the recorded one: UTC, ISO 8601."""
        return self._cassette.now()

    def began(self) -> str:
        """Return the time for a fetch without a request, such as a local file: now, or when the recording began."""
        return self._cassette.began()

    def fetch(
        self,
        url: str,
        out: BinaryIO,
        *,
        max_bytes: int,
        accept: str = "*/*",
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        crawled: bool = False,
        secrets: Collection[str] = (),
        redirects: int = 0,
    ) -> FetchResult:
        """Fetch one url into `out`, which is emptied before each attempt; a replay returns the recorded response.

        Args:
            url: http or https, without user name or password.
            out: writable and seekable.
            max_bytes: the largest body, after content encodings are undone.
            accept: the Accept header.
            headers: more headers, such as a key; not sent to another origin after a redirect.
            form: sent as a POST, whose redirects are not followed.
            crawled: whether it is a page or a file, not an API request: robots.txt, opt-outs and reservations apply.
            secrets: texts that must not be recorded from the url, the response or its errors.
            redirects: how many were followed before this url.

        Raises:
            TransferFailed: the fetch failed or is refused; holds the reason and the number of attempts.
            RedirectedElsewhere: it goes on at a host that another session asks.
        """
        request = _Request(
            url, out, max_bytes, {**(headers or {}), "Accept": accept}, form, crawled, redirects=redirects
        )

        def send() -> FetchResult:
            try:
                return self._fetch_with_retries(request)
            except AttemptFailed as error:
                failure = error
            raise TransferFailed(
                failure.status,
                failure.reason,
                failure.detail,
                http_status=failure.http_status,
                attempts=failure.attempts,
                url=failure.redirected_to,
            ) from None

        return self._cassette.fetch(url, out, send, is_form=form is not None, secrets=secrets)

    def _fetch_robots(self, url: str, out: BinaryIO) -> None:
        request = _Request(url, out, robots.MAX_BYTES, {"Accept": "text/plain,*/*;q=0.5"}, truncate=True)
        with self._lane.of_site(url):
            self._fetch_with_retries(request)

    def _fetch_tdmrep(self, url: str, out: BinaryIO) -> None:
        if self.network.robots:
            self._robots.check(url)
        with self._lane.of_site(url):
            self._follow_redirects(_Request(url, out, TDMREP_BYTES, {"Accept": "application/json"}), attempt=1)

    def _fetch_with_retries(self, request: _Request) -> FetchResult:
        """Retry until the request succeeds, its failure is permanent, or the attempts are used up."""
        last: AttemptFailed | None = None
        for attempt in range(1, self.network.attempts + 1):
            try:
                return self._follow_redirects(request, attempt)
            except AttemptFailed as failure:
                if last is not None and not failure.sent:
                    break  # its host was given up meanwhile; the failure of its own attempt says more
                last = failure
                last.attempts = attempt if failure.sent else 0
            if not last.retryable or attempt == self.network.attempts or not self._wait_before_retry(last, attempt):
                break
        assert last is not None  # attempts is at least 1
        # A 429 of an API is reported by its source; a site may have thousands more files that would each meet it.
        if last.blames_host and (request.crawled or last.reason != "rate_limited"):
            self._breaker.record_failure(host_port(last.url), last.reason, last.began)
        raise last

    def _wait_before_retry(self, failure: AttemptFailed, attempt: int) -> bool:
        """Wait as long as the server asks, else a random, growing time; return False when it asks for too long."""
        wait_s = failure.wait_s
        if wait_s is None:
            # Full jitter (M. Brooker, "Exponential Backoff and Jitter"); timing only, no result depends on it.
            wait_s = random.uniform(0, min(_FIRST_BACKOFF_S * 2**attempt, _MAX_BACKOFF_S))
            if failure.reason != "rate_limited":
                self.stopped.wait(wait_s)
                return not self.stopped.is_set()
        elif wait_s > self.network.longest_wait_s:
            failure.detail += f"; it asks for {wait_s:.0f} s, longer than longest_wait_s"
            failure.detail += f" = {self.network.longest_wait_s:g}"
            return False
        self._rate_limiter.pause(urlsplit(failure.url).hostname or "", wait_s)  # its other urls wait too
        return True

    def _follow_redirects(self, request: _Request, attempt: int) -> FetchResult:
        url = request.url
        for followed in range(request.redirects, self.network.max_redirects + 1):
            try:
                answer = self._send_hop(request, url, attempt)
            except AttemptFailed as failure:
                failure.redirected_to = url if url != request.url else ""
                raise
            if isinstance(answer, FetchResult):
                return answer
            url = redirect_target(url, answer)
            if followed < self.network.max_redirects and not self._lane.has(url):
                raise RedirectedElsewhere(url, followed + 1, attempt)
        raise AttemptFailed("too_many_redirects", f"more than {self.network.max_redirects} redirects", retryable=False)

    def _send_hop(self, request: _Request, url: str, attempt: int) -> FetchResult | str:
        """Send one request: return the response, or the Location of a redirect."""
        host = parse_url(url).hostname or ""
        is_trial = self._breaker.admit(host_port(url))
        stated: list[Preference] = []
        if request.crawled:
            with self._breaker.trial(host_port(url)) if is_trial else nullcontext():
                stated = self._check_site(url)
        with self._rate_limiter.slot(host):
            if self.stopped.is_set():
                raise AttemptFailed("stopped", "the run was stopped", retryable=False, sent=False)
            if not is_trial:
                self._breaker.admit(host_port(url))  # it may have been given up while this thread waited
            began = time.monotonic()
            try:
                with self._open_response(url, request) as response:
                    answer = self._read_response(response, request, url, attempt, stated)
            except AttemptFailed as failure:
                failure.url, failure.began = url, began
                if not failure.blames_host:
                    self._breaker.record_success(host_port(url))
                raise
            except TransferFailed as refusal:  # by the address policy at the socket
                raise AttemptFailed(refusal.reason, refusal.detail, retryable=False, url=url) from refusal
            except TRANSPORT_ERRORS as error:
                broken = transport_failure(error, host)
                broken.url, broken.began = url, began
                raise broken from error
        self._breaker.record_success(host_port(url))
        return answer

    def refusal(self, stated: Iterable[Preference]) -> Preference | None:
        """Return the first of the owner's preferences that the settings obey and that refuses training, if any."""
        return next((preference for preference in stated if self._obeyed.get(preference.reason)), None)

    def _check_site(self, url: str) -> list[Preference]:
        """Check a url against the files of its site; return what they say of machine learning.

        Raises:
            AttemptFailed: robots.txt or tdmrep.json refuses it.
        """
        if self.network.robots:
            self._robots.check(url)
        obeyed = self.network.reservations
        stated = self._robots.preferences(url) if self.network.robots or obeyed else []
        self._check_preferences(stated)  # before tdmrep.json is requested
        if not obeyed:
            return stated  # to be recorded
        self._check_preferences(reservations := self._tdm.preferences(url))
        return stated + reservations

    def _check_preferences(self, stated: Iterable[Preference]) -> None:
        if refusal := self.refusal(stated):
            raise AttemptFailed(refusal.reason, refusal.text, retryable=False)

    def _read_response(
        self, response: requests.Response, request: _Request, url: str, attempt: int, stated: list[Preference]
    ) -> FetchResult | str:
        if response.status_code in _REDIRECTS and "Location" in response.headers and request.form is None:
            return response.headers["Location"]
        check_status(response)
        if request.crawled:
            stated = stated + header_preferences(response.raw.headers)
            self._check_preferences(stated)
        size = stream(response, request.out, request.max_bytes, truncate=request.truncate)
        content_type = response.headers.get("Content-Type", "")
        said = "; ".join(preference.text for preference in stated)[:_MAX_PREFERENCES]
        return FetchResult(url, response.status_code, content_type, size, attempt, said)

    def _open_response(self, url: str, request: _Request) -> requests.Response:
        same_origin = url == request.url or origin(url) == origin(request.url)
        prepared = self._session.prepare_request(
            requests.Request(
                "GET" if request.form is None else "POST",
                url,
                data=request.form,
                headers=dict(request.headers if same_origin else {"Accept": request.headers["Accept"]}),
            )
        )
        # Not Session.send, which reads the whole body of a redirect, however long, and keeps cookies.
        return self._session.get_adapter(prepared.url or url).send(
            prepared, stream=True, timeout=(self.network.connect_timeout_s, self.network.read_timeout_s)
        )


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of PoliteSession.fetch; `truncate`: accept the first `max_bytes` of a larger body."""

    url: str
    out: BinaryIO
    max_bytes: int
    headers: Mapping[str, str]
    form: Mapping[str, str] | None = None
    crawled: bool = False
    truncate: bool = False
    redirects: int = 0
