import io
import threading
from collections.abc import Iterator

import pytest

from collectors.http.session import PoliteSession
from workspace.config.collect import NetworkConfig
from workspace.errors import TransferFailed

PICTURE = b"\xff\xd8\xff picture"


class ScriptedSite:
    """Answers everything with a picture, but for `pages`: a status, a body, or (status, headers, body)."""

    def __init__(self) -> None:
        self.pages: dict[str, int | str | tuple[int, dict[str, str], str | bytes]] = {
            "/robots.txt": 404,
            "/.well-known/tdmrep.json": 404,
        }
        self.asked: list[str] = []
        self.url = ""
        self.ended = threading.Event()

    def respond(self, request) -> tuple[int, list[tuple[str, str]], bytes]:
        self.asked.append(request.path)
        page = self.pages.get(request.path, (200, {}, ""))
        if page == "hang":
            self.ended.wait(60)
        if not isinstance(page, tuple):
            page = (page, {}, "") if isinstance(page, int) else (200, {}, page)
        status, headers, text = page
        lines = [(name, line) for name, value in headers.items() for line in value.split("\n")]
        return status, lines, (text if isinstance(text, bytes) else text.encode()) or PICTURE

    def session(self, **more: object) -> PoliteSession:
        """Open a session that may ask this site."""
        values = {"private_hosts": ["127.0.0.1"], "per_host_pause_s": 0, "attempts": 1, "read_timeout_s": 5} | more
        return PoliteSession(NetworkConfig.model_validate(values), connections=8, per_host_connections=8)

    def outcome(self, made: PoliteSession, url: str, **more: object) -> tuple[str, str]:
        """Fetch a file; return status and reason."""
        body = io.BytesIO()
        try:
            made.fetch(url, body, max_bytes=100_000, **({"crawled": True} | more))  # type: ignore[arg-type]
        except TransferFailed as error:
            return error.status, error.reason
        assert body.getvalue()
        return "ok", ""


@pytest.fixture
def host(answers) -> Iterator[ScriptedSite]:
    made = ScriptedSite()
    made.url = answers(made.respond)
    yield made
    made.ended.set()
