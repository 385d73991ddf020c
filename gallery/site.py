"""The gallery: a small image-search site on loopback that speaks the formats of real sources over real HTTP."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from types import TracebackType

from gallery.collection import Collection, Planted
from gallery.faults.registry import Mischief
from gallery.photos import photo_collection, recorded_collection
from gallery.plan import rendered_collection
from gallery.server import GalleryServer

__all__ = ["Gallery", "Planted"]


class Gallery:
    """An image-search site; a context manager that serves while it is open.

    Make one with ``rendered``, ``photos`` or ``recorded``. Addresses exist once it is open: the port is
    chosen then.

    Attributes:
        keywords: The keywords that find something.
        requests: Number of requests so far by kind: search (JSON), results (html), image, landing, robots,
            other; and those that came with a cookie.
        delay_s: Delay before each picture is answered, in seconds; may be changed while serving.
        hang_s: How long the fault ``hang`` says nothing, in seconds.
        drip_s: How long the fault ``drip`` waits before each byte, in seconds.
        robots_txt: What /robots.txt says.
    """

    def __init__(self, collection: Collection, *, port: int = 0) -> None:
        self.collection = collection
        self.keywords = collection.keywords
        self.requests: Counter[str] = Counter()
        self.delay_s = 0.0
        self.hang_s = 30.0
        self.drip_s = 0.2
        self.robots_txt = "User-agent: *\nAllow: /\n"
        self.mischief = Mischief()
        self.stopping = threading.Event()
        self._port = port
        self._lock = threading.Lock()
        self._server: GalleryServer | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def rendered(cls, *, per_class: int = 60, seed: int = 0, port: int = 0) -> Gallery:
        """Make the demo's site: ``per_class`` drawn pictures of each of five objects, and planted faults."""
        return cls(rendered_collection(per_class=per_class, seed=seed), port=port)

    @classmethod
    def photos(cls, folder: Path, *, port: int = 0) -> Gallery:
        """Serve ``folder/<class>/<files>``; the keywords are the class folders' names.

        Raises:
            FileNotFoundError: No class folder with a file in it.
        """
        return cls(photo_collection(folder), port=port)

    @classmethod
    def recorded(cls, folder: Path, *, port: int = 0) -> Gallery:
        """Replay recorded Openverse answers: ``folder/search/*.json`` and ``folder/thumbs/<id>.jpg``.

        Raises:
            FileNotFoundError: No recorded answer.
        """
        return cls(recorded_collection(folder), port=port)

    @property
    def base_url(self) -> str:
        """The site's base URL, without a slash at its end.

        Raises:
            RuntimeError: The site is not open.
        """
        if self._server is None:
            raise RuntimeError("the gallery has no address before it is open; use it as `with Gallery.… as gallery:`")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def openverse_url(self) -> str:
        """Base URL of the JSON search: ``{openverse_url}/images/?q=…``."""
        return self.base_url + "/v1"

    @property
    def results_url(self) -> str:
        """URL of the HTML results page, with the placeholders {keyword} and {page}."""
        return self.base_url + "/search?q={keyword}&page={page}"

    def truth(self) -> list[Planted]:
        """List the ground truth of every served picture."""
        return self.collection.truth()

    def misbehave(self, path_prefix: str, kind: str, times: int = 1) -> None:
        """Let the next ``times`` requests whose path starts with ``path_prefix`` meet the fault ``kind``.

        Raises:
            ValueError: There is no such fault; the text lists them.
        """
        self.mischief.add(path_prefix, kind, times)

    def count(self, kind: str) -> None:
        """Count one request."""
        with self._lock:
            self.requests[kind] += 1

    def serve_forever(self) -> None:
        """Block until the user interrupts (Ctrl-C); the site must be open."""
        url = self.base_url  # says what is wrong where it is not open
        try:
            while url and not self.stopping.wait(1.0):
                pass
        except KeyboardInterrupt:
            return

    def __enter__(self) -> Gallery:
        self.stopping.clear()
        self._server = GalleryServer(self, self._port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="gallery", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._server = self._thread = None
