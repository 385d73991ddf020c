"""Misbehaviour on request: every way in which a server has been seen to fail its visitor.

A fault takes over one exchange and speaks to the socket itself. Faults that last wait on the site's ``stopping`` event
rather than sleep, so that the site can always be stopped.
"""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300">'
    b'<rect width="400" height="300" fill="#7a9"/><circle cx="200" cy="150" r="90" fill="#e96"/></svg>'
)
BOMB_BYTES = 64 << 20  # what the gzip bomb unpacks to
_BLOCK = bytes(1 << 20)


@dataclass(frozen=True)
class Exchange:
    """One request that is to be answered badly.

    Attributes:
        handler: Speaks to the visitor.
        body: The bytes that an honest answer would have.
        content_type: The type that an honest answer would have.
        stopping: Set when the site stops.
        hang_s: How long ``hang`` says nothing, in seconds.
        drip_s: How long ``drip`` waits before each byte, in seconds.
    """

    handler: BaseHTTPRequestHandler
    body: bytes
    content_type: str
    stopping: threading.Event
    hang_s: float
    drip_s: float

    def head(self, status: int, **headers: str | int) -> None:
        """Send the status line and headers; ``content_length`` names the header Content-Length."""
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-").title(), str(value))
        self.handler.end_headers()

    def write(self, data: bytes) -> None:
        """Send some of the body now, unless only the head was asked for."""
        if self.handler.command != "HEAD":
            self.handler.wfile.write(data)
            self.handler.wfile.flush()

    def whole(self, status: int, data: bytes, **headers: str | int) -> None:
        """Send a complete answer."""
        self.head(status, content_length=len(data), **headers)
        self.write(data)


def hang(exchange: Exchange) -> None:
    """Say nothing for ``hang_s``, then answer well."""
    exchange.stopping.wait(exchange.hang_s)
    exchange.whole(200, exchange.body, content_type=exchange.content_type)


def drip(exchange: Exchange) -> None:
    """Send the body byte by byte, ``drip_s`` apart: each read succeeds, the whole takes for ever."""
    exchange.head(200, content_type=exchange.content_type, content_length=len(exchange.body))
    for byte in exchange.body:
        if exchange.stopping.wait(exchange.drip_s):
            break
        exchange.write(bytes([byte]))
    exchange.handler.close_connection = True


def reset(exchange: Exchange) -> None:
    """Send half of the body, then reset the connection."""
    exchange.head(200, content_type=exchange.content_type, content_length=len(exchange.body))
    exchange.write(exchange.body[: len(exchange.body) // 2])
    exchange.stopping.wait(0.05)  # RST overtakes what the visitor has not read yet
    # Lingering for 0 seconds makes close() send RST instead of FIN.
    exchange.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.handler.close_connection = True


def early_close(exchange: Exchange) -> None:
    """Promise the whole body, send half, and close in an orderly way."""
    exchange.head(200, content_type=exchange.content_type, content_length=len(exchange.body))
    exchange.write(exchange.body[: len(exchange.body) // 2])
    exchange.handler.close_connection = True


def busy(exchange: Exchange) -> None:
    """429 with Retry-After: 1."""
    exchange.whole(429, b"slow down\n", content_type="text/plain", retry_after=1)


def server_error(exchange: Exchange) -> None:
    """500."""
    exchange.whole(500, b"oops\n", content_type="text/plain")


def forbidden(exchange: Exchange) -> None:
    """403."""
    exchange.whole(403, b"not for you\n", content_type="text/plain")


def redirect_loop(exchange: Exchange) -> None:
    """Redirect to an address that redirects again, without end."""
    name = exchange.handler.path.partition("?")[0].rpartition("/")[2]
    hop = 1 if exchange.handler.path.endswith("hop=0") else 0
    exchange.whole(302, b"", location=f"/fault/redirect_loop/{name}?hop={hop}")


def redirect_private(exchange: Exchange) -> None:
    """Redirect into a private network."""
    name = exchange.handler.path.partition("?")[0].rpartition("/")[2]
    exchange.whole(302, b"", location=f"http://10.0.0.1/{name}")


def gzip_bomb(exchange: Exchange) -> None:
    """A small compressed body that unpacks to BOMB_BYTES."""
    exchange.whole(200, _bomb(), content_type=exchange.content_type, content_encoding="gzip")


def endless(exchange: Exchange) -> None:
    """A body without length and without end."""
    exchange.handler.close_connection = True
    exchange.head(200, content_type=exchange.content_type, connection="close")
    exchange.write(exchange.body)
    while exchange.handler.command != "HEAD" and not exchange.stopping.wait(0.002):
        exchange.write(_BLOCK[: 1 << 16])


def svg(exchange: Exchange) -> None:
    """A vector drawing, which no raster decoder opens."""
    exchange.whole(200, SVG, content_type="image/svg+xml")


FAULTS: dict[str, Callable[[Exchange], None]] = {
    "hang": hang,
    "drip": drip,
    "reset": reset,
    "early_close": early_close,
    "429": busy,
    "busy_once": busy,
    "500": server_error,
    "500_once": server_error,
    "403": forbidden,
    "redirect_loop": redirect_loop,
    "redirect_private": redirect_private,
    "gzip_bomb": gzip_bomb,
    "endless": endless,
    "svg": svg,
}
ONCE = frozenset({"busy_once", "500_once"})
"""Faults that strike the first request of an address only."""


@dataclass
class Rule:
    """Requests whose path starts with ``path_prefix`` meet the fault ``kind``, ``times`` times more."""

    path_prefix: str
    kind: str
    times: int


class Mischief:
    """Which requests are to fail: the rules given by ``add``, and what ``/fault/KIND/`` has already done once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._struck: set[str] = set()

    def add(self, path_prefix: str, kind: str, times: int) -> None:
        """Let the next ``times`` requests whose path starts with ``path_prefix`` fail.

        Raises:
            ValueError: There is no such fault.
        """
        if kind not in FAULTS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(FAULTS)}")
        with self._lock:
            self._rules.append(Rule(path_prefix, kind, times))

    def take(self, path: str) -> str | None:
        """The fault that a request for ``path`` meets by a rule, which is thereby used up once."""
        with self._lock:
            for rule in self._rules:
                if rule.times > 0 and path.startswith(rule.path_prefix):
                    rule.times -= 1
                    return rule.kind
        return None

    def strikes(self, kind: str, path: str) -> bool:
        """Whether ``/fault/KIND/NAME`` fails this time: always, but for the faults in ONCE."""
        if kind not in ONCE:
            return True
        with self._lock:
            first = path not in self._struck
            self._struck.add(path)
        return first


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(level=1, wbits=31)
    return b"".join([*(packer.compress(_BLOCK) for _ in range(BOMB_BYTES // len(_BLOCK))), packer.flush()])
