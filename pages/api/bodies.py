"""Read the pictures of a request: a body, a form of several files, or a list of addresses; none larger than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from pages.api.gate import upload_kind
from pages.api.refusals import Refused, try_again
from workspace.config.operate import ServeConfig
from workspace.names import as_text
from workspace.text.invalid_values import located

_JSON_BYTES = 1_000_000
_NAME = 200  # characters of a file's name that are repeated


class Addresses(BaseModel):
    """A request for pictures at addresses."""

    model_config = ConfigDict(extra="forbid")
    addresses: Annotated[list[str], Field(min_length=1, description="http or https, of public hosts.")]


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture of a request: its name in the answer, and its bytes, or the address where they are.

    Attributes:
        name: file name or address; empty for a body.
        read: returns the bytes of an upload; None for an address.
        url: the address; empty for an upload.
    """

    name: str
    read: Callable[[], Awaitable[bytes]] | None = None
    url: str = ""


class Budget:
    """Bytes of all requests together that are held at once; used in one event loop.

    Args:
        limits: a request may hold as much as they say, and all together four times as much.
    """

    def __init__(self, limits: ServeConfig) -> None:
        self.limits = limits
        self._most, self._held = 4 * _bytes(max(limits.max_mb, limits.max_request_mb)), 0

    @contextmanager
    def account(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes bytes for a request; they are given back when the block ends.

        The function raises Refused where too many are held already.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self._held + count > self._most:
                raise try_again("busy", "too many pictures are being sent at once; ask again in a second")
            taken += count
            self._held += count

        try:
            yield take
        finally:
            self._held -= taken


@asynccontextmanager
async def pictures_of(request: Request, budget: Budget) -> AsyncIterator[list[Sent]]:
    """Read the pictures of a request; what a form has stored on the disk goes when the block ends.

    Raises:
        Refused: it is too large, too slow, holds too many pictures or none, or is of another type.
    """
    seconds = budget.limits.timeout_s
    slow = Refused(408, "too_slow", f"the request did not arrive within {seconds:g} s (serve.timeout_s)")
    with budget.account() as take:
        async with AsyncExitStack() as held:
            async with within(seconds, slow):
                sent = await held.enter_async_context(_pictures(request, budget.limits, take))
            yield sent


@asynccontextmanager
async def _pictures(request: Request, limits: ServeConfig, take: Callable[[int], None]) -> AsyncIterator[list[Sent]]:
    kind = upload_kind(request.headers)
    if kind == "addresses":
        yield await _addresses(request, limits, take)
    elif kind == "form":
        async with _form(request, limits, take) as files:
            yield files
    else:
        body = await _body(request, _bytes(limits.max_mb), f"{limits.max_mb:g} MB (serve.max_mb)", take)
        if not body:
            raise Refused(400, "empty", "send a picture as the body, a form with files, or JSON with addresses")

        async def read() -> bytes:
            return body

        yield [Sent("", read)]


async def _addresses(request: Request, limits: ServeConfig, take: Callable[[int], None]) -> list[Sent]:
    body = await _body(request, _JSON_BYTES, f"{_JSON_BYTES / 1e6:g} MB", take)
    try:
        named = Addresses.model_validate_json(body).addresses
    except ValidationError as error:
        detail = "; ".join(located(error, "the body")[:3])
        raise Refused(422, "bad_json", f'send {{"addresses": ["https://…"]}}: {as_text(detail)}') from error
    if len(named) > limits.max_addresses:
        raise Refused(413, "too_many", f"{len(named)} addresses; at most {limits.max_addresses} (serve.max_addresses)")
    return [Sent(as_text(url)[:2000], url=url) for url in named]


@asynccontextmanager
async def _form(request: Request, limits: ServeConfig, take: Callable[[int], None]) -> AsyncIterator[list[Sent]]:
    most = _bytes(limits.max_request_mb)
    words = f"{limits.max_request_mb:g} MB (serve.max_request_mb)"
    capped = Request(request.scope, _capped(request, most, words, take))
    try:
        form = await capped.form(max_files=limits.max_pictures, max_fields=0, max_part_size=1)
    except HTTPException as error:
        text = str(error.detail)
        if text.startswith("Too many"):
            detail = f"a form holds files alone, at most {limits.max_pictures} (serve.max_pictures)"
            raise Refused(413, "too_many", detail) from error
        raise Refused(400, "bad_form", f"the form cannot be read: {text}") from error
    except ClientDisconnect as error:
        raise Refused(400, "incomplete", "the request ended before its end") from error
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not files:
            raise Refused(400, "empty", "the form has no file")
        yield [Sent(as_text(file.filename or "")[:_NAME], file.read) for file in files]
    finally:
        await form.close()


async def _body(request: Request, most: int, words: str, take: Callable[[int], None]) -> bytes:
    receive, parts = _capped(request, most, words, take), []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "incomplete", "the request ended before its end")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _capped(request: Request, most: int, words: str, take: Callable[[int], None]) -> Callable[[], Awaitable[Message]]:
    """Return the request's `receive`, which refuses more than `most` bytes, declared or not."""
    too_large = Refused(413, "too_large", f"larger than {words}")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise too_large
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > most:
            raise too_large
        take(len(message.get("body", b"")))
        return message

    return receive


@asynccontextmanager
async def within(seconds: float, refusal: Refused) -> AsyncIterator[None]:
    """Raise a refusal where the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise refusal from error


def _bytes(megabytes: float) -> int:
    return int(megabytes * 1e6)
