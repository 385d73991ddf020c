"""One session for every request of a run: who we are, how fast, how often, how much, and where never.

Only public http and https addresses are asked, redirects are followed by hand so that every hop is checked, bodies
are capped while they stream, and a slow drip ends at a deadline. What may heal (time-outs, 429, 5xx) is tried again.
"""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import NameResolutionError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from collectors.address import GuardedAdapter
from collectors.pace import HostPace
from collectors.recording import Fetched, open_tape
from workspace.collect_config import NetworkConfig
from workspace.errors import TransferFailed

_MAY_HEAL = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 1 << 16
_FIRST_BACKOFF_S = 0.5


@dataclass(eq=False)
class _Attempt(Exception):
    """One try that failed: whether another may help, and how long the server asks us to wait."""

    reason: str
    detail: str
    heals: bool
    http_status: int | None = None
    wait_s: float | None = None
    status: str = "failed"


class PoliteSession:
    """Fetches urls for one run; safe to use from many threads; a context manager.

    Args:
        network: patience, contact and the address rule.
        connections: most transfers at a time, over all hosts.
        per_host_connections: most transfers at a time from one host.
    """

    def __init__(self, network: NetworkConfig, *, connections: int = 4, per_host_connections: int = 4) -> None:
        self._network = network
        self._tape = open_tape(network.record, network.replay)
        self.stopped = threading.Event()
        self._pace = HostPace(pause_s=network.per_host_pause_s, connections=per_host_connections, stopped=self.stopped)
        self._session = requests.Session()
        # A proxy would hide the address that is connected to, and with it the address rule.
        self._session.trust_env = False
        contact = f"; {network.contact}" if network.contact else ""
        self._session.headers["User-Agent"] = f"collect-and-train/0.1 (image classifier training{contact})"
        adapter = GuardedAdapter(allow_private=network.allow_private_addresses, connections=connections)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def __enter__(self) -> PoliteSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._session.close()
        self._tape.close()

    def now(self) -> str:
        """When this thread's latest answer came, in a replay as it was recorded: UTC, ISO 8601."""
        return self._tape.now()

    def began(self) -> str:
        """The time for what asks nobody, such as a local file: now, or when the recording was begun."""
        return self._tape.began()

    def fetch(
        self,
        url: str,
        out: BinaryIO,
        *,
        max_bytes: int,
        accept: str = "*/*",
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        secrets: Collection[str] = (),
    ) -> Fetched:
        """Fetch one url into `out`, which is emptied before each try; a replay gives what was recorded.

        Args:
            url: http or https, without user information.
            out: writable and seekable.
            max_bytes: the largest body, after any content encoding is undone.
            accept: what to ask for.
            headers: more headers, such as a key; a redirect to another origin does not get them.
            form: sent as a POST, which is never sent on to where a redirect points.
            secrets: what a recording must not keep of the url, the answer and its errors.

        Raises:
            TransferFailed: it could not be fetched, or may not be; says why and how often it was tried.
        """

        def ask() -> Fetched:
            return self._fetch(url, out, max_bytes, {**(headers or {}), "Accept": accept}, form)

        return self._tape.fetch(url, out, ask, is_form=form is not None, secrets=secrets)

    def _fetch(
        self, url: str, out: BinaryIO, max_bytes: int, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Fetched:
        attempt = 1
        while True:
            try:
                return self._follow(url, out, max_bytes, headers, form, attempt)
            except _Attempt as failure:
                last = failure
            if not last.heals or attempt >= self._network.attempts or self.stopped.is_set():
                break
            if not self._may_wait(url, last, attempt):
                break
            attempt += 1
        raise TransferFailed(
            last.status, last.reason, last.detail, http_status=last.http_status, attempts=attempt
        ) from None

    def _may_wait(self, url: str, failure: _Attempt, attempt: int) -> bool:
        if failure.wait_s is None:
            # Full jitter (M. Brooker, "Exponential Backoff and Jitter"); timing only, no result depends on it.
            self.stopped.wait(random.uniform(0, _FIRST_BACKOFF_S * 2**attempt))
            return True
        if failure.wait_s > self._network.longest_wait_s:
            failure.detail += (
                f"; it asks for {failure.wait_s:.0f} s, longer than longest_wait_s = {self._network.longest_wait_s:g}"
            )
            return False
        self._pace.silence(urlsplit(url).hostname or "", failure.wait_s)
        return True

    def _follow(
        self,
        url: str,
        out: BinaryIO,
        max_bytes: int,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None,
        attempt: int,
    ) -> Fetched:
        here = url
        accept_only = {"Accept": headers["Accept"]}
        for _ in range(self._network.max_redirects + 1):
            host = _allowed_host(here)
            with self._pace.turn(host):
                deadline = time.monotonic() + self._network.transfer_timeout_s
                try:
                    own = headers if _origin(here) == _origin(url) else accept_only
                    with self._request(here, own, form) as response:
                        if response.status_code in _REDIRECTS and "Location" in response.headers and form is None:
                            here = urljoin(here, response.headers["Location"])
                            continue
                        _check_status(response)
                        size = _stream(response, out, max_bytes, deadline)
                        content_type = response.headers.get("Content-Type", "")
                        return Fetched(here, response.status_code, content_type, size, attempt)
                except (requests.RequestException, Urllib3Error, OSError, UnicodeError, ValueError) as error:
                    raise _transport_failure(error, host) from error
        raise _Attempt("too_many_redirects", f"more than {self._network.max_redirects} redirects", heals=False)

    def _request(self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> requests.Response:
        return self._session.request(
            "GET" if form is None else "POST",
            url,
            data=form,
            stream=True,
            allow_redirects=False,
            timeout=(self._network.connect_timeout_s, self._network.read_timeout_s),
            headers=dict(headers),
        )


def _allowed_host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise _Attempt("bad_url", f"{url!r} is not a url: {error}", heals=False, status="refused") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise _Attempt("bad_url", f"{url[:200]!r} is not an http or https address", heals=False, status="refused")
    if parts.username is not None or parts.password is not None:
        raise _Attempt("bad_url", "the address carries a user name or password", heals=False, status="refused")
    return host


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _check_status(response: requests.Response) -> None:
    code = response.status_code
    if code == 200:
        return
    reason = "rate_limited" if code == 429 else f"http_{code}"
    heals = code in _MAY_HEAL
    wait_s = retry_after_s(response.headers.get("Retry-After", "")) if heals else None
    raise _Attempt(reason, f"the server answered {code} {response.reason}", heals, http_status=code, wait_s=wait_s)


def _stream(response: requests.Response, out: BinaryIO, max_bytes: int, deadline: float) -> int:
    """Copy the body piece by piece as it arrives; `read1` returns at each piece, so the deadline is seen in time."""
    declared = response.headers.get("Content-Length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    out.seek(0)
    out.truncate()
    size = 0
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if time.monotonic() > deadline:
            raise _Attempt("too_slow", f"{size} bytes came, then transfer_timeout_s was over", heals=False)
        out.write(chunk)
    return size


def _too_large(max_bytes: int) -> _Attempt:
    return _Attempt("too_large", f"larger than {max_bytes} bytes", heals=False, status="refused")


def _transport_failure(error: Exception, host: str) -> _Attempt:
    """Give a failed transfer its short reason; whatever broke on the way may be whole at the next try."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__ or _wrapped(causes[-1])) and cause not in causes:
        causes.append(cause)
    text = f"{host}: {str(causes[-1])[:200]}"  # the innermost says it shortest
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return _Attempt("unknown_host", f"the name {host} cannot be looked up; is there a network?", heals=True)
    if any(isinstance(cause, (requests.Timeout, Urllib3Timeout, TimeoutError)) for cause in causes):
        return _Attempt("timeout", f"{host} did not answer in time (connect_timeout_s, read_timeout_s)", heals=True)
    if isinstance(error, requests.exceptions.SSLError):
        return _Attempt("tls", text, heals=False)
    if isinstance(error, (requests.exceptions.InvalidURL, UnicodeError)):
        return _Attempt("bad_url", text, heals=False, status="refused")
    return _Attempt("connection", text, heals=True)


def _wrapped(error: BaseException) -> BaseException | None:
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", None)
    return reason if isinstance(reason, BaseException) else inner if isinstance(inner, BaseException) else None


def retry_after_s(value: str) -> float | None:
    """Read a Retry-After header in either form, seconds or a date; None when it is absent or unreadable (RFC 9110)."""
    value = value.strip()
    if value.isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
