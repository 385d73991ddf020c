"""Record and replay (the cassette): keep every response in a folder, and run the same collection from it offline.

    recording.json    when the recording began, and the names (never the values) of the keys that were set
    answers.jsonl     one line per fetch: the url without keys, the time, and the outcome
    bodies/ab/abc…    the bodies, named by their sha256

Headers and forms are not recorded, and keys are removed from urls and texts, so that a recording can be shared.
Failures are recorded too. Of several fetches of one url, a body wins over a failure, and a later body over an earlier.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote, quote_plus

from collectors.http.recording_files import (
    body_file,
    read_header,
    read_or_make_header,
    read_responses,
    unwritable,
    write_header,
)
from workspace.clock import utc_now
from workspace.errors import TransferFailed, WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.names import local_path

NOT_KEPT = "not-kept"
"""Replaces a key or a token in a recording."""

_KEY_IN_URL = re.compile(r"\b((?:api_?key|access_token|client_secret|client_id|token)=)[^&\s'\"]+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class FetchResult:
    """A complete response: final url, status (None for a local file), content type, size in bytes, and attempts.

    `preferences` is what the owner says of machine learning with it, and where, when that is not refused.
    """

    final_url: str
    http_status: int | None
    content_type: str
    bytes: int
    attempts: int
    preferences: str = ""


SendRequest = Callable[[], FetchResult]
"""Sends the request over the network: fills the body, or raises TransferFailed."""


class Cassette(Protocol):
    """The layer between a session and the network: a pass-through, a recorder or a replayer."""

    def fetch(
        self, url: str, out: BinaryIO, send: SendRequest, *, is_form: bool, secrets: Collection[str]
    ) -> FetchResult:
        """Answer one request and write the body to `out`.

        Args:
            url: the requested url.
            out: receives the body; readable and seekable.
            send: sends the request over the network.
            is_form: whether it is a POST, whose response may hold a token.
            secrets: texts that must not be recorded.

        Raises:
            TransferFailed: the fetch failed, now or when it was recorded.
        """

    def now(self) -> str:
        """Return the time of this thread's latest response: UTC, ISO 8601, seconds."""

    def began(self) -> str:
        """Return the time for a fetch without a request, such as a local file: now, or when the recording began."""

    def close(self) -> None:
        """Close open files."""


def open_cassette(record: str, replay: str) -> Cassette:
    """Open the cassette of the settings; a pass-through to the network when both folders are empty.

    Raises:
        WorkspaceError: `replay` holds no recording, or `record` cannot be written.
    """
    if replay:
        return _Replayer(local_path(replay))
    return _Recorder(local_path(record)) if record else _PassThrough()


def record_key_names(record: str, names: Collection[str]) -> None:
    """Write the names of the keys that are set to the recording.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    header = read_or_make_header(local_path(record), utc_now())
    write_header(local_path(record), {**header, "keys": sorted({*header.get("keys", []), *names})})


def recorded_key_names(replay: str) -> tuple[str, ...]:
    """Return the names of the keys that were set while this recording was made.

    Raises:
        WorkspaceError: the folder holds no recording.
    """
    return tuple(read_header(local_path(replay)).get("keys", ()))


def without_keys(text: str) -> str:
    """Replace the value of every URL parameter that is named like a key by `***`."""
    return _KEY_IN_URL.sub(r"\1***", text)


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Replace each secret in a text, in every way of quoting it, by `***`."""
    for secret in secrets:
        for quoted in {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}:
            text = text.replace(quoted, "***")
    return text


class _PassThrough:
    """Sends every request over the network and records nothing."""

    def fetch(
        self, url: str, out: BinaryIO, send: SendRequest, *, is_form: bool, secrets: Collection[str]
    ) -> FetchResult:
        return send()

    def now(self) -> str:
        return utc_now()

    began = now

    def close(self) -> None:
        pass


class _CassetteClock:
    """A clock per thread that shows its latest response's time, so that a replay writes the recorded times."""

    def __init__(self, began: str) -> None:
        self._began = began
        self._thread = threading.local()

    def now(self) -> str:
        return str(getattr(self._thread, "time", self._began))

    def began(self) -> str:
        return self._began

    def _set_time(self, time: str) -> None:
        self._thread.time = time


