"""The gate of the service: who may ask, and how many at once.

Without a token the service answers on loopback alone, where any web site that a person of this machine visits can send
requests too: so Host (DNS rebinding) and Origin (CSRF) are checked. With a token neither is needed, as no site has it.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.api.metrics import ServiceMetrics
from pages.api.refusals import Refused, try_again
from pages.local_auth import HEADERS

CLASSIFY = "/classify"
OPEN = frozenset({"/", "/docs", "/openapi.json", "/health", "/health/live", "/health/ready"})
"""Paths that need no token: what the service is, and whether it is up. /static/ belongs to /docs."""


@dataclass(slots=True)
class Load:
    """How many requests are at work, and at most."""

    most: int
    at_work: int = 0


class Gate:
    """ASGI middleware before the application of the service.

    Args:
        app: the application.
        token: that a request must bring as `Authorization: Bearer TOKEN`; empty: none, from loopback alone.
        load: limits the requests to CLASSIFY at once.
        metrics: counts them.
    """

    def __init__(self, app: ASGIApp, token: str, load: Load, metrics: ServiceMetrics) -> None:
        self._app, self._token, self._load, self._metrics = app, token, load, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it; every answer carries HEADERS."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        began, asks = time.monotonic(), scope["path"] == CLASSIFY
        try:
            self._check(scope)
            if asks and scope["method"] == "POST":
                await self._classify(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except Refused as refusal:
            self._metrics.refusals.labels(refusal.reason).inc()
            await refusal.response()(scope, receive, send_with_headers)
        finally:
            if asks:
                self._metrics.requests.labels(upload_kind(Headers(scope=scope)), str(status)).inc()
                self._metrics.seconds.observe(time.monotonic() - began)

    async def _classify(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._load.at_work >= self._load.most:
            raise try_again(
                "busy", f"{self._load.most} requests are at work (serve.concurrency); ask again in a second"
            )
        self._load.at_work += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._load.at_work -= 1

    def _check(self, scope: Scope) -> None:
        """Raise Refused for who may not ask."""
        headers, path = Headers(scope=scope), scope["path"]
        if not self._token:
            self._check_local(headers)
        elif path not in OPEN and not path.startswith("/static/"):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if not given:
                detail = "send the token of the service, as the header Authorization: Bearer TOKEN"
                raise Refused(401, "no_token", detail, {"www-authenticate": "Bearer"})
            right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token.encode())
            if scheme.lower() != "bearer" or not right:
                raise Refused(
                    401, "wrong_token", "this is not the token of the service", {"www-authenticate": "Bearer"}
                )

    def _check_local(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if not is_loopback(_host_name(host)):
            raise Refused(421, "wrong_host", "without a token this service answers to 127.0.0.1 and localhost alone")
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"} or (
            origin is not None and origin != f"http://{host}"
        ):
            raise Refused(403, "wrong_origin", "this request came from another page")


def upload_kind(headers: Headers) -> str:
    """Tell how a request to classify brings its pictures: `addresses`, `form` or `body`."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return {"application/json": "addresses", "multipart/form-data": "form"}.get(kind, "body")


def is_loopback(host: str) -> bool:
    """Return whether a name or an address can only mean this machine; no DNS answers for an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
