"""What a source is: it answers a keyword with pages of found pictures, or says why it cannot."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any, Protocol

from collectors.polite import PoliteSession
from workspace.errors import SourceFailed, TransferFailed

_MAX_ANSWER_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """A picture as a source describes it; `width`, `height` in px or None, texts empty when not known.

    `license` is a short lower-case name (`by`, `by-sa`, `cc0`, `pdm`), without version.
    """

    image_url: str
    page_url: str = ""
    title: str = ""
    creator: str = ""
    license: str = ""
    license_url: str = ""
    attribution: str = ""
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of answers, best first; `next_cursor` is what asks for the page after it, None at the end."""

    found: tuple[Found, ...]
    next_cursor: str | None


class Source(Protocol):
    """Where pictures are looked for."""

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> Page:
        """Ask for one page.

        Args:
            session: every request goes through it.
            keyword: what to look for, in any script.
            cursor: None for the first page, then what the page before gave.

        Raises:
            SourceFailed: it did not answer the question; has the reason.
        """


def ask_json(session: PoliteSession, url: str) -> Any:
    """Fetch an answer that must be JSON.

    Raises:
        SourceFailed: no answer, a refusal, or something else than JSON.
    """
    body, content_type = _ask(session, url, "application/json")
    try:
        return json.loads(body)
    except ValueError as error:
        kind = content_type or "no content type"
        raise SourceFailed("not_json", f"{url} answered {kind} where JSON was due: {body[:80]!r}") from error


def ask_html(session: PoliteSession, url: str) -> bytes:
    """Fetch an answer that must be a page of html, as bytes with whatever encoding it declares.

    Raises:
        SourceFailed: no answer, a refusal, or something else than html.
    """
    body, content_type = _ask(session, url, "text/html")
    if "html" not in content_type and b"<html" not in body[:2048].lower():
        raise SourceFailed("changed", f"{url} answered {content_type or 'no content type'} where a page was due")
    return body


def _ask(session: PoliteSession, url: str, accept: str) -> tuple[bytes, str]:
    out = io.BytesIO()
    try:
        answer = session.fetch(url, out, max_bytes=_MAX_ANSWER_BYTES, accept=accept)
    except TransferFailed as error:
        reason = "blocked" if error.http_status in {401, 403} else error.reason
        raise SourceFailed(reason, f"{url}: {error.detail}") from error
    return out.getvalue(), answer.content_type
