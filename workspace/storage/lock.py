"""The workspace lock: one writer at a time; it names its owner, and a dead owner of this machine cannot keep it."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import lock_descriptor, unlock_descriptor

from workspace.clock import utc_now
from workspace.errors import WorkspaceError, os_failure
from workspace.storage.location.catalog import database_lock
from workspace.storage.paths import Workspace

if TYPE_CHECKING:  # loads SQLAlchemy
    from workspace.database.shared import AdvisoryLock

_POLL_S = 0.5
_LOOKS = 3  # whoever only looks whether the lock is taken has it for an instant
_LOOK_S = 0.01

LOCK_WAIT_S = 600.0
"""How long a run, a retraining or a step waits for whoever is at work, in seconds; a watch does not wait.

The help of `retrain` and the documents name it: tests/docs/test_waiting.py."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of the lock.

    Attributes:
        what: its command.
        host: the name of its machine, or of its container.
        pid: its process.
        started: when it started, UTC ISO 8601.
        boot: which start of which kernel it ran on; empty where the system gives no such number.
    """

    what: str
    host: str
    pid: int
    started: str
    boot: str = ""

    @classmethod
    def this_process(cls, what: str) -> Owner:
        """The owner that this process is, with this command."""
        return cls(what, socket.gethostname(), os.getpid(), utc_now(), _boot())

    def shares_locks_with(self, other: Owner) -> bool:
        """Whether one kernel holds the locks of both: on one machine, or in two containers of it.

        Names alone do not tell: every container has its own, and a laptop's may follow the network.
        """
        return self.host == other.host or bool(self.boot) and self.boot == other.boot

    def __str__(self) -> str:
        return f"`{self.what}` (process {self.pid} on {self.host}, since {self.started})"


Attempt = Callable[[], tuple[Owner | None, bool] | None]
"""Tries to take a lock; else returns its owner, and whether that owner is certain."""


class WorkspaceBusy(WorkspaceError):
    """Another process writes to the workspace.

    Attributes:
        owner: which one; None when it has not yet said so.
        is_certain: whether it is alive; of one on another machine that did not sign off nobody knows.
    """

    def __init__(self, text: str, owner: Owner | None, is_certain: bool = True) -> None:
        super().__init__(text)
        self.owner, self.is_certain = owner, is_certain


@contextmanager
def hold(
    workspace: Workspace, what: str, *, wait_s: float = 0, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the workspace lock while the block runs, so that no other process writes.

    The operating system holds the lock (flock, on Windows LockFileEx), so that it ends with the process that has it,
    however that ends, and no child process keeps it; the file says whose it is. Where a folder is shared between
    machines that do not share such locks, an owner of another machine that has not signed off counts as alive. Where
    the catalogue is on PostgreSQL, the server holds the lock for as long as the connection lives, for all machines.

    Args:
        workspace: which.
        what: the command, for those who wait.
        wait_s: how long to wait for the present owner, in seconds.
        on_wait: told once, in words, what is waited for.

    Raises:
        WorkspaceBusy: it is held by another; names the owner and the remedy.
        WorkspaceError: the folder cannot be written, or the database not be reached.
    """
    lock = database_lock(workspace)
    if lock is None:
        with hold_folder(workspace, what, wait_s=wait_s, on_wait=on_wait):
            yield
    else:
        with lock, hold_database(workspace, lock, what, wait_s=wait_s, on_wait=on_wait):
            yield


