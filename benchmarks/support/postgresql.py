"""A server of PostgreSQL of our own, on loopback and a free port, for as long as a block runs."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

USER = "collector"
QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""Settings for tests, which lose nothing in a power cut."""

_NOBODY = "postgres"  # whom Debian's package makes; the server refuses to run as root
_PROGRAMS = ("initdb", "postgres", "pg_isready")
_TRIES = 3
_START_S = 60.0
_PR_SET_PDEATHSIG = 1


def missing() -> str:
    """Return what is not installed, and how to get it; empty: nothing is missing."""
    if _programs() is None:
        return "no server of PostgreSQL is installed: apt-get install postgresql"
    if find_spec("psycopg") is None:
        return "the driver psycopg is not installed: pip install -e '.[postgres]'"
    return ""


@contextmanager
def temporary_server(settings: Sequence[str] = QUICK) -> Iterator[str]:
    """Make a database cluster, start its server, and delete both at the end.

    Args:
        settings: of postgresql.conf, as `name=value`.

    Yields:
        The address of its database `postgres`, with user and password.

    Raises:
        RuntimeError: it is not installed, or does not start.
    """
    programs = _programs()
    if programs is None:
        raise RuntimeError(missing())
    account = pwd.getpwnam(_NOBODY) if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="collect-and-train-postgresql-"))
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        yield from _run(programs, folder, account.pw_name if account else None, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(programs: Path, folder: Path, account: str | None, settings: Sequence[str]) -> Iterator[str]:
    password, data = secrets.token_hex(8), folder / "data"
    secret = folder / "password"
    secret.write_text(password)
    _call(
        account, programs / "initdb", "--pgdata", data, "--username", USER, "--pwfile", secret, "--no-sync",
        "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8",
    )  # fmt: skip
    server, port = _start(programs, folder, account, settings)
    try:
        yield f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: what it holds is deleted
        server.wait()


def _start(
    programs: Path, folder: Path, account: str | None, settings: Sequence[str]
) -> tuple[subprocess.Popen[bytes], int]:
    log = folder / "log"
    for _ in range(_TRIES):  # another program may take the port in between
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        options = [word for setting in (*settings, "listen_addresses=127.0.0.1") for word in ("-c", setting)]
        with log.open("wb") as file:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder, *options],
                user=account, cwd="/", stdin=subprocess.DEVNULL, stdout=file, stderr=file, preexec_fn=_end_with_parent,
            )  # fmt: skip
        ready = [str(programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
        deadline = time.monotonic() + _START_S
        while server.poll() is None and time.monotonic() < deadline:
            if subprocess.run(ready, check=False).returncode == 0:
                return server, port
            time.sleep(0.1)
        server.kill()
        server.wait()
    raise RuntimeError(f"PostgreSQL does not start: {log.read_text()[-500:]}")


def _end_with_parent() -> None:
    """Ask Linux to stop the server when this process ends, however it does, so that none is left running."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _call(account: str | None, *command: object) -> None:
    """Run one of its programs as a user without rights."""
    done = subprocess.run(
        [str(word) for word in command],
        user=account,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout.strip()[-500:]}")


def _programs() -> Path | None:
    """Return the folder with all of them: Debian has them outside of the path."""
    folders = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return next((folder for folder in folders if all((folder / name).exists() for name in _PROGRAMS)), None)
