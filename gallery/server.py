"""The HTTP server of the gallery: routes, headers, counting, and an orderly stop."""

from __future__ import annotations

import io
import json
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from PIL import Image, ImageDraw, ImageOps

from gallery import pages
from gallery.collection import SitePicture
from gallery.faults.exchange import Exchange
from gallery.faults.registry import FAULTS

if TYPE_CHECKING:
    from gallery.site import Gallery

Answer = tuple[int, str, bytes]
"""HTTP status, content type, body."""

NOT_FOUND: Answer = (404, "text/plain; charset=utf-8", b"not found\n")
IDLE_S = 60.0  # a kept-alive connection is dropped after this


class GalleryServer(ThreadingHTTPServer):
    """A threaded server that knows its connections, so that stopping it ends every one."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, gallery: Gallery, port: int) -> None:
        self.gallery = gallery
        self._open: dict[Any, threading.Thread] = {}
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection on a thread of its own."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._open_lock:
            self._open[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        with self._open_lock:
            self._open.pop(request, None)
        linger = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.calcsize("ii"))
        if linger == struct.pack("ii", 1, 0):
            self.close_request(request)  # the fault `reset`: an orderly shutdown first would send FIN
        else:
            super().shutdown_request(request)

    def server_close(self) -> None:
        """Stop listening, end all connections and wait for their threads."""
        super().server_close()
        with self._open_lock:
            still_open = dict(self._open)
        for connection in still_open:
            try:
                connection.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for the next request
            except OSError:
                continue  # the visitor has gone already
        for thread in still_open.values():
            thread.join(timeout=5.0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect in the middle of an answer."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: GalleryServer
    protocol_version = "HTTP/1.1"
    server_version = "gallery"
    timeout = IDLE_S
    # Head and body leave together: with Nagle's algorithm each small answer would wait 40 ms for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer GET, with the fault that the request is due, if any."""
        gallery = self.server.gallery
        kind, answer = self._route()
        gallery.count(kind)
        if "Cookie" in self.headers:
            gallery.count("with a cookie")
        fault = gallery.mischief.take(self.path)
        parts = urlsplit(self.path).path.split("/")
        if fault is None and len(parts) == 4 and parts[1] == "fault" and parts[2] in FAULTS:
            fault = parts[2] if gallery.mischief.strikes(parts[2], self.path) else None
        if fault is not None:
            _, content_type, body = answer
            FAULTS[fault](Exchange(self, body, content_type, gallery.stopping, gallery.hang_s, gallery.drip_s))
            return
        if kind == "image" and gallery.delay_s > 0:
            gallery.stopping.wait(gallery.delay_s)
        self._send(answer)

    do_HEAD = do_GET  # noqa: N815 (the name is http.server's)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is http.server's)
        """Keep quiet: requests are counted, not printed."""

    def _send(self, answer: Answer) -> None:
        status, content_type, body = answer
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _route(self) -> tuple[str, Answer]:
        """Return the kind of the request, as counted, and its honest answer."""
        address = urlsplit(self.path)
        parameters = dict(parse_qsl(address.query))
        parts = [unquote(part) for part in address.path.strip("/").split("/")]
        collection = self.server.gallery.collection
        match parts:
            case ["v1", "images"]:
                return "search", self._search(parameters)
            case ["search"]:
                return "results", self._results(parameters)
            case ["v1", "images", identity, "thumb"] if identity in collection.by_id:
                return "image", self._picture(collection.by_id[identity], {})
            case ["v1", "images", identity] if identity in collection.by_id:
                detail = pages.openverse_result(collection.by_id[identity], self.server.gallery.base_url)
                return "other", _as_json(200, detail)
            case ["images", name] | ["fault", _, name]:
                picture = collection.by_name.get(name)
                return "image", self._picture(picture, parameters) if picture else NOT_FOUND
            case ["photo", identity] if identity in collection.by_id:
                return "landing", _as_html(pages.landing_page(collection.by_id[identity]))
            case ["robots.txt"]:
                return "robots", (200, "text/plain; charset=utf-8", self.server.gallery.robots_txt.encode())
            case ["assets", "logo.png"]:
                return "other", (200, "image/png", _furniture(120, 32))
            case ["assets", "icon.png"]:
                return "other", (200, "image/png", _furniture(24, 24))
            case _:
                return "other", NOT_FOUND

    def _search(self, parameters: dict[str, str]) -> Answer:
        collection = self.server.gallery.collection
        pictures = collection.find(collection.openverse, parameters.get("q", ""))
        return _as_json(*pages.openverse_search(pictures, parameters, self.server.gallery.base_url))

    def _results(self, parameters: dict[str, str]) -> Answer:
        collection = self.server.gallery.collection
        query = parameters.get("q", "")
        page = int(number) if (number := parameters.get("page", "1")).isdecimal() else 1
        pictures = collection.find(collection.results, query)
        return _as_html(pages.results_page(query, pictures, max(page, 1), self.server.gallery.base_url))

    def _picture(self, picture: SitePicture, parameters: dict[str, str]) -> Answer:
        body = self.server.gallery.collection.body(picture)
        if body is None:
            return NOT_FOUND
        width = parameters.get("w", "")
        if width.isdecimal() and int(width) > 0:
            return 200, "image/jpeg", narrowed(body, int(width))
        return 200, picture.content_type, body


def narrowed(body: bytes, width: int) -> bytes:
    """Scale a picture down to ``width`` pixels as JPEG, for ``srcset``; unchanged where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(body)) as image:
            small = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError):  # Pillow raises SyntaxError for some broken PNGs
        return body
    small.thumbnail((width, width * 10))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return out.getvalue()


def _as_json(status: int, content: dict[str, object]) -> Answer:
    return status, "application/json", json.dumps(content, ensure_ascii=False).encode()


def _as_html(text: str) -> Answer:
    return 200, "text/html; charset=utf-8", text.encode()


def _furniture(width: int, height: int) -> bytes:
    image = Image.new("RGB", (width, height), "#234")
    ImageDraw.Draw(image).ellipse((4, 4, height - 4, height - 4), fill="#fc6")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
