"""Start the service: from a workspace or a model folder, on loopback, or elsewhere with a token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from pages.api.app import api_app
from pages.api.gate import is_loopback
from pages.api.live_model import LiveModel
from pages.api.service import Service
from pages.server import bind, make_server, run_until_stopped, running_in_thread
from workspace.config.operate import ServiceConfig
from workspace.errors import ConfigError
from workspace.storage.paths import Workspace

TOKEN = "COLLECT_AND_TRAIN_TOKEN"
"""Environment variable with the token of the service."""

_FEWEST = 16  # characters of a token where strangers can try it
_STOP_S = 10
_CONNECTIONS_PER_REQUEST = 8  # open connections that are not at work


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How a service is started.

    Attributes:
        choose: names the folder of the model that should answer now.
        config: limits of requests, decoding and the network.
        workspace: where it may keep counts and pictures; None: nowhere.
        device: `auto`, `cpu` or `cuda`.
        token: that requests must bring; empty: none.
    """

    choose: Callable[[], Path]
    config: ServiceConfig
    workspace: Workspace | None = None
    device: str = "auto"
    token: str = ""

    def app(self) -> ASGIApp:
        """Load the model, start the decoders, and build the application.

        Raises:
            CollectAndTrainError: there is no model, it cannot be used, or processes cannot be started.
        """
        service = Service(LiveModel(self.choose, self.device), self.config, self.workspace)
        service.warm_up()
        return api_app(service, self.token)

    @property
    def most_connections(self) -> int:
        """Open connections; one more is answered 503."""
        return _CONNECTIONS_PER_REQUEST * self.config.serve.concurrency


def check_address(host: str, token: str) -> None:
    """Refuse to listen where strangers can ask, unless they need a token that cannot be guessed.

    Raises:
        ConfigError: names the remedy.
    """
    if not is_loopback(host) and len(token) < _FEWEST:
        what = "is too short" if token else "is not set"
        raise ConfigError(
            f"{host} can be reached by others, and {TOKEN} {what}; set it to {_FEWEST} characters or more, as "
            f"{TOKEN}=$(python3 -c 'import secrets; print(secrets.token_urlsafe())'), or listen on 127.0.0.1"
        )


def serve_api(settings: ServiceSettings, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in progress are answered first.

    Args:
        settings: what to serve.
        host: an address of this machine; any but loopback needs a token.
        port: 0 for a free one.
        announce: called with the URL once it listens.

    Raises:
        ConfigError: the port is taken, or the host needs a token.
        CollectAndTrainError: there is no model.
    """
    check_address(host, settings.token)
    app = settings.app()
    with bind(host, port) as listener:
        announce(_url(host, listener.getsockname()[1]))
        run_until_stopped(make_server(app, _STOP_S, settings.most_connections), listener)


@contextmanager
def served_api(settings: ServiceSettings) -> Iterator[str]:
    """Serve on a free port of loopback from a thread while the block runs; yields the URL.

    Raises:
        CollectAndTrainError: there is no model.
        RuntimeError: the server did not start.
    """
    app = settings.app()
    server = make_server(app, _STOP_S, settings.most_connections)
    with bind("127.0.0.1", 0) as listener, running_in_thread(server, listener):
        yield _url("127.0.0.1", listener.getsockname()[1])


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
