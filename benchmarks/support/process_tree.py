"""Run a command and measure its whole process tree: seconds, CPU seconds, peak memory (Linux)."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a command.

    `memory_mb` is the largest sum, at one moment, of the proportional set sizes of its processes (10^6 bytes): what
    several of them share counts once. `samples` has every such sum with the seconds since the start. `cpu_s` is the
    time of all of them.
    """

    seconds: float
    cpu_s: float
    memory_mb: float
    output: str
    samples: tuple[tuple[float, float], ...]

    def peak_before(self, seconds: float) -> float:
        """Return the peak memory of the first `seconds`."""
        return max((memory for moment, memory in self.samples if moment <= seconds), default=0.0)


def measure(command: Sequence[str | Path], env: dict[str, str] | None = None) -> Cost:
    """Run a command and measure its process tree; keep its standard output, pass its standard error on.

    Raises:
        SystemExit: it failed.
    """
    began = monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True, env=env)
    samples: list[tuple[float, float]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            memory = sum(_proportional_bytes(pid) for pid in _tree(process.pid)) / 1e6
            samples.append((monotonic() - began, memory))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = monotonic() - began
    finally:
        ended.set()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}; see its messages above")
    peak = max((memory for _, memory in samples), default=0.0)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak, output, tuple(samples))


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for parent in pids:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                pids += [int(child) for child in children.read_text().split()]
            except OSError:
                continue  # it ended meanwhile
    return pids


def _proportional_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it ended meanwhile
    return 0
