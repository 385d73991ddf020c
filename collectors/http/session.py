"""One session for every request of a run: who we are, how fast, how often, how much, and where never.

Only public http and https addresses are asked, redirects are followed by hand so that every hop is checked, bodies
are capped while they stream, and a slow drip ends at a deadline. What may heal (time-outs, 429, 5xx) is tried again,
and a host that keeps failing is given up. What is crawled is asked as its owner wishes (collectors/http/robots.py).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO
from urllib.parse import urlsplit

import requests

from collectors.http import robots
from collectors.http.circuit_breaker import CircuitBreaker
from collectors.http.rate_limit import RateLimiter
from collectors.http.recording import FetchResult, open_cassette
from collectors.http.ssrf import AddressPolicy, AddressPolicyAdapter
from collectors.http.transfer import TRANSPORT_ERRORS, AttemptFailed, check_status, stream, transport_failure
from collectors.http.urls import host_port, origin, parse_url, redirect_target
from workspace.config.collect import NetworkConfig
from workspace.errors import TransferFailed

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FIRST_BACKOFF_S = 0.5
_MAX_BACKOFF_S = 30.0


class PoliteSession:
    """Fetches urls for one run; safe to use from many threads; a context manager.

    Args:
        network: patience, contact, the address rule, and whose wishes are honoured.
        connections: most transfers at a time, over all hosts.
        per_host_connections: most transfers at a time from one host.
        host_pauses_s: hosts that ask for a longer pause; registry.open_session knows those of the sources.
    """

    def __init__(
        self,
        network: NetworkConfig,
        *,
        connections: int = 4,
        per_host_connections: int = 4,
        host_pauses_s: Mapping[str, float] | None = None,
    ) -> None:
        self.network = network
        self._cassette = open_cassette(network.record, network.replay)
        self.stopped = threading.Event()
        self._rate_limiter = RateLimiter(
            pause_s=network.per_host_pause_s,
            connections=per_host_connections,
            stopped=self.stopped,
            host_pauses_s=host_pauses_s,
        )
        self._breaker = CircuitBreaker(limit=network.give_up_after, pause_s=network.give_up_s)
        self._robots = robots.Robots(
            self._fetch_robots,
            self._rate_limiter,
            max_delay_s=network.longest_crawl_delay_s,
            recheck_after_s=network.give_up_s,
        )
        self._session = requests.Session()
        # A proxy would hide the address that is connected to, and with it the address rule.
        self._session.trust_env = False
        contact = f"; {network.contact}" if network.contact else ""
        self._session.headers["User-Agent"] = f"{robots.PRODUCT}/0.1 (image classifier training{contact})"
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

    def now(self) -> str:
        """When this thread's latest answer came, in a replay as it was recorded: UTC, ISO 8601."""
        return self._cassette.now()

    def began(self) -> str:
        """The time for what asks nobody, such as a local file: now, or when the recording was begun."""
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
    ) -> FetchResult:
        """Fetch one url into `out`, which is emptied before each try; a replay gives what was recorded.

        Args:
            url: http or https, without user information.
            out: writable and seekable.
            max_bytes: the largest body, after any content encoding is undone.
            accept: what to ask for.
            headers: more headers, such as a key; a redirect to another origin does not get them.
            form: sent as a POST, which is never sent on to where a redirect points.
            crawled: a page or a file that was found, not a question to an API: robots.txt and opt-outs count.
            secrets: what a recording must not keep of the url, the answer and its errors.

        Raises:
            TransferFailed: it could not be fetched, or may not be; says why and how often it was tried.
        """
        question = _Question(url, out, max_bytes, {**(headers or {}), "Accept": accept}, form, crawled)

        def ask() -> FetchResult:
            try:
                return self._answer(question)
            except AttemptFailed as error:
                failure = error
            raise TransferFailed(
                failure.status,
                failure.reason,
                failure.detail,
                http_status=failure.http_status,
                attempts=failure.attempts,
            ) from None

        return self._cassette.fetch(url, out, ask, is_form=form is not None, secrets=secrets)

    def _fetch_robots(self, url: str, out: BinaryIO) -> None:
        self._answer(_Question(url, out, robots.MAX_BYTES, {"Accept": "text/plain,*/*;q=0.5"}, truncate=True))

    def _answer(self, question: _Question) -> FetchResult:
        """Try until it works, cannot heal, or has been tried often enough."""
        last: AttemptFailed | None = None
        for attempt in range(1, self.network.attempts + 1):
            try:
                return self._follow(question, attempt)
            except AttemptFailed as failure:
                if last is not None and not failure.sent:
                    break  # its host was given up meanwhile; what it met itself says more
                last = failure
                last.attempts = attempt if failure.sent else 0
            if not last.retryable or attempt == self.network.attempts or not self._may_wait(last, attempt):
                break
        assert last is not None  # attempts is at least 1
        # An API that says 429 is busy with us, and its source says so; of a site's files there may be thousands more.
        if last.blames_host and (question.crawled or last.reason != "rate_limited"):
            self._breaker.record_failure(host_port(last.url), last.reason, last.began)
        raise last

    def _may_wait(self, failure: AttemptFailed, attempt: int) -> bool:
        """Wait as long as the server asks for, or a random while that grows; False when it asks for too much."""
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

    def _follow(self, question: _Question, attempt: int) -> FetchResult:
        here = question.url
        for _ in range(self.network.max_redirects + 1):
            answer = self._hop(question, here, attempt)
            if isinstance(answer, FetchResult):
                return answer
            here = redirect_target(here, answer)
        raise AttemptFailed("too_many_redirects", f"more than {self.network.max_redirects} redirects", retryable=False)

    def _hop(self, question: _Question, here: str, attempt: int) -> FetchResult | str:
        """Ask one address: the answer, or where it sends us."""
        host = parse_url(here).hostname or ""
        is_trial = self._breaker.admit(host_port(here))
        if question.crawled and self.network.robots:
            self._robots.check(here)
        with self._rate_limiter.slot(host):
            if self.stopped.is_set():
                raise AttemptFailed("stopped", "the run was stopped", retryable=False, sent=False)
            if not is_trial:
                self._breaker.admit(host_port(here))  # what was learnt while this thread waited for its turn
            began = time.monotonic()
            try:
                with self._request(here, question) as response:
                    answer = self._read(response, question, here, attempt)
            except AttemptFailed as failure:
                failure.url, failure.began = here, began
                if not failure.blames_host:
                    self._breaker.record_success(host_port(here))
                raise
            except TransferFailed as refusal:  # by the policy at the socket
                raise AttemptFailed(refusal.reason, refusal.detail, retryable=False, url=here) from refusal
            except TRANSPORT_ERRORS as error:
                broken = transport_failure(error, host)
                broken.url, broken.began = here, began
                raise broken from error
        self._breaker.record_success(host_port(here))
        return answer

    def _read(self, response: requests.Response, question: _Question, here: str, attempt: int) -> FetchResult | str:
        if response.status_code in _REDIRECTS and "Location" in response.headers and question.form is None:
            return response.headers["Location"]
        check_status(response)
        if question.crawled and self.network.opt_outs:
            said = robots.header_opt_out(response.raw.headers.getlist("X-Robots-Tag"))
            if said:
                raise AttemptFailed("opted_out", f"its X-Robots-Tag says {said}", retryable=False)
        size = stream(response, question.out, question.max_bytes, truncate=question.truncate)
        return FetchResult(here, response.status_code, response.headers.get("Content-Type", ""), size, attempt)

    def _request(self, url: str, question: _Question) -> requests.Response:
        same = url == question.url or origin(url) == origin(question.url)
        request = self._session.prepare_request(
            requests.Request(
                "GET" if question.form is None else "POST",
                url,
                data=question.form,
                headers=dict(question.headers if same else {"Accept": question.headers["Accept"]}),
            )
        )
        # Not by Session.send, which reads the whole body of a redirect, however long it is, and keeps cookies.
        return self._session.get_adapter(request.url or url).send(
            request, stream=True, timeout=(self.network.connect_timeout_s, self.network.read_timeout_s)
        )


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked; as for PoliteSession.fetch. `cut`: be content with the start of a larger body."""

    url: str
    out: BinaryIO
    max_bytes: int
    headers: Mapping[str, str]
    form: Mapping[str, str] | None = None
    crawled: bool = False
    truncate: bool = False
