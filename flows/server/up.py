"""The command `up`: a Prefect server with work pool, deployments and worker, started and stopped together."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import psutil

from flows.plugin import NOTE
from flows.server.client import connected
from flows.server.deployments import (
    IN_CHECKOUT,
    POOL,
    PREFECT,
    Defaults,
    prefect_command,
    register,
    working_folder,
)
from flows.server.supervisor import ChildProcess
from workspace.errors import ConfigError, WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.names import local_path
from workspace.terminal import say

_STARTS = 3  # with --port 0: until Prefect is imported, another program may take the port that was free
_START_S = 180.0  # a cold start of the server took up to 20 s on 2 busy cores
_HANG_UP = () if sys.platform == "win32" else (signal.SIGHUP,)
_ENDING = (signal.SIGINT, signal.SIGTERM, *_HANG_UP)
_HEARTBEAT_S = 30  # Prefect's least; a run that is silent for three of them is shown as crashed

# As in Prefect's documentation, "Detect zombie flow runs".
_CRASHED_WITHOUT_HEARTBEAT: dict[str, Any] = {
    "name": "collect-and-train: killed runs are shown as crashed",
    "trigger": {
        "type": "event",
        "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
        "for_each": ["prefect.resource.id"],
        "after": ["prefect.flow-run.heartbeat"],
        "expect": [
            "prefect.flow-run.heartbeat",
            *(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")),
        ],
        "posture": "Proactive",
        "threshold": 1,
        "within": 3 * _HEARTBEAT_S,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": "Its process no longer responds: it was killed, or the machine went down. Run it again: it "
            "resumes where this one stopped.",
        }
    ],
}


class _NotStarted(WorkspaceError):
    """Prefect's server ended before it answered, or did not answer in time."""


@dataclass(frozen=True)
class UpSettings:
    """Options of `up`: where the server listens, and what the deployments are given."""

    defaults: Defaults = Defaults()
    host: str = "127.0.0.1"
    port: int = 4200


def check_address(host: str) -> None:
    """Refuse an address that other machines can reach, unless Prefect's server has a password.

    Raises:
        ConfigError: it is not loopback and no password is set, or it is no address of this machine.
    """
    try:
        loopback = all(ipaddress.ip_address(info[4][0]).is_loopback for info in socket.getaddrinfo(host, None))
    except OSError as error:
        raise ConfigError(f"--host {host}: {error.strerror}; use 127.0.0.1") from error
    if not loopback and ":" not in os.environ.get("PREFECT_SERVER_API_AUTH_STRING", ""):
        raise ConfigError(
            f"--host {host} can be reached from other machines, and whoever reaches Prefect's server can run code "
            "here. Use 127.0.0.1 (and ssh -L for a look from elsewhere), or set a password: "
            "PREFECT_SERVER_API_AUTH_STRING=name:password for the server, and the same in PREFECT_API_AUTH_STRING for "
            "whoever uses it. Even then /docs and /api/health answer everybody"
        )


