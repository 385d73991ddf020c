"""A connection to a bucket by obstore, and its failures in words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from workspace.errors import WorkspaceError, needed_extra

_KEYS = (  # where obstore finds credentials; without any it would ask the address of a cloud's machines, for seconds
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def connect(address: str, *, patient: bool) -> Any:
    """Return obstore's client of an address; nothing is asked yet.

    Args:
        address: s3://bucket/prefix.
        patient: repeat failed requests for a minute; else once, for a few seconds.

    Raises:
        WorkspaceError: obstore is not installed, no keys are set, or the environment's settings are wrong.
    """
    try:
        import obstore  # noqa: F401  (the whole of it: another thread may be importing it, and its store comes first)
        from obstore.store import S3Store
    except ImportError as error:
        raise WorkspaceError(needed_extra("storage", f"a workspace with files at {address}", "obstore")) from error
    if not any(os.environ.get(name) for name in _KEYS):
        raise WorkspaceError(
            f"{address} needs keys, and the environment has none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(or, on a machine with a role, AWS_METADATA_ENDPOINT=http://169.254.169.254)"
        )
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    with in_words(address):
        return S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "allow_http": _endpoint().startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=300 if patient else 10),
            },
            retry_config={
                "max_retries": 6 if patient else 1,
                "retry_timeout": timedelta(seconds=60 if patient else 10),
            },
        )


def environment() -> int:
    """Return a number for what the environment says of S3, so that a change of it in this process is seen."""
    return hash(frozenset(item for item in os.environ.items() if item[0].startswith("AWS_")))


def _endpoint() -> str:
    return next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")


@contextmanager
def in_words(address: str) -> Iterator[None]:
    """Turn obstore's errors into sentences with a remedy; FileNotFoundError stays what it is.

    The cause is left out, since what a server answers may name the key.

    Raises:
        WorkspaceError: the place cannot be reached or used.
        FileExistsError: a file was to be created that is there.
    """
    try:
        yield
    except WorkspaceError:
        raise
    except Exception as error:
        text = str(error)
        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in text:
            raise
        if type(error).__name__ == "AlreadyExistsError":
            raise FileExistsError(address) from None
        if not (isinstance(error, FileNotFoundError) or type(error).__module__.startswith("obstore")):
            raise
        raise WorkspaceError(_words(address, text)) from None


_NO_KEY = "the server does not know the key; correct AWS_ACCESS_KEY_ID and, where there is one, AWS_SESSION_TOKEN"
_NO_RIGHT = (
    "it may not be used with these keys (access denied); give them the right to list, read, write and delete there, or "
    "name a bucket of your own"
)
_REGION = "the bucket lies in another region; set AWS_REGION to it"
_REFUSALS = {
    "NoSuchBucket": "there is no bucket of that name; make it, or correct the address",
    "InvalidAccessKeyId": _NO_KEY,
    "InvalidToken": _NO_KEY,
    "ExpiredToken": "the keys have expired; set new ones in AWS_ACCESS_KEY_ID and its companions",
    "SignatureDoesNotMatch": "the secret does not fit the key; correct AWS_SECRET_ACCESS_KEY",
    "AccessDenied": _NO_RIGHT,
    "AllAccessDisabled": _NO_RIGHT,
    "AccountProblem": _NO_RIGHT,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "RequestTimeTooSkewed": "the clock of this machine is wrong; set it",
    "401": _NO_KEY,
    "403": _NO_RIGHT,
    "301": _REGION,
}
"""What S3's error codes ("Error responses" in its API reference) and, where an answer has none, its status mean."""

_AGAIN = "then run the same command again: it goes on where this one stopped"


def _words(address: str, text: str) -> str:
    """Say what an error of obstore means; the texts are those of 0.12."""
    code, status = _first(r"<Code>(\w+)</Code>", text), _first(r"status code: (\d{3})", text)
    if "redirect without LOCATION" in text:
        status = "301"
    if refusal := _REFUSALS.get(code) or _REFUSALS.get(status):
        return f"{address} cannot be used: {refusal}"
    endpoint = f"AWS_ENDPOINT_URL ({_endpoint()})" if _endpoint() else "AWS_REGION"
    if "kind: Timeout" in text:
        return f"{address} cannot be reached: no answer in time; check the network and {endpoint}, {_AGAIN}"
    if "HTTP error" in text:
        why = _first(r'message: "([^"]+)"', text) or "no connection"
        return f"{address} cannot be reached: {why.lower()}; check the network and {endpoint}, {_AGAIN}"
    said = code or (f"status {status}" if status else " ".join(text.split())[:120])
    return f"{address} does not answer as it should ({said}); wait and check {endpoint}, {_AGAIN}"


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""
