import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collectors.http.session import PoliteSession
from gallery.site import Gallery
from workspace.config.collect import NetworkConfig
from workspace.config.model import WorkspaceConfig
from workspace.files.atomic import write_atomic
from workspace.storage.paths import Workspace


def picture_bytes(seed: int, kind: str = "JPEG", size: tuple[int, int] = (96, 80)) -> bytes:
    """A noisy picture that differs from every other seed's."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    noisy = np.asarray(picture).astype(int) + rng.integers(-8, 9, (size[1], size[0], 3))
    out = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(out, kind)
    return out.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, bytes]:
    """Twelve pictures of two classes in tmp_path/photos, by file name; some named against their content."""
    files = {f"cat/c{n:02}.jpg": picture_bytes(n, "WEBP" if n % 3 == 0 else "JPEG") for n in range(7)}
    files |= {f"강아지/d{n:02}.png": picture_bytes(100 + n, "PNG") for n in range(5)}
    for name, data in files.items():
        write_atomic(tmp_path / "photos" / name, data, durable=False)
    return files


@pytest.fixture
def site(tmp_path: Path, photos: dict[str, bytes]) -> Iterator[Gallery]:
    with Gallery.photos(tmp_path / "photos") as gallery:
        yield gallery


@pytest.fixture
def serve() -> Iterator[Callable[[ThreadingHTTPServer], ThreadingHTTPServer]]:
    """Starts a server of the test's own, a stand-in for some service, and ends it with the test."""
    with ExitStack() as ending:

        def start(server: ThreadingHTTPServer) -> ThreadingHTTPServer:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            ending.enter_context(server)
            ending.callback(thread.join)
            ending.callback(server.shutdown)
            return server

        yield start


class _Service(ThreadingHTTPServer):
    """Answers each request by `respond(handler) -> (status, headers, body)`; `handler.form` is the body of a POST."""

    def __init__(self, respond: Callable[[BaseHTTPRequestHandler], tuple[int, list[tuple[str, str]], bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.respond = respond

    def handle_error(self, request: object, client_address: object) -> None:
        """Print no traceback for a client that hung up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Answering(BaseHTTPRequestHandler):
    server: _Service
    form = b""

    def do_GET(self) -> None:
        status, headers, body = self.server.respond(self)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.form = self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def answers(serve) -> Callable[..., str]:
    """Start a stand-in for a service, `respond(request) -> (status, headers, body)`; returns its base URL."""
    return lambda respond: f"http://127.0.0.1:{serve(_Service(respond)).server_port}"


@pytest.fixture
def session() -> Iterator[PoliteSession]:
    """May ask loopback, without pauses, and tries once."""
    with PoliteSession(NetworkConfig(allow_private_addresses=True, per_host_pause_s=0, attempts=1)) as made:
        yield made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def configure() -> Callable[..., WorkspaceConfig]:
    """Settings that ask a site, quickly; `search={…}` and the like add to a section."""
    return _configure


def _configure(site: Gallery, **sections: object) -> WorkspaceConfig:
    values: dict[str, dict[str, object]] = {
        "classes": {keyword: keyword for keyword in site.keywords},
        "search": {"openverse": {"url": site.openverse_url}, "per_class": 200},
        "network": {
            "allow_private_addresses": True,
            "per_host_pause_s": 0,
            "read_timeout_s": 8,
            "transfer_timeout_s": 30,
        },
        "download": {"per_host_connections": 8},
    }
    for section, more in sections.items():
        values.setdefault(section, {}).update(more)  # type: ignore[call-overload]
    return WorkspaceConfig.model_validate(values)