@contextmanager
def hold_database(
    workspace: Workspace,
    lock: AdvisoryLock,
    what: str,
    *,
    wait_s: float = 0,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the lock in a database while the block runs; `hold` describes the rest."""
    owner = Owner.this_process(what)
    _take(workspace, lambda: _try_database(lock, owner), time.monotonic() + wait_s, on_wait)
    yield
    lock.free()


@contextmanager
def hold_folder(
    workspace: Workspace, what: str, *, wait_s: float = 0, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock in the folder while the block runs; `hold` describes the rest."""
    owner = Owner.this_process(what)
    deadline = time.monotonic() + wait_s
    file = workspace.lock_file
    with ExitStack() as undo:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)  # less the umask
            undo.callback(os.close, handle)  # not inherited: a child process does not keep the lock
            _take(workspace, lambda: _try(handle, owner), deadline, on_wait)
        except OSError as error:
            raise WorkspaceError(
                f"cannot write {file}: {os_failure(error, file, 'free some space or make the folder writable')}, "
                "then run the same command again"
            ) from error
        undo.callback(unlock_descriptor, handle)
        undo.callback(os.ftruncate, handle, 0)
        yield


def lock_owner(workspace: Workspace) -> Owner | None:
    """Return the present owner of the lock, or None."""
    if (lock := database_lock(workspace)) is not None:
        with lock:
            return _owner_in(lock.writer())
    try:
        handle = os.open(workspace.lock_file, os.O_RDONLY)  # the disk may be read-only
    except OSError:
        return None
    try:
        owner = _read(handle)
        if owner is None or not owner.shares_locks_with(Owner.this_process("")):
            return owner
        return None if _locked(handle) else owner
    except OSError:
        return owner  # a disk without locks
    finally:
        os.close(handle)  # and with it the lock


def _take(workspace: Workspace, attempt: Attempt, deadline: float, on_wait: Callable[[str], None] | None) -> None:
    while True:
        busy = attempt()
        if busy is None:
            return
        if time.monotonic() >= deadline:
            raise WorkspaceBusy(_text(workspace, *busy), *busy)
        if on_wait:
            on_wait(f"waiting for {busy[0] or 'another process'}, which is at work in {workspace.root}")
            on_wait = None
        time.sleep(_POLL_S)


def _try(handle: int, owner: Owner) -> tuple[Owner | None, bool] | None:
    """Try to take the lock; else return its owner, and whether that owner is certain."""
    if not _locked(handle):
        return _read(handle), True
    before = _read(handle)
    if before and not before.shares_locks_with(owner):
        unlock_descriptor(handle)
        return before, False
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, b" " + json.dumps(dataclasses.asdict(owner)).encode())
    return None


def _locked(handle: int) -> bool:
    """Take the lock if nobody has it."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_LOOK_S)
        if lock_descriptor(handle, blocking=False):
            return True
    return False


def _try_database(lock: AdvisoryLock, owner: Owner) -> tuple[Owner | None, bool] | None:
    taken = lock.try_take(json.dumps(dataclasses.asdict(owner)))
    return None if taken else (_owner_in(lock.writer()), True)


def _text(workspace: Workspace, owner: Owner | None, sure: bool) -> str:
    if sure:
        whose = str(owner) if owner else "another process"
        return f"{workspace.root} is in use by {whose}; wait for it, or end it, then run the same command again"
    return (
        f"{workspace.root} was in use by {owner} on another machine, which did not sign off; if that is no longer "
        f"running, delete {workspace.lock_file} and run the same command again"
    )


def _read(handle: int) -> Owner | None:
    # Without its first byte: on Windows nobody else can read what is locked, which is that byte. Earlier versions wrote
    # the brace there.
    os.lseek(handle, 1, os.SEEK_SET)
    data = os.read(handle, 4096)
    return _owner_in(data if data.startswith(b"{") else b"{" + data)


@cache
def _boot() -> str:
    try:
        if sys.platform == "darwin":  # where the machine's name follows the network
            asked = ["sysctl", "-n", "kern.bootsessionuuid"]
            return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError, subprocess.SubprocessError):  # neither Linux nor macOS
        return ""


def _owner_in(data: bytes | str) -> Owner | None:
    try:
        return Owner(**json.loads(data))
    except (ValueError, TypeError):
        return None  # nobody, or somebody who is about to write
