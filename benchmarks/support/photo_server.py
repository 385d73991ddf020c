"""A fast server of photograph-like pictures on loopback, for benchmarks of collection; a process of its own.

    python -m benchmarks.support.photo_server [--delay-ms 20] [--tiny]

Prints its port. Every address /<number>.jpg is another file: one of 64 photo-like JPEGs of 100 to 200 kB with the
number in a comment segment, or with --tiny a picture of 16 x 16 px. Plain asyncio, no framework, so that the clients
are what is measured; `python -m benchmarks.collect` prints what a raw client gets from it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_PHOTOS = 64
_SIZE_PX = (1024, 768)
_ROBOTS = b"User-agent: *\nAllow: /\n"


def photo(seed: int, size_px: tuple[int, int] = _SIZE_PX) -> bytes:
    """Render a JPEG with structure at every scale (1/f noise in each channel), as photographs have."""
    rng = np.random.default_rng(seed)
    width, height = size_px
    canvas = np.zeros((height, width, 3))
    cells = 4
    while cells < width:
        rows = max(2, cells * height // width)
        coarse = rng.integers(0, 256, (rows, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(coarse).resize(size_px, Image.Resampling.BICUBIC)
        canvas += (np.asarray(layer, dtype=np.float64) - 128) * (4 / cells) ** 0.62
        cells *= 2
    out = io.BytesIO()
    grey = canvas.mean(axis=2, keepdims=True)
    scaled = 128 + 0.9 * (0.7 * grey + 0.3 * canvas)
    Image.fromarray(scaled.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=84 + seed % 10)
    return out.getvalue()


def numbered(jpeg: bytes, number: int) -> bytes:
    """Return the picture as another file: with its number in a comment segment (JPEG, ITU-T T.81, B.2.4.5)."""
    text = f"{number:012}".encode()
    first = 4 + int.from_bytes(jpeg[4:6], "big")  # behind JFIF's segment, which must be the first
    return jpeg[:first] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[first:]


class _Answering(asyncio.Protocol):
    def __init__(self, photos: Sequence[bytes], delay_s: float) -> None:
        self._photos = photos
        self._delay_s = delay_s
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=1 << 20)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            asyncio.get_running_loop().call_later(self._delay_s, self._answer, head)

    def _answer(self, head: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        path = head.split(b" ", 2)[1]
        if path == b"/robots.txt":
            body, kind = _ROBOTS, b"text/plain"
        else:
            number = int(path[1:].split(b".")[0])
            body, kind = numbered(self._photos[number % len(self._photos)], number), b"image/jpeg"
        closes = b"connection: close" in head.lower()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n"
            b"Connection: " + (b"close" if closes else b"keep-alive") + b"\r\n\r\n" + body
        )
        if closes:
            self._transport.close()


async def _serve(photos: Sequence[bytes], delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answering(photos, delay_s), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    photos = [photo(0, (16, 16))] if options.tiny else [photo(seed) for seed in range(_PHOTOS)]
    asyncio.run(_serve(photos, options.delay_ms / 1000))


if __name__ == "__main__":
    main()
