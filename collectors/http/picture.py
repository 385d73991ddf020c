"""Fetch one picture's bytes."""

from __future__ import annotations

import io

from collectors.http.recording import FetchResult
from collectors.http.session import PoliteSession

_ACCEPT = "image/avif,image/webp,image/png,image/jpeg,image/*;q=0.8"


def fetch_picture(
    session: PoliteSession, url: str, max_bytes: int, *, crawled: bool, redirects: int = 0
) -> tuple[bytes, FetchResult]:
    """Fetch the bytes at an address where a picture should be; nobody has looked at them yet.

    Args:
        session: sends the request.
        url: http or https.
        max_bytes: the largest file.
        crawled: whether robots.txt, opt-outs and reservations apply, as where a search named the address; a person may
            look at whatever they name themselves.
        redirects: how many were followed before this url.

    Raises:
        TransferFailed: the fetch failed or is refused.
        RedirectedElsewhere: it goes on at a host that another session asks.
    """
    body = io.BytesIO()
    answer = session.fetch(url, body, max_bytes=max_bytes, accept=_ACCEPT, crawled=crawled, redirects=redirects)
    return body.getvalue(), answer
