"""Record and replay: every answer of the network is kept in a folder, and the same collection runs from it offline.

    recording.json    when it was begun, and the names (never the values) of the keys that were set
    answers.jsonl     one line per fetch: the address without keys, when, and what came of it
    bodies/ab/abc…    the bodies, named by their sha256

Headers and forms are not kept, and keys are cut out of addresses and texts, so that a recording can be shared. Failures
are answers too. Where an address was asked more than once, a body wins over a failure, and a later one over an earlier.
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

from collectors.http.recording_files import body_file, existing_head, head, read_answers, unwritable, write_head
from workspace.clock import utc_now
from workspace.errors import TransferFailed, WorkspaceError
from workspace.storage.paths import write_atomic

NOT_KEPT = "not-kept"
"""Stands for a key or a token of a recording."""

_KEY_IN_URL = re.compile(r"\b((?:api_?key|access_token|client_secret|client_id|token)=)[^&\s'\"]+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class FetchResult:
    """A whole answer: its last address, status (None for a local file), content type and size, and the tries."""

    final_url: str
    http_status: int | None
    content_type: str
    bytes: int
    attempts: int


Ask = Callable[[], FetchResult]
"""Puts the question to the network: fills the body, or raises TransferFailed."""


class Cassette(Protocol):
    """What stands between a session and the network: nothing, a recorder or a player."""

    def fetch(self, url: str, out: BinaryIO, ask: Ask, *, is_form: bool, secrets: Collection[str]) -> FetchResult:
        """Answer one question; fills `out`.

        Args:
            url: what is asked.
            out: where the body goes; readable and seekable.
            ask: puts the question to the network.
            is_form: it is a POST, whose answer may hold a token.
            secrets: what must not be kept.

        Raises:
            TransferFailed: it could not be fetched, now or when it was recorded.
        """

    def now(self) -> str:
        """When this thread's latest answer came: UTC, ISO 8601, seconds."""

    def began(self) -> str:
        """The time of what asks nobody, such as a local file: now, or when the recording was begun."""

    def close(self) -> None:
        """Let go of open files."""


def open_cassette(record: str, replay: str) -> Cassette:
    """The tape that the settings ask for; both empty: straight to the network.

    Raises:
        WorkspaceError: there is no recording to replay, or none can be written.
    """
    if replay:
        return _Player(Path(replay))
    return _Recorder(Path(record)) if record else _Live()


