"""Fetch a service's answer, JSON or HTML, and keep keys out of errors and logs."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Mapping
from typing import Any

from collectors.http.recording import FetchResult, without_keys, without_secrets
from collectors.http.session import PoliteSession
from collectors.http.usage_preferences import page_preferences
from collectors.sources.parsing import looks_like_captcha, read_json
from workspace.errors import SourceFailed, TransferFailed

_MAX_ANSWER_BYTES = 8_000_000


def fetch_json(
    session: PoliteSession, url: str, *, headers: Mapping[str, str] | None = None, secrets: Collection[str] = ()
) -> Any:
    """Fetch an answer that must be JSON.

    Args:
        session: sends the request.
        url: the whole url.
        headers: more headers, such as a key.
        secrets: texts that must not appear in an error.

    Raises:
        SourceFailed: no answer, a refusal, a captcha, or an answer that is not JSON.
    """
    body, answer = _fetch(session, url, "application/json", headers, secrets)
    try:
        return read_json(body)
    except ValueError:
        pass  # raised below, outside of this block, so that no unredacted text hangs on the error
    if looks_like_captcha(body):
        raise captcha(without_secrets(url, secrets))
    start = body[:80].decode("utf-8", "replace")
    content_type = answer.content_type or "no content type"
    raise SourceFailed(
        "not_json", without_secrets(f"{url} answered {content_type} instead of JSON: {start!r}", secrets)
    )


def fetch_html(session: PoliteSession, url: str) -> bytes:
    """Fetch a page that must be HTML, as bytes in whatever encoding it declares.

    Raises:
        SourceFailed: no answer, a refusal, or an answer that is not HTML.
    """
    return fetch_page(session, url)[0]


def fetch_page(session: PoliteSession, url: str) -> tuple[bytes, str]:
    """Fetch a page that must be HTML, and its final url after redirects, which resolves the page's relative urls.

    Raises:
        SourceFailed: no answer, a refusal (also by robots.txt, an opt-out or a reservation), or an answer that is not
            HTML.
    """
    body, answer = _fetch(session, url, "text/html", None, (), crawled=True)
    if refusal := session.refusal(page_preferences(body)):
        raise SourceFailed(refusal.reason, f"{url} says {refusal.text}")
    if "html" not in answer.content_type and b"<html" not in body[:2048].lower():
        raise SourceFailed("changed", f"{url} answered {answer.content_type or 'no content type'} instead of HTML")
    return body, answer.final_url


def captcha(url: str) -> SourceFailed:
    """Make the error of a page that asks its reader to prove to be human."""
    return SourceFailed("captcha", f"{url} answered with a captcha page; send fewer requests, or try tomorrow")


def _fetch(
    session: PoliteSession,
    url: str,
    accept: str,
    headers: Mapping[str, str] | None,
    secrets: Collection[str],
    *,
    crawled: bool = False,
) -> tuple[bytes, FetchResult]:
    body = io.BytesIO()
    failure: TransferFailed
    try:
        answer = session.fetch(
            url, body, max_bytes=_MAX_ANSWER_BYTES, accept=accept, headers=headers, crawled=crawled, secrets=secrets
        )
        return body.getvalue(), answer
    except TransferFailed as error:
        failure = error
    reason = {401: "needs_key", 403: "blocked"}.get(failure.http_status or 0, failure.reason)
    raise SourceFailed(
        reason, without_secrets(f"{url}: {failure.detail}", secrets), url=without_secrets(failure.url, secrets)
    )


class _KeyFilter(logging.Filter):
    """Removes keys from urllib3's debug log, which shows whole urls."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_keys(record.getMessage()), ()  # also of URLs within exceptions
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_KeyFilter())
