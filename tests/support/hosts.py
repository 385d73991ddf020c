"""Several hosts on loopback that serve pictures and keep a record of who asked what, and when."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import numpy as np
from PIL import Image


def numbered_picture(number: int) -> bytes:
    """A small noisy picture that differs from every other number's."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


@dataclass
class Asked:
    """One request: when it began and ended, by time.monotonic."""

    host: int
    path: str
    began: float
    ended: float


@dataclass
class Hosts:
    """Hosts 0, 1, … at 127.0.0.1, 127.0.0.2, …; a context manager.

    `/7.png` is picture 7; `/to/2/7.png` redirects to picture 7 of host 2, `/to/1/to/2/7.png` by way of host 1.

    Args:
        count: how many.
        robots: the text of a host's robots.txt, or the number of the host that it redirects to.
        broken: hosts that answer 503.
        answer_s: how long an answer takes.
    """

    count: int
    robots: Mapping[int, str | int] = field(default_factory=dict)
    broken: tuple[int, ...] = ()
    answer_s: float = 0.0
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Hosts:
        self._ending = ExitStack()
        self._lock = threading.Lock()
        self._servers = []
        for host in range(self.count):
            server = _Server((f"127.0.0.{host + 1}", 0), self, host)
            self._servers.append(server)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            self._ending.enter_context(server)
            self._ending.callback(thread.join)
            self._ending.callback(server.shutdown)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def url(self, host: int, path: str) -> str:
        """The url of a path on a host."""
        return f"http://127.0.0.{host + 1}:{self._servers[host].server_port}/{path}"

    def note(self, asked: Asked) -> None:
        """Keep a request."""
        with self._lock:
            self.asked.append(asked)

    def keeps_pause(self, host: int, pause_s: float) -> bool:
        """Whether requests to a host are so far apart on average.

        A fifth less is let pass: a busy machine may note the first one late.
        """
        began = [one.began for one in self.asked if one.host == host]
        return max(began) - min(began) >= (len(began) - 1) * pause_s * 0.8

    def most_at_once(self, host: int) -> int:
        """The largest number of requests to a host that overlapped."""
        edges = [(one.began, 1) for one in self.asked if one.host == host]
        edges += [(one.ended, -1) for one in self.asked if one.host == host]
        now = most = 0
        for _, change in sorted(edges):
            now += change
            most = max(most, now)
        return most

    def times_asked(self, host: int, path: str) -> int:
        """How often a path was asked for."""
        return sum((one.host, one.path) == (host, path) for one in self.asked)


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], hosts: Hosts, number: int) -> None:
        super().__init__(address, _Answering)
        self.hosts, self.number = hosts, number


class _Answering(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        began = time.monotonic()
        hosts, number = self.server.hosts, self.server.number
        time.sleep(hosts.answer_s)
        status, headers, body = self._answer(hosts, number)
        hosts.note(Asked(number, self.path, began, time.monotonic()))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, hosts: Hosts, number: int) -> tuple[int, dict[str, str], bytes]:
        if number in hosts.broken:
            return 503, {}, b""
        if self.path == "/robots.txt":
            rules = hosts.robots.get(number, "")
            if isinstance(rules, int):
                return 302, {"Location": hosts.url(rules, "robots.txt")}, b""
            return 200, {"Content-Type": "text/plain"}, rules.encode()
        if self.path.startswith("/.well-known"):
            return 404, {}, b""
        if self.path.startswith("/to/"):
            _, _, host, rest = self.path.split("/", 3)
            return 302, {"Location": hosts.url(int(host), rest)}, b""
        return 200, {"Content-Type": "image/png"}, numbered_picture(int(self.path[1:].partition(".")[0]))

    def log_message(self, *_args: object) -> None:
        pass
