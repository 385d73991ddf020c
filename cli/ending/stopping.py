"""Stop a command by Ctrl-C or SIGTERM: it unwinds, says that it goes on, and what has not ended in time is cut off."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import psutil

from cli import output
from workspace.terminal import CONSOLE

GRACE_S = 1.5
"""How long a command may take to unwind: a client of Prefect alone would ask a server that is gone for minutes."""

_ENDING = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_REAP_S = 0.3
_SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """Run a command whose work is kept; as a decorator too.

    Ctrl-C and SIGTERM raise KeyboardInterrupt. However the block ends then, one sentence says that the same command
    goes on, and the exit code is 130 or 143. After `GRACE_S` the process ends wherever it is, and its children with it.
    """
    stop = _Stop()
    with stop.awaited():
        try:
            yield
        except BaseException as error:
            number = stop.number or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else None)
            if number is None:
                raise
            stop.tell(number)


class _Stop:
    """The signal that is to end the command, once it has come."""

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        self._raised = self._told = False

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """Wait for the signals while the block runs; after the first the others are ignored, as the end is near."""
        before = {number: signal.signal(number, self._raise) for number in _ENDING}
        # The interpreter writes to it when a signal comes, whatever the main thread does then, and whoever else handles
        # the signal: Prefect does while a flow runs.
        woken, wakes = socket.socketpair()
        wakes.setblocking(False)
        wakeup_before = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(woken,), daemon=True).start()
        atexit.register(self._cut_off)  # after what the command registers: the interpreter's own end takes seconds
        try:
            yield
        finally:
            if self.number is None:
                atexit.unregister(self._cut_off)
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self.number else handler)
            wakes.close()

    def tell(self, number: signal.Signals) -> NoReturn:
        """Say that the command was stopped, and exit."""
        self._told = True
        if output.wants_json():
            output.fail("KeyboardInterrupt", _sentence(number), 128 + number)
        CONSOLE.quiet = False
        CONSOLE.print(_sentence(number))
        raise SystemExit(128 + number)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        self.number = self.number or signal.Signals(number)
        if not self._raised:
            self._raised = True
            raise KeyboardInterrupt

    def _watch(self, woken: socket.socket) -> None:
        with woken:
            while came := woken.recv(1):
                if came[0] in _ENDING:
                    self.number = self.number or signal.Signals(came[0])
                    time.sleep(GRACE_S)
                    self._cut_off()

    def _cut_off(self) -> None:
        number = self.number or signal.SIGINT
        # Written past Python's streams: the main thread may be anywhere, with any lock.
        if output.wants_json() and not self._told:
            document = output.failure("KeyboardInterrupt", _sentence(number), 128 + number)
            os.write(1, f"{document}\n".encode())
        elif not self._told:
            os.write(2, f"{_SHOW_CURSOR if CONSOLE.is_terminal else ''}{_sentence(number)}\n".encode())
        children = psutil.Process().children(recursive=True)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=_REAP_S)
        os._exit(128 + number)


def _sentence(number: signal.Signals) -> str:
    return f"Stopped by {_ENDING[number]}; the same command goes on where this one stopped."
