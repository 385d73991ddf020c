"""The real download step against every fault at once: each ends as one row, and every good picture is stored.

One run for all of them is the stronger test: faults share hosts, connections and threads with what is good.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collectors import download
from collectors.fetch_shard import fetch_image
from collectors.http.session import PoliteSession
from collectors.intake import Intake
from gallery.faults.bad_transfers import _bomb
from gallery.site import Gallery
from workspace.catalog.records import Download, Hit
from workspace.config.collect import NetworkConfig
from workspace.config.model import WorkspaceConfig
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

# fault of the gallery → status, reason, tries
FAULTS = {
    "hang": ("failed", "timeout", 2),
    "hang_in_body": ("failed", "timeout", 2),
    "drip": ("failed", "too_slow", 1),
    "drip_headers": ("failed", "too_slow", 1),
    "reset": ("failed", "connection", 2),
    "early_close": ("failed", "incomplete", 2),
    "drop": ("failed", "connection", 2),
    "length_too_long": ("failed", "timeout", 2),
    "length_absurd": ("failed", "bad_http", 1),
    "chunked_garbage": ("failed", "bad_http", 1),
    "chunked_cut": ("failed", "incomplete", 2),
    "gzip_bomb": ("refused", "too_large", 1),
    "gzip_garbage": ("failed", "bad_encoding", 1),
    "huge_header": ("failed", "bad_http", 1),
    "many_headers": ("failed", "bad_http", 1),
    "not_http": ("failed", "bad_http", 1),
    "endless": ("refused", "too_large", 1),
    "204": ("failed", "http_204", 1),
    "206": ("failed", "http_206", 1),
    "400": ("failed", "http_400", 1),
    "401": ("failed", "http_401", 1),
    "403": ("failed", "http_403", 1),
    "404": ("failed", "http_404", 1),
    "408": ("failed", "http_408", 2),
    "410": ("failed", "http_410", 1),
    "429": ("failed", "rate_limited", 2),
    "429_date": ("failed", "rate_limited", 2),
    "500": ("failed", "http_500", 2),
    "502": ("failed", "http_502", 2),
    "503": ("failed", "http_503", 2),
    "504": ("failed", "http_504", 2),
    "503_long": ("failed", "http_503", 1),
    "301_loop": ("failed", "too_many_redirects", 1),
    "redirect_loop": ("failed", "too_many_redirects", 1),
    "redirect_nowhere": ("failed", "http_302", 1),
    "redirect_private": ("refused", "private_address", 1),
    "redirect_metadata": ("refused", "private_address", 1),
    "redirect_file": ("refused", "bad_url", 1),
    "redirect_ftp": ("refused", "bad_url", 1),
    "redirect_user": ("refused", "bad_url", 1),
    "redirect_tls": ("failed", "tls", 1),
    "svg": ("refused", "svg", 1),
    "html": ("refused", "html", 1),
    "text": ("refused", "unknown_content", 1),
    "empty": ("refused", "empty", 1),
    "noai": ("refused", "opted_out", 1),
    "noai_for_us": ("refused", "opted_out", 1),
}
# odd, but a picture comes, at this try
HONEST = {
    "octet_stream": 1,
    "wrong_type": 1,
    "no_type": 1,
    "cookie": 1,
    "moved": 1,
    "moved_endless": 1,
    "noai_for_another": 1,
    "busy_once": 2,
    "500_once": 2,
    "drop_once": 2,
}
GOOD = 24
# 32 transfers share these with every good picture; one that hangs takes twice the first.
QUICK = {"read_timeout_s": 4, "transfer_timeout_s": 6, "connect_timeout_s": 6, "attempts": 2}


class Run:
    """What the one run left behind."""

    def __init__(self, workspace: Workspace, urls: dict[str, str], bodies: dict[str, bytes]) -> None:
        self.workspace = workspace
        self.urls = urls
        self.bodies = bodies
        with workspace.open_catalog() as catalog:
            self.rows = catalog.all(Download)

    def row(self, name: str) -> Download:
        found = [row for row in self.rows if row.image_url == self.urls[name]]
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def stored(self, name: str) -> bytes:
        return ImageStore(self.workspace).get(self.row(name).sha256)


def lookup(real):  # type: ignore[no-untyped-def]
    """Names for tests: *.here is this machine, *.gone is not known to anybody; everything else as it is."""

    def getaddrinfo(host, *args, **more):  # type: ignore[no-untyped-def]
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name.endswith(".gone"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1" if name.endswith(".here") else host, *args, **more)

    return getaddrinfo


def six() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("faults")
    for number in range(GOOD):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        (folder / "photos" / "cat").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "photos" / "cat" / f"{number:02}.jpg")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(socket, "getaddrinfo", lookup(socket.getaddrinfo))
        site, other = (stack.enter_context(Gallery.photos(folder / "photos")) for _ in range(2))
        for gallery in (site, other):
            gallery.hang_s, gallery.drip_s = 10, 0.2
            gallery.robots_txt = "User-agent: *\nDisallow: /*hidden\n"
        _bomb()  # once and beforehand, so that no transfer waits for it
        bodies = {name: site.collection.body(picture) for name, picture in sorted(site.collection.by_name.items())}
        names = list(bodies)
        urls = {f"good {name}": f"{site.base_url}/images/{name}" for name in names}
        urls |= {kind: f"{site.base_url}/fault/{kind}/{names[0]}" for kind in (*FAULTS, *HONEST, "length_too_short")}
        urls |= others(site, other, names)
        bodies = {f"good {name}": body for name, body in bodies.items()} | {"first": bodies[names[0]]}
        workspace = Workspace(folder / "workspace")
        with workspace.open_catalog() as catalog:
            catalog.add_new([Hit("cat", "cat", "test", rank, url) for rank, url in enumerate(urls.values())])
        config = WorkspaceConfig.model_validate(
            {
                "classes": {"cat": "cat", "dog": "dog"},
                "network": QUICK
                | {"per_host_pause_s": 0, "give_up_after": 1000, "contact": "me@example.org"}
                | {"private_hosts": ["127.0.0.1", "::1", "neighbour.here", "closed.here", "hidden.here"]},
                "download": {"connections": 32, "per_host_connections": 32, "max_mb": 1},
            }
        )
        counts = download.run(workspace, config)
        assert counts.done == len(urls)
        yield Run(workspace, urls, bodies)
        assert site.requests["with a cookie"] == other.requests["with a cookie"] == 0


def others(site: Gallery, other: Gallery, names: list[str]) -> dict[str, str]:
    """Addresses whose fault lies in the host, not in the gallery's answer."""
    port = other.base_url.rpartition(":")[2]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        closed = probe.getsockname()[1]
    return {
        "good elsewhere": f"http://neighbour.here:{port}/images/{names[1]}",
        "moved elsewhere": f"http://neighbour.here:{port}/fault/moved/{names[2]}",
        "tls": f"https://127.0.0.1:{port}/images/{names[0]}",
        "dns": f"http://nobody.gone/images/{names[0]}",
        "closed port": f"http://closed.here:{closed}/images/{names[0]}",
        "private name": f"http://rebound.here:{port}/images/{names[0]}",
        "disallowed": f"{site.base_url}/images/{names[0]}?hidden=1",
        "ipv6 loopback": f"http://[::ffff:127.0.0.1]:{port}/images/{names[0]}",
        "a folder's file": "folder:cat/00.jpg",
    }


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_one_row_with_its_reason_and_number_of_tries(run: Run, kind: str) -> None:
    row = run.row(kind)
    assert (row.status, row.reason, row.attempts) == FAULTS[kind], row.detail
    assert row.sha256 == ""
    assert row.detail
    assert "secret" not in row.detail


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("tls", "failed", "tls"),
        ("dns", "failed", "unknown_host"),
        ("closed port", "failed", "connection"),
        ("private name", "refused", "private_address"),
        ("ipv6 loopback", "refused", "private_address"),
        ("disallowed", "refused", "robots"),
        ("a folder's file", "refused", "bad_url"),
    ],
)
def test_a_host_that_cannot_or_must_not_be_asked_is_one_row(run: Run, name: str, status: str, reason: str) -> None:
    assert (run.row(name).status, run.row(name).reason) == (status, reason), run.row(name).detail