def free_port(host: str, port: int) -> int:
    """Return the port if it is free, or any free port for 0.

    Raises:
        ConfigError: it is taken.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(
            f"port {port} of {host} is taken: {error.strerror}; end what uses it, or take a free one with --port 0"
        ) from error


def serve(settings: UpSettings) -> None:
    """Start the server and the worker, print the next command, and supervise them until Ctrl-C or SIGTERM.

    Raises:
        ConfigError: the address is not safe or not free.
        WorkspaceError: a part does not start.
    """
    check_address(settings.host)
    for left in reversed(range(1 if settings.port else _STARTS)):
        port = free_port(settings.host, settings.port)
        try:
            _serve_on(port, settings)
            break
        except _NotStarted:
            if not left or _is_free(settings.host, port):
                raise
            say(f"Another program has taken port {port}; trying the next one")


def _is_free(host: str, port: int) -> bool:
    try:
        return bool(free_port(host, port))
    except ConfigError:
        return False


def _serve_on(port: int, settings: UpSettings) -> None:
    page = f"http://{'[' + settings.host + ']' if ':' in settings.host else settings.host}:{port}"
    environment = _environment(f"{page}/api")
    home = local_path(environment.get("PREFECT_HOME", Path.home() / ".prefect"))
    log = home / "collect-and-train-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    host_and_port = ("--host", settings.host, "--port", str(port))
    server = ChildProcess("server", [*PREFECT, "server", "start", *host_and_port], environment, log)
    worker_words = ("worker", "start", "--pool", POOL, "--type", "process", "--limit", "4")
    worker = ChildProcess("worker", [*PREFECT, *worker_words], environment, None)
    with _stopped_by_signals(), _announced(home, f"{page}/api"):
        try:
            say(f"Starting Prefect's server at {page} (its log: {log}) …")
            server.start()
            _wait_until_healthy(f"{page}/api/health", server)
            register(environment, settings.defaults)
            _show_killed_runs_as_crashed(environment)
            worker.start()
            say(*_what_next(page, settings.defaults))
            while True:
                for child in (server, worker):
                    if child.died:
                        child.start_again()
                time.sleep(0.5)
        except KeyboardInterrupt:
            say("Stopping the worker and the server …")
        finally:
            for number in _ENDING:
                signal.signal(number, signal.SIG_IGN)  # who is impatient must not leave half of it running
            worker.stop()
            server.stop()


def _environment(api: str) -> dict[str, str]:
    defaults = {
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_CLIENT_MAX_RETRIES": "15",  # a server that is started again is away for 20 s
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(_HEARTBEAT_S),
    }
    password = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    defaults |= {"PREFECT_API_AUTH_STRING": password} if password else {}
    environment = defaults | os.environ | {"PREFECT_API_URL": api}
    return {name: value for name, value in environment.items() if name != "PREFECT_API_KEY"}


def _what_next(page: str, defaults: Defaults) -> list[str | tuple[str, str]]:
    # Prefect loads the plugin where pyproject.toml says so, and the environment was made since there is one.
    plugin = IN_CHECKOUT and entry_points(group="prefect.plugins", name="collect-and-train")
    command = f"{prefect_command()} deployment run collect-and-train"
    command = command if plugin else f"PREFECT_API_URL={page}/api {command}/local"
    if not defaults.workspace:
        command += """ --param workspace=data/pandas --param 'keywords=["red panda", "raccoon"]'"""
    return [
        "\nPrefect's page: ",
        (page, "bold"),
        f"\nNext, in another terminal, in {working_folder()}:\n  ",
        (command, "bold"),
        f"\nLater drop new pictures into {defaults.workspace or 'data/pandas'}/inbox/CLASS/: `watch` looks every "
        f"{defaults.watch_s:g} s.\nCtrl-C stops everything.\n",
    ]


def _show_killed_runs_as_crashed(environment: Mapping[str, str]) -> None:
    """Create the automation where no earlier `up` did.

    Raises:
        WorkspaceError: the server does not take it.
    """
    question = {"automations": {"name": {"any_": [_CRASHED_WITHOUT_HEARTBEAT["name"]]}}}
    api, password = environment["PREFECT_API_URL"], environment.get("PREFECT_API_AUTH_STRING")
    try:
        with connected(api, timeout_s=20, retries=5, password=password) as client:
            if not client.request("POST", "/automations/filter", json=question).json():
                client.request("POST", "/automations/", json=_CRASHED_WITHOUT_HEARTBEAT)
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        raise WorkspaceError(
            f"Prefect's server at {api} does not take the automation that shows killed runs: {why}"
        ) from error


def _wait_until_healthy(url: str, server: ChildProcess) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and not server.died:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise _NotStarted(f"Prefect's server did not start; its log is {server.log}")


@contextlib.contextmanager
def _announced(home: Path, api: str) -> Iterator[None]:
    """Record the server's address where flows/plugin.py looks, so that Prefect's command finds it."""
    note = home / NOTE
    text = json.dumps({"api_url": api, "pid": os.getpid(), "started": psutil.Process().create_time()}).encode()
    write_atomic(note, text)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if note.read_bytes() == text:  # not that of another `up`
                note.unlink()


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Turn SIGTERM, and SIGHUP unless nohup ignores it, into KeyboardInterrupt while the block runs."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDING}
    signal.signal(signal.SIGTERM, stop)
    for number in _HANG_UP:
        if before[number] != signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
