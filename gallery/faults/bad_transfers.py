"""Faulty transfers: answers that break, stall or contradict their headers.

Those that last wait on the site's ``stopping`` event rather than sleep, so that the site can always be stopped.
"""

from __future__ import annotations

import socket
import struct
import zlib
from functools import cache

from gallery.faults.exchange import Exchange

BOMB_BYTES = 64 << 20
"""What the gzip bomb unpacks to."""

_BLOCK = bytes(1 << 20)


def hang(exchange: Exchange) -> None:
    """Wait for ``hang_s``, then answer well."""
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
    """Declare the whole body, send half, and close in an orderly way."""
    exchange.head(200, content_type=exchange.content_type, content_length=len(exchange.body))
    exchange.write(exchange.body[: len(exchange.body) // 2])
    exchange.handler.close_connection = True


def hang_in_body(exchange: Exchange) -> None:
    """Send half of the body, then nothing for ``hang_s``."""
    exchange.head(200, content_type=exchange.content_type, content_length=len(exchange.body))
    exchange.write(exchange.body[: len(exchange.body) // 2])
    exchange.stopping.wait(exchange.hang_s)
    exchange.handler.close_connection = True


def drip_headers(exchange: Exchange) -> None:
    """Send header after header, ``drip_s`` apart, and never come to the body."""
    out = exchange.handler.wfile
    out.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(90):
        out.write(b"X-Header-%d: more follows\r\n" % number)
        out.flush()
        if exchange.stopping.wait(exchange.drip_s):
            break
    exchange.handler.close_connection = True


def refuse_connection(exchange: Exchange) -> None:
    """Close the connection without an answer."""
    exchange.handler.close_connection = True


def moved_endless(exchange: Exchange) -> None:
    """Answer 301 to the honest picture, with a body without end."""
    exchange.handler.close_connection = True
    exchange.head(301, location=f"/images/{exchange.name}", connection="close")
    while not exchange.stopping.wait(0.002):
        exchange.write(_BLOCK[: 1 << 16])


def length_too_long(exchange: Exchange) -> None:
    """Declare more bytes than are sent, and keep the connection open."""
    exchange.head(200, content_type=exchange.content_type, content_length=len(exchange.body) + 1000)
    exchange.write(exchange.body)
    exchange.stopping.wait(exchange.hang_s)
    exchange.handler.close_connection = True


def length_too_short(exchange: Exchange) -> None:
    """Declare half of the body and send all of it, on a connection that stays open."""
    exchange.head(200, content_type=exchange.content_type, content_length=len(exchange.body) // 2)
    exchange.write(exchange.body)


def length_absurd(exchange: Exchange) -> None:
    """Send two contradicting lengths."""
    exchange.head(200, content_type=exchange.content_type, content_length=f"{len(exchange.body)}, 7")
    exchange.write(exchange.body)
    exchange.handler.close_connection = True


def chunked_garbage(exchange: Exchange) -> None:
    """Send a chunked body whose second chunk has no valid size."""
    exchange.head(200, content_type=exchange.content_type, transfer_encoding="chunked")
    exchange.write(b"%x\r\n%s\r\nnot a size\r\n" % (len(exchange.body[:200]), exchange.body[:200]))
    exchange.handler.close_connection = True


def chunked_cut(exchange: Exchange) -> None:
    """Send a chunked body that ends within a chunk."""
    exchange.head(200, content_type=exchange.content_type, transfer_encoding="chunked")
    exchange.write(b"%x\r\n%s" % (len(exchange.body), exchange.body[: len(exchange.body) // 2]))
    exchange.handler.close_connection = True


def gzip_garbage(exchange: Exchange) -> None:
    """Declare a body as gzip that is not compressed."""
    exchange.whole(200, exchange.body, content_type=exchange.content_type, content_encoding="gzip")


def huge_header(exchange: Exchange) -> None:
    """Send one header line of 200,000 bytes."""
    exchange.whole(200, exchange.body, content_type=exchange.content_type, x_filler="x" * 200_000)


def many_headers(exchange: Exchange) -> None:
    """Send a thousand headers."""
    exchange.whole(200, exchange.body, **{f"x_header_{number}": number for number in range(1000)})


def not_http(exchange: Exchange) -> None:
    """Answer in another protocol."""
    exchange.handler.wfile.write(b"220 mail.example ESMTP ready\r\n")
    exchange.handler.close_connection = True


def gzip_bomb(exchange: Exchange) -> None:
    """Send a small gzip body that unpacks to BOMB_BYTES."""
    exchange.whole(200, _bomb(), content_type=exchange.content_type, content_encoding="gzip")


def endless(exchange: Exchange) -> None:
    """Send a body without length and without end."""
    exchange.handler.close_connection = True
    exchange.head(200, content_type=exchange.content_type, connection="close")
    exchange.write(exchange.body)
    while exchange.handler.command != "HEAD" and not exchange.stopping.wait(0.002):
        exchange.write(_BLOCK[: 1 << 16])


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(level=1, wbits=31)
    return b"".join([*(packer.compress(_BLOCK) for _ in range(BOMB_BYTES // len(_BLOCK))), packer.flush()])
