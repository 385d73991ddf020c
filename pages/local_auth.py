"""Serve a page on loopback to one person: a random token, checks of Host and Origin, strict headers.

Any web site that this person visits, and any other account of the machine, can send requests to a port on loopback.
So a page binds to loopback only, asks for a token (in the URL once, then in a cookie), and checks Host (DNS
rebinding) and Origin (CSRF) of every request. Its Content-Security-Policy allows only scripts from our files.
"""

from __future__ import annotations

import hmac
import re
import secrets
import socket
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.server import bind, make_server, run_until_stopped, running_in_thread

LOOPBACK = "127.0.0.1"

HEADERS = {
    # `self` allows the files of the package; no inline script or style, no other host, no frame around the page.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""On every answer (OWASP Secure Headers Project)."""

_SAFE_METHODS = frozenset({"GET", "HEAD"})
_STOP_S = 3


@dataclass(frozen=True, slots=True)
class LocalAuth:
    """ASGI middleware that admits only the holder of the token.

    Attributes:
        app: the protected application.
        port: where it listens; Host and Origin must name it.
        token: the secret; whoever opens `/?token=…` gets it as a cookie.
    """

    app: ASGIApp
    port: int
    token: str

    @property
    def url(self) -> str:
        """The URL to open, with the token."""
        return f"http://{LOOPBACK}:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The name of the cookie; it holds the port, as browsers share cookies between ports."""
        return f"page_{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it; every answer carries HEADERS."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if scope["type"] == "http":
            await (self._refusal(scope) or self.app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the refusal, or None when the request may pass."""
        headers = Headers(scope=scope)
        hosts = {f"{name}:{self.port}" for name in (LOOPBACK, "localhost")}
        if headers.get("host", "") not in hosts:
            return _refuse(f"this page answers to {LOOPBACK}:{self.port} alone", 421)
        if not self._same_origin(scope["method"], headers):
            return _refuse("this request came from another page")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if "token" in query and scope["method"] == "GET":
            if not self._is_token(query.pop("token")):
                return _refuse("the token in the URL is not valid for this page; open the printed URL")
            return self._welcome(scope["path"], query)
        if not self._is_token(_read_cookie(headers, self.cookie)):
            return _refuse("open the URL that the command printed: it holds the access token")
        return None

    def _same_origin(self, method: str, headers: Headers) -> bool:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site not in {None, "same-origin", "none"}:
            # A link elsewhere may open the page; nothing elsewhere may load a part of it or change something.
            return method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if origin is None:
            return method in _SAFE_METHODS  # browsers name the origin of every request that changes something
        # Under no-referrer a form's origin is "null"; then the browser's own word must say that it is ours.
        return origin == f"http://{headers['host']}" or (origin == "null" and site == "same-origin")

    def _is_token(self, candidate: str) -> bool:
        return hmac.compare_digest(candidate.encode("utf-8", "replace"), self.token.encode())

    def _welcome(self, path: str, query: dict[str, str]) -> Response:
        # One slash alone: "//elsewhere" would lead to another host.
        target = "/" + path.lstrip("/\\") + (f"?{urlencode(query)}" if query else "")
        answer = RedirectResponse(target, 303)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer


def serve_page(app: ASGIApp, announce: Callable[[str], None], *, port: int = 0, open_browser: bool = False) -> None:
    """Serve a page on loopback until Ctrl-C.

    Args:
        app: the page, for example a FastAPI application; it is wrapped in LocalAuth here.
        announce: called with the URL, including the token, once the page listens.
        port: 0 for a free one.
        open_browser: also open the URL in the person's browser.

    Raises:
        ConfigError: the port is taken.
    """
    with bind(LOOPBACK, port) as listener:
        auth = _guarded(app, listener)
        announce(auth.url)
        if open_browser:  # the listener queues the browser's first request until the server takes it
            webbrowser.open(auth.url)
        run_until_stopped(make_server(auth, _STOP_S), listener)


@contextmanager
def served_page(app: ASGIApp, *, port: int = 0) -> Iterator[str]:
    """Serve a page from a thread while the block runs, for tests and notebooks; yields the URL with the token.

    Raises:
        ConfigError: the port is taken.
        RuntimeError: the server did not start.
    """
    with bind(LOOPBACK, port) as listener:
        auth = _guarded(app, listener)
        with running_in_thread(make_server(auth, _STOP_S), listener):
            yield auth.url


def _guarded(app: ASGIApp, listener: socket.socket) -> LocalAuth:
    return LocalAuth(app, listener.getsockname()[1], secrets.token_urlsafe(24))


def _refuse(why: str, status: int = 403) -> Response:
    return PlainTextResponse(f"Refused: {why}.\n", status)


def _read_cookie(headers: Headers, name: str) -> str:
    # A cookie that another program on this host set may be malformed; it must not hide ours.
    for part in re.split(r";\s*", "; ".join(headers.getlist("cookie"))):
        with suppress(CookieError):
            jar = SimpleCookie(part)
            if name in jar:
                return jar[name].value
    return ""
