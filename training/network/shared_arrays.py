"""Arrays from another process through shared memory, in slots that are used again.

Through a pipe a batch of views takes dozens of reads, each of which waits for the GIL beside the thread that keeps a
GPU busy, and is copied three times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from workspace.errors import WorkspaceError

Wanted = TypeVar("Wanted")
Made = TypeVar("Made")

SLOT_BYTES = 1 << 26
"""Of a slot; memory is taken only for what is written into it, and a larger array goes through the pipe."""

_attached: dict[str, SharedMemory] = {}
"""A worker's slots by name, opened once."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """Says that an array lies in the slot."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, slot: SharedMemory) -> npt.NDArray[Any]:
        return np.ndarray(self.shape, self.dtype, slot.buf)


class Slots:
    """Slots of shared memory, made by the process that reads them, and taken away with `close`.

    Raises:
        WorkspaceError: the system refuses one; none is left behind.
    """

    def __init__(self, count: int) -> None:
        self._all: list[SharedMemory] = []
        try:
            while len(self._all) < count:
                self._all.append(SharedMemory(create=True, size=SLOT_BYTES))
        except OSError as error:
            self.close()
            raise WorkspaceError(
                f"shared memory for views cannot be made ({error.strerror}): set features.workers to fewer, or give a "
                "container more of it (docker run --shm-size)"
            ) from error
        self._free = [*self._all]

    def take(self) -> SharedMemory:
        """Take a slot that nobody writes to."""
        return self._free.pop()

    def give_back(self, slot: SharedMemory, made: Made | _Placed) -> Made | npt.NDArray[Any]:
        """Return what was made, copied out of the slot where it lies there; the slot is free again."""
        found = made.read(slot).copy() if isinstance(made, _Placed) else made
        self._free.append(slot)
        return found

    def close(self) -> None:
        """Give the memory back to the system."""
        for slot in self._all:
            slot.close()
            slot.unlink()


def make_into(name: str, make: Callable[[Wanted], Made], item: Wanted) -> Made | _Placed:
    """Make something in a worker; an array is put into the slot of this name, anything else is returned."""
    made = make(item)
    if not isinstance(made, np.ndarray) or not 0 < made.nbytes <= SLOT_BYTES:
        return made
    if name not in _attached:
        _attached[name] = SharedMemory(name)
    placed = _Placed(made.shape, made.dtype)
    placed.read(_attached[name])[...] = made
    return placed
