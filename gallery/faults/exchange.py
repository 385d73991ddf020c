"""One request that gets a faulty answer, and the means to write that answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler


@dataclass(frozen=True)
class Exchange:
    """One request that gets a faulty answer.

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
        """Send a part of the body, unless the request is a HEAD."""
        if self.handler.command != "HEAD":
            self.handler.wfile.write(data)
            self.handler.wfile.flush()

    @property
    def name(self) -> str:
        """The last segment of the requested path."""
        return self.handler.path.partition("?")[0].rpartition("/")[2]

    def whole(self, status: int, data: bytes, **headers: str | int) -> None:
        """Send a complete answer."""
        self.head(status, content_length=len(data), **headers)
        self.write(data)
