"""The Prefect server of flows that a command runs in its own process: checked, or started, before the flow begins.

Without the check Prefect's own troubles come as hundreds of lines, some only after minutes.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows.server.client import connected
from workspace.errors import CollectAndTrainError, WorkspaceError, os_failure
from workspace.names import local_path

if TYPE_CHECKING:
    import httpx
    from prefect.client.orchestration import SyncPrefectClient

_ANSWER_S = 30.0  # it may answer nothing while its SQLite is locked
_RETRIES = 2
_TOO_BUSY = (429, 502, 503, 504)
_STARTS = 3  # a port that another program takes at that very moment is no reason to give up
_ROOM_BYTES = 1_000_000  # Prefect's new database
_ENDS_OF_FAILURE = ("Crash detected!", "Finished in state Failed(", "Finished in state Crashed(")
_LOG = "collect-and-train-temporary-server.log"


def prepare_server() -> None:
    """Check that the server of PREFECT_API_URL answers; where none is named, start a temporary one.

    The temporary server ends with this process, whatever ends it. Call it before anything imports Prefect.

    Raises:
        WorkspaceError: the server does not answer, or a temporary one cannot start; names the remedy.
    """
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_leave_failures_to_the_command)
    logging.getLogger("prefect").addFilter(_is_worth_a_line)
    home = local_path(os.environ.get("PREFECT_HOME") or "~/.prefect")
    if not os.environ.get("PREFECT_API_URL"):
        _check_home(home)
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url:
        _check_answer(settings.api.url)
    elif not settings.server.ephemeral.enabled:
        raise WorkspaceError(
            "Prefect has no server: PREFECT_API_URL is not set, and PREFECT_SERVER_ALLOW_EPHEMERAL_MODE forbids a "
            "temporary one; set one of them"
        )
    else:
        _start_temporary(home)


def server_that_answers() -> str:
    """Return the API URL that Prefect's settings name, once the server there has answered.

    Raises:
        WorkspaceError: none is named, or it does not answer; names the remedy.
    """
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        raise WorkspaceError(
            "PREFECT_API_URL is not set: name your server, such as PREFECT_API_URL=http://127.0.0.1:4200/api, or let "
            "`collect-and-train up` start one"
        )
    _check_answer(url)
    return url


def _leave_failures_to_the_command(record: logging.LogRecord) -> bool:
    """Drop what the command line tells in words; it keeps the traceback of an unforeseen failure in a file."""
    foreseen = record.exc_info and isinstance(record.exc_info[1], CollectAndTrainError)
    record.exc_info = None
    return not foreseen and not record.getMessage().startswith(_ENDS_OF_FAILURE)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return not record.msg.startswith("Stopping temporary server")  # it would stand below the result


def _check_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(bytes(_ROOM_BYTES))
            probe.flush()
    except OSError as error:
        raise WorkspaceError(
            f"Prefect cannot keep its records in {home}: {os_failure(error, home, 'make the folder writable')}, or "
            "name another one: PREFECT_HOME=/tmp/prefect"
        ) from error
    database = home / "prefect.db"
    try:
        if database.exists():
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise WorkspaceError(
            f"Prefect's records in {database} cannot be used: {error}; move it away (Prefect makes a new "
            "one), or name another folder: PREFECT_HOME=/tmp/prefect"
        ) from error


def _check_answer(url: str) -> None:
    import httpx

    without = (
        "do without it: `prefect config unset PREFECT_API_URL`, and unset the environment variable PREFECT_API_URL"
    )
    remedy = f"start it (`collect-and-train up`, or `prefect server start`), or {without}"
    try:
        with connected(url, timeout_s=_ANSWER_S, retries=_RETRIES) as client:
            health, version = _get(client, "/health"), _get(client, "/admin/version")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        why = str(error) or type(error).__name__
        raise WorkspaceError(f"Prefect's server at {url} (PREFECT_API_URL) does not answer: {why}; {remedy}") from error
    if version.status_code in (401, 403):
        raise WorkspaceError(
            f"Prefect's server at {url} (PREFECT_API_URL) refuses us: HTTP {version.status_code}; set "
            "PREFECT_API_AUTH_STRING=name:password as the server has it, or PREFECT_API_KEY for Prefect Cloud"
        )
    if health.status_code in _TOO_BUSY:
        raise WorkspaceError(
            f"Prefect's server at {url} (PREFECT_API_URL) is too busy: HTTP {health.status_code}; try again, or "
            f"{without}"
        )
    if not health.is_success or "json" not in health.headers.get("content-type", ""):
        raise WorkspaceError(
            f"what answers at {url} (PREFECT_API_URL) is not Prefect's API: HTTP {health.status_code}; the address "
            f"ends in /api as a rule. Correct it, or {remedy}"
        )


def _get(client: SyncPrefectClient, route: Literal["/health", "/admin/version"]) -> httpx.Response:
    """The answer, whatever its status."""
    import httpx

    try:
        return client.request("GET", route)
    except httpx.HTTPStatusError as error:
        return error.response


def _start_temporary(home: Path) -> None:
    from prefect.server.api.server import SubprocessASGIServer

    log, starts = home / _LOG, 0

    def run_server(server: Any) -> subprocess.Popen[bytes]:
        nonlocal starts
        starts += 1
        if starts > _STARTS:  # Prefect itself would try for ever
            raise RuntimeError(f"it ended {_STARTS} times")
        return start_server(server.port, log)

    # Prefect's own command leaves a server of 250 MB behind when this process is killed.
    SubprocessASGIServer._run_uvicorn_command = run_server  # type: ignore[assignment,method-assign]
    try:
        SubprocessASGIServer().start()
    except (RuntimeError, OSError) as error:
        SubprocessASGIServer().stop()
        raise WorkspaceError(
            f"Prefect's temporary server does not start: {' '.join(str(error).split())[:300]}; its messages are in "
            f"{log}. With records of its own in another folder it may: PREFECT_HOME=/tmp/prefect"
        ) from error


def start_server(port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the temporary server's process, which ends when this one does.

    Args:
        port: on loopback.
        log: receives its messages.

    Raises:
        OSError: the log cannot be written, or no process started.
    """
    from prefect.settings import get_current_settings

    # As Prefect does in SubprocessASGIServer._run_uvicorn_command: no pages, and none of the services of `up`.
    kind = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    environment = os.environ | kind | get_current_settings().to_environment_variables(exclude_unset=True)
    importable_from = str(Path(__file__).resolve().parents[__name__.count(".")])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [importable_from, environment.get("PYTHONPATH")]))
    ours, _kept = os.pipe()  # the other end stays open until this process is gone
    try:
        with log.open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.server.temporary", str(port)],
                env=environment,
                stdin=ours,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C, which goes to the whole group, is not for it: a flow reports its end
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )
    finally:
        os.close(ours)
