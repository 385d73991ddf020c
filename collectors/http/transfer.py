"""One transfer: limit the size of the body while it streams, and map every failure to its reason."""

from __future__ import annotations

import email.utils
import http.client
import time
from dataclasses import dataclass
from datetime import UTC
from typing import BinaryIO

import requests
from urllib3.exceptions import (
    DecodeError,
    InvalidChunkLength,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import IncompleteRead as Urllib3IncompleteRead
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from collectors.http.ssrf import DeadlineExceeded
from workspace.reasons import find_reason

# Every exception that a transfer raises because of the network or the server.
TRANSPORT_ERRORS = (requests.RequestException, Urllib3Error, OSError, UnicodeError, ValueError)
_RETRYABLE = frozenset(
    {408, 425, 429, 500, 502, 503, 504}
)  # and 520 to 529, Cloudflare's codes for failures of the origin server
_CHUNK_BYTES = 1 << 16


@dataclass(eq=False)
class AttemptFailed(Exception):
    """One attempt that failed.

    Attributes:
        reason: the name of a Reason (workspace/reasons.py).
        detail: a sentence for people.
        retryable: whether another attempt may succeed.
        http_status: the status code, or None without a response.
        wait_s: the wait that the server asks for, in seconds, or None.
        blames_host: whether the host is to blame, not this one file.
        sent: whether a request was sent at all.
        url: the hop that failed, once it is known.
        began: start of that hop, by time.monotonic.
        attempts: number of attempts, this one included.
        redirected_to: the redirect's target that failed; empty where the requested url itself did.
    """

    reason: str
    detail: str
    retryable: bool
    http_status: int | None = None
    wait_s: float | None = None
    blames_host: bool = False
    sent: bool = True
    url: str = ""
    began: float = 0.0
    attempts: int = 1
    redirected_to: str = ""

    @property
    def status(self) -> str:
        """The outcome of the reason in its registry: `failed`, or `refused` (it must not be fetched)."""
        reason = find_reason(self.reason)
        return reason.outcome if reason else "failed"


def check_status(response: requests.Response) -> None:
    """Check that the status is 200.

    Raises:
        AttemptFailed: `rate_limited` for 429, `http_<status>` for any other status.
    """
    code = response.status_code
    if code == 200:
        return
    reason = "rate_limited" if code == 429 else f"http_{code}"
    retryable = code in _RETRYABLE or 520 <= code < 530
    wait_s = retry_after_s(response.headers.get("Retry-After", "")) if retryable else None
    detail = f"the server answered {code} {(response.reason or '')[:100]}".strip()
    # A host that answers 429 after every pause is best left alone for this run.
    raise AttemptFailed(
        reason, detail, retryable, http_status=code, wait_s=wait_s, blames_host=code == 429 or 500 <= code < 600
    )


def stream(response: requests.Response, out: BinaryIO, max_bytes: int, *, truncate: bool = False) -> int:
    """Copy the body as it arrives, with content encodings undone.

    Args:
        response: with its body unread.
        out: emptied before the copy.
        max_bytes: maximum number of bytes to write.
        truncate: accept the first `max_bytes` of a larger body.

    Returns:
        The number of bytes written.

    Raises:
        AttemptFailed: `too_large`: the body has more than `max_bytes`.
    """
    declared = response.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes and not truncate:
        raise _too_large(max_bytes)
    out.seek(0)
    out.truncate()
    size = 0
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        size += len(chunk)
        if size > max_bytes:
            if not truncate:
                raise _too_large(max_bytes)
            out.write(chunk[: len(chunk) - (size - max_bytes)])
            return max_bytes
        out.write(chunk)
    return size


def _too_large(max_bytes: int) -> AttemptFailed:
    return AttemptFailed("too_large", f"larger than {max_bytes} bytes", retryable=False)


def transport_failure(error: Exception, host: str) -> AttemptFailed:
    """Map an exception of a transfer to its reason; network failures are retryable, invalid answers are not."""
    causes = _causes(error)
    text = f"{host}: {str(causes[-1])[:200]}"  # the innermost error is the shortest

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(NameResolutionError):
        return AttemptFailed(
            "unknown_host",
            f"the name {host} cannot be looked up; is this machine online?",
            retryable=True,
            blames_host=True,
        )
    if caused_by(DeadlineExceeded):
        return AttemptFailed(
            "too_slow",
            f"{host} did not finish within transfer_timeout_s",
            retryable=False,
            blames_host=True,
        )
    if caused_by(requests.Timeout, Urllib3Timeout, TimeoutError) and not caused_by(NewConnectionError):
        detail = f"{host} did not answer in time (connect_timeout_s, read_timeout_s)"
        return AttemptFailed("timeout", detail, retryable=True, blames_host=True)
    if isinstance(error, requests.exceptions.SSLError):
        return AttemptFailed("tls", text, retryable=False, blames_host=True)
    if isinstance(error, (requests.exceptions.InvalidURL, LocationValueError, UnicodeError)):
        return AttemptFailed("bad_url", text, retryable=False)
    if caused_by(DecodeError):
        return AttemptFailed("bad_encoding", text, retryable=False)
    if caused_by(Urllib3IncompleteRead, http.client.IncompleteRead) and not caused_by(InvalidChunkLength, ValueError):
        return AttemptFailed(
            "incomplete", f"{host} closed the connection before the end of the body: {text}", True, blames_host=True
        )
    if caused_by(*_NOT_HTTP) and not caused_by(http.client.RemoteDisconnected):
        return AttemptFailed("bad_http", f"{host} sent invalid HTTP: {text}", retryable=False)
    return AttemptFailed("connection", text, retryable=True, blames_host=True)


_NOT_HTTP = (http.client.HTTPException, InvalidChunkLength, requests.exceptions.InvalidHeader, ValueError)


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__ or _wrapped(causes[-1])) and cause not in causes:
        causes.append(cause)
    return causes


def _wrapped(error: BaseException) -> BaseException | None:
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", None)
    return reason if isinstance(reason, BaseException) else inner if isinstance(inner, BaseException) else None


def retry_after_s(value: str) -> float | None:
    """Parse a Retry-After header, seconds or a date (RFC 9110); None when it is absent or invalid.

    >>> retry_after_s("120")
    120.0
    """
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