class _Recorder(_CassetteClock):
    def __init__(self, folder: Path) -> None:
        header = read_or_make_header(folder, utc_now())
        write_header(folder, header)
        super().__init__(header["began"])
        self._folder = folder
        self._lock = threading.Lock()
        try:
            self._responses = (folder / "answers.jsonl").open("ab")
            if self._responses.tell():
                self._responses.write(b"\n")  # a run that was killed may have left half a line
        except OSError as error:
            raise unwritable(folder, error) from error

    def fetch(
        self, url: str, out: BinaryIO, send: SendRequest, *, is_form: bool, secrets: Collection[str]
    ) -> FetchResult:
        row: dict[str, Any] = {"asked": _request_key(url, is_form, secrets)}
        try:
            fetched = send()
        except TransferFailed as error:
            row["failed"] = {
                "status": error.status,
                "reason": error.reason,
                "detail": _redact(error.detail, secrets),
                "http_status": error.http_status,
                "attempts": error.attempts,
                "url": _redact(error.url, secrets),
            }
            self._write(row)
            raise
        out.seek(0)
        body = _redact_body(out.read(), secrets, is_form=is_form)
        row["sha256"] = hashlib.sha256(body).hexdigest()
        file = body_file(self._folder, row["sha256"])
        if not file.exists():
            write_atomic(file, body, durable=False)
        row["fetched"] = dataclasses.asdict(fetched) | {"final_url": _redact(fetched.final_url, secrets)}
        self._write(row)
        return fetched

    def close(self) -> None:
        self._responses.close()

    def _write(self, row: dict[str, Any]) -> None:
        time = utc_now()
        line = json.dumps(row | {"at": time}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            with self._lock:
                self._responses.write(line)
                self._responses.flush()
        except OSError as error:
            raise unwritable(self._folder, error) from error
        self._set_time(time)


class _Replayer(_CassetteClock):
    def __init__(self, folder: Path) -> None:
        super().__init__(read_header(folder)["began"])
        self._folder = folder
        self._responses = read_responses(folder / "answers.jsonl")

    def fetch(
        self, url: str, out: BinaryIO, send: SendRequest, *, is_form: bool, secrets: Collection[str]
    ) -> FetchResult:
        key = _request_key(url, is_form, secrets)
        row = self._responses.get(key)
        if row is None:
            self._set_time(self._began)
            raise TransferFailed("failed", "not_recorded", f"{key} is not in the recording {self._folder.name}")
        self._set_time(row["at"])
        if "failed" in row:
            failed = row["failed"]
            raise TransferFailed(
                failed["status"],
                failed["reason"],
                failed["detail"],
                http_status=failed["http_status"],
                attempts=failed["attempts"],
                url=failed.get("url", ""),  # which earlier recordings do not have
            )
        out.seek(0)
        out.truncate()
        out.write(self._body(row["sha256"]))
        return FetchResult(**row["fetched"])

    def close(self) -> None:
        self._responses.clear()

    def _body(self, sha256: str) -> bytes:
        file = body_file(self._folder, sha256)
        try:
            body = file.read_bytes()
        except OSError as error:
            raise WorkspaceError(
                f"the recording {self._folder} is incomplete: {file}: {error.strerror}; record it again"
            ) from error
        if hashlib.sha256(body).hexdigest() != sha256:
            raise WorkspaceError(
                f"the recording {self._folder} is damaged: the bytes of {file} do not match its name; record it again"
            )
        return body


def _request_key(url: str, is_form: bool, secrets: Collection[str]) -> str:
    return ("POST " if is_form else "GET ") + _redact(url, secrets)


def _redact(text: str, secrets: Collection[str]) -> str:
    """Remove the known secrets, and what is named like one."""
    return without_keys(without_secrets(text, secrets))


def _redact_body(body: bytes, secrets: Collection[str], *, is_form: bool) -> bytes:
    for secret in secrets:
        body = body.replace(secret.encode(), NOT_KEPT.encode())
    if not is_form:
        return body
    try:
        values = json.loads(body)
    except ValueError:
        return b""  # no source could read it, and it may hold anything
    if not isinstance(values, dict):
        return b""
    return json.dumps({key: NOT_KEPT if "token" in key else value for key, value in values.items()}).encode()