@pytest.mark.parametrize("kind", HONEST)
def test_what_is_merely_odd_is_stored(run: Run, kind: str) -> None:
    row = run.row(kind)
    assert (row.status, row.attempts) == ("ok", HONEST[kind]), row.detail
    assert run.stored(kind) == run.bodies["first"]


def test_every_good_picture_beside_the_faults_is_stored_byte_for_byte(run: Run) -> None:
    good = [name for name in run.urls if name.startswith("good ") and name != "good elsewhere"]
    assert len(good) == GOOD
    for name in good:
        assert run.row(name).status == "ok", run.row(name)
        assert run.stored(name) == run.bodies[name]
    assert run.row("good elsewhere").status == run.row("moved elsewhere").status == "ok"


def test_a_body_longer_than_its_declared_length_is_cut_there_and_spoils_no_other(run: Run) -> None:
    row = run.row("length_too_short")
    assert (row.status, row.bytes) == ("ok", len(run.bodies["first"]) // 2)  # decoding finds it truncated


def test_every_url_has_one_row_and_there_are_at_least_forty_faults(run: Run) -> None:
    assert sorted(row.image_url for row in run.rows) == sorted(run.urls.values())
    assert len(FAULTS) >= 40


class SixServer(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class Six(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.end_headers()
        self.wfile.write(b"\xff\xd8\xff over IPv6")

    def log_message(self, *_args: object) -> None:
        pass


@pytest.mark.skipif(not six(), reason="this machine has no IPv6 loopback")
def test_a_picture_comes_over_ipv6_and_only_where_that_is_allowed(tmp_path: Path) -> None:
    with SixServer(("::1", 0), Six) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"http://[::1]:{server.server_port}/x.jpg"
        intake = Intake(ImageStore(Workspace(tmp_path)), (), max_bytes=1000, durable=False)
        outcomes = []
        for hosts in ((), ("[::1]",)):
            with PoliteSession(NetworkConfig(private_hosts=hosts, attempts=1)) as session:
                outcomes.append(fetch_image(session, url, intake))
        server.shutdown()
        thread.join()
    assert [(row.status, row.reason) for row in outcomes] == [("refused", "private_address"), ("ok", "")]
