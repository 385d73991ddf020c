"""Prefect's own client for a server at a given address.

A server that is busy answers 429 or 503 (an SQLite database that another request holds), and may want CSRF tokens or
a certificate of its own; Prefect's client knows all of it, and asks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx
    from prefect.client.orchestration import SyncPrefectClient


@contextmanager
def connected(
    api_url: str, *, timeout_s: float, retries: int, password: str | None = None
) -> Iterator[SyncPrefectClient]:
    """Connect to Prefect's API with the key and the password of Prefect's settings.

    Args:
        api_url: such as http://127.0.0.1:4200/api.
        timeout_s: for each request.
        retries: of each request that the server was too busy for; the waits are about 2, 4, 8 … s, whatever wait the
            server asks for.
        password: `name:password`, in place of the one in Prefect's settings.

    Raises:
        httpx.HTTPError: from the client's requests; an `httpx.HTTPStatusError` for every status but success.
        httpx.InvalidURL: `api_url` is none.
    """
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, get_current_settings, temporary_settings

    settings = get_current_settings().api
    key, own = (secret.get_secret_value() if secret else None for secret in (settings.key, settings.auth_string))
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: retries}),
        SyncPrefectClient(
            api_url,
            auth_string=password or own,
            api_key=key,
            httpx_settings={"timeout": timeout_s, "event_hooks": {"response": [_drop_long_waits]}},
        ) as client,
    ):
        yield client


def _drop_long_waits(response: httpx.Response) -> None:
    """Drop the headers that Prefect's client waits for without a limit: a maintenance page may ask for an hour."""
    for name in ("Retry-After", "Prefect-Maintenance"):
        response.headers.pop(name, None)
