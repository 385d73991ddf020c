"""A supervised child process of `up`: Prefect's server or worker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows.server.deployments import working_folder
from workspace.errors import WorkspaceError
from workspace.terminal import say

_STOP_S = 10.0
_QUICK_DEATH_S = 20.0
_QUICK_DEATHS = 3


@dataclass
class ChildProcess:
    """A supervised process: restarted when it dies, terminated with its whole process tree."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log: Path | None
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    deaths: int = field(default=0)

    def start(self) -> None:
        """Start the process in a group of its own: Ctrl-C reaches `up` alone, which stops its children in order."""
        out = self.log.open("ab") if self.log else None
        self.process = subprocess.Popen(
            self.command,
            cwd=working_folder(),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=out or sys.stderr,
            stderr=out or sys.stderr,
            start_new_session=True,
        )
        self.began = time.monotonic()
        if out:
            out.close()

    @property
    def died(self) -> bool:
        """Whether the process ended without being stopped."""
        return self.process is not None and self.process.poll() is not None

    def start_again(self) -> None:
        """Restart the process after it died.

        Raises:
            WorkspaceError: it died soon after its start, several times in a row.
        """
        code = self.process.returncode if self.process else None
        self.deaths = self.deaths + 1 if time.monotonic() - self.began < _QUICK_DEATH_S else 1
        if self.deaths >= _QUICK_DEATHS:
            where = f"; its log is {self.log}" if self.log else ", see its messages above"
            raise WorkspaceError(f"the {self.name} ended {self.deaths} times in a row (exit code {code}){where}")
        say(f"The {self.name} ended (exit code {code}); starting it again")
        self.start()

    def stop(self) -> None:
        """Terminate the process tree: SIGTERM, SIGTERM again (an idle worker needs two), then SIGKILL.

        On Windows, which has no such signals, the processes are ended at once.
        """
        if self.process is None:
            return
        # Asked for now: once it has ended, nobody knows them. A worker's runs are in process groups of their own.
        children = _started_by(self.process.pid)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
        for _ in range(2):
            if self.process.poll() is None:
                self.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(_STOP_S)
        if sys.platform != "win32":  # no groups there; its children are known
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait()


def _started_by(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
