"""Run an ASGI application on a port of this machine: until Ctrl-C, or in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

from workspace.errors import ConfigError

_START_S = 15.0


def bind(host: str, port: int) -> socket.socket:
    """Listen on a port; 0: a free one.

    Raises:
        ConfigError: the port is taken, or the host is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"port {port} on {host} cannot be used: {reason}; name another port, or 0 for a free one"
        ) from error


def make_server(app: ASGIApp, stop_s: int, most_connections: int | None = None) -> uvicorn.Server:
    """Return a server for an application.

    Args:
        app: the application.
        stop_s: how long requests in progress may take when it ends, in seconds.
        most_connections: one more is answered 503; None: any number.
    """
    config = uvicorn.Config(
        app,
        ws="none",  # a request for a web socket is then a request like any other, and checked like it
        log_level="warning",
        access_log=False,  # the log of a terminal is no place for tokens
        server_header=False,
        timeout_graceful_shutdown=stop_s,
        limit_concurrency=most_connections,
    )
    return uvicorn.Server(config)


def run_until_stopped(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; uvicorn has ended its requests before it hands Ctrl-C on."""
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


@contextmanager
def running_in_thread(server: uvicorn.Server, listener: socket.socket) -> Iterator[None]:
    """Serve from a thread while the block runs.

    Raises:
        RuntimeError: the server did not start.
    """
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    waited = threading.Event()
    for _ in range(int(_START_S / 0.02)):
        if server.started or not thread.is_alive():
            break
        waited.wait(0.02)
    if not server.started:
        raise RuntimeError(f"the page did not start within {_START_S:g} s")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