def record_key_names(record: str, names: Collection[str]) -> None:
    """Remember which keys are set while a recording is made, by their names.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    opened = head(Path(record), utc_now())
    write_head(Path(record), {**opened, "keys": sorted({*opened.get("keys", []), *names})})


def recorded_key_names(replay: str) -> tuple[str, ...]:
    """The names of the keys that were set while this recording was made.

    Raises:
        WorkspaceError: it is no recording.
    """
    return tuple(existing_head(Path(replay)).get("keys", ()))


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """The text with each secret, however it is quoted, as `***`."""
    for secret in secrets:
        for spelling in {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}:
            text = text.replace(spelling, "***")
    return text


class _Live:
    """No tape at all."""

    def fetch(self, url: str, out: BinaryIO, ask: Ask, *, is_form: bool, secrets: Collection[str]) -> FetchResult:
        return ask()

    def now(self) -> str:
        return utc_now()

    began = now

    def close(self) -> None:
        pass


class _TellsTime:
    """Each thread's clock stands at its latest answer, so that a replay writes the recording's times."""

    def __init__(self, began: str) -> None:
        self._began = began
        self._thread = threading.local()

    def now(self) -> str:
        return str(getattr(self._thread, "time", self._began))

    def began(self) -> str:
        return self._began

    def _stand_at(self, time: str) -> None:
        self._thread.time = time


class _Recorder(_TellsTime):
    def __init__(self, folder: Path) -> None:
        opened = head(folder, utc_now())
        write_head(folder, opened)
        super().__init__(opened["began"])
        self._folder = folder
        self._lock = threading.Lock()
        try:
            self._answers = (folder / "answers.jsonl").open("ab")
            if self._answers.tell():
                self._answers.write(b"\n")  # a run that was killed may have left half a line
        except OSError as error:
            raise unwritable(folder, error) from error

    def fetch(self, url: str, out: BinaryIO, ask: Ask, *, is_form: bool, secrets: Collection[str]) -> FetchResult:
        row: dict[str, Any] = {"asked": _question(url, is_form, secrets)}
        try:
            fetched = ask()
        except TransferFailed as error:
            row["failed"] = {
                "status": error.status,
                "reason": error.reason,
                "detail": _clean(error.detail, secrets),
                "http_status": error.http_status,
                "attempts": error.attempts,
            }
            self._write(row)
            raise
        out.seek(0)
        body = _without_tokens(out.read(), secrets, is_form=is_form)
        row["sha256"] = hashlib.sha256(body).hexdigest()
        file = body_file(self._folder, row["sha256"])
        if not file.exists():
            write_atomic(file, body, durable=False)
        row["fetched"] = dataclasses.asdict(fetched) | {"final_url": _clean(fetched.final_url, secrets)}
        self._write(row)
        return fetched

    def close(self) -> None:
        self._answers.close()

    def _write(self, row: dict[str, Any]) -> None:
        time = utc_now()
        line = json.dumps(row | {"at": time}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            with self._lock:
                self._answers.write(line)
                self._answers.flush()
        except OSError as error:
            raise unwritable(self._folder, error) from error
        self._stand_at(time)


class _Player(_TellsTime):
    def __init__(self, folder: Path) -> None:
        super().__init__(existing_head(folder)["began"])
        self._folder = folder
        self._answers = read_answers(folder / "answers.jsonl")

    def fetch(self, url: str, out: BinaryIO, ask: Ask, *, is_form: bool, secrets: Collection[str]) -> FetchResult:
        asked = _question(url, is_form, secrets)
        row = self._answers.get(asked)
        if row is None:
            self._stand_at(self._began)
            raise TransferFailed("failed", "not_recorded", f"{asked} is not in the recording {self._folder.name}")
        self._stand_at(row["at"])
        if "failed" in row:
            failed = row["failed"]
            raise TransferFailed(
                failed["status"],
                failed["reason"],
                failed["detail"],
                http_status=failed["http_status"],
                attempts=failed["attempts"],
            )
        out.seek(0)
        out.truncate()
        out.write(self._body(row["sha256"]))
        return FetchResult(**row["fetched"])

    def close(self) -> None:
        self._answers.clear()

    def _body(self, sha256: str) -> bytes:
        file = body_file(self._folder, sha256)
        try:
            body = file.read_bytes()
        except OSError as error:
            raise WorkspaceError(f"the recording {self._folder} is not whole: {file}: {error.strerror}") from error
        if hashlib.sha256(body).hexdigest() != sha256:
            raise WorkspaceError(f"the recording {self._folder} is damaged: {file} has other bytes; record it again")
        return body


def _question(url: str, is_form: bool, secrets: Collection[str]) -> str:
    return ("POST " if is_form else "GET ") + _clean(url, secrets)


def _clean(text: str, secrets: Collection[str]) -> str:
    """Without the secrets that are known, and without what looks like a key by its name."""
    return _KEY_IN_URL.sub(r"\1***", without_secrets(text, secrets))


def _without_tokens(body: bytes, secrets: Collection[str], *, is_form: bool) -> bytes:
    for secret in secrets:
        body = body.replace(secret.encode(), NOT_KEPT.encode())
    if not is_form:
        return body
    try:
        values = json.loads(body)
    except ValueError:
        return b""  # no answer that a source could read, and what it holds is not known
    if not isinstance(values, dict):
        return b""
    return json.dumps({key: NOT_KEPT if "token" in key else value for key, value in values.items()}).encode()
