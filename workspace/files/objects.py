"""Files in object storage (S3 and what speaks its language), through obstore.

A PUT is whole or not there, which takes the place of a rename; a PUT that asks for the name to be free takes the place
of a lock. Keys, region and endpoint are read from AWS_* in the environment by obstore, and are in no field here, so
that an object can be pickled and logged.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from workspace.errors import WorkspaceError, os_failure
from workspace.files.base import Entry
from workspace.files.s3 import connect, environment, in_words
from workspace.files.scratch import scratch_folder

CONNECTIONS = 16
"""Requests at a time: with 16 threads 400 pictures of 130 kB took 1.0 s, one after the other 5 times as long."""

_DELETED_AT_ONCE = 1000
_DIGEST = "sha256"  # of the object's metadata
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ObjectFiles:
    """Files below an address; workspace/files/base.py describes each method.

    Attributes:
        address: s3://bucket/prefix.
        patient: whether a request that fails is repeated for a minute, as in the middle of a run; else it is asked
            once more at most, as before a run begins.
    """

    address: str
    patient: bool = True
    portion: ClassVar[int | None] = 1000

    def where(self, name: str) -> str:
        """Return the address."""
        return f"{self.address}/{name}"

    def read(self, name: str) -> bytes:
        """Read a file, and compare its bytes with the digest that was stored with them.

        Raises:
            FileNotFoundError: it is not there.
        """
        return self.get(name)[0]

    def get(self, name: str) -> tuple[bytes, str]:
        """Read a file and its tag.

        Raises:
            FileNotFoundError: it is not there.
        """
        with in_words(self.address):
            answer = self._store.get(name)
            stated, tag = answer.attributes.get(_DIGEST), answer.meta["e_tag"]
            data = bytes(answer.bytes())
        if stated is not None and stated != hashlib.sha256(data).hexdigest():
            raise WorkspaceError(
                f"{self.where(name)} has other bytes than were written (its sha256 differs); restore it from a copy or "
                "an earlier version of the bucket, or delete it and run the step that makes it again"
            )
        return data, str(tag)

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write a file, or replace it."""
        self.put(name, data)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        """Write a file unless there is one of that name, whoever else asks at the same time."""
        try:
            self.put(name, data, mode="create")
        except FileExistsError:
            return False
        return True

    def put(self, name: str, data: bytes, mode: str = "overwrite") -> str:
        """Write a file and return its tag.

        Raises:
            FileExistsError: there is one, and `mode` is "create".
        """
        attributes = {_DIGEST: hashlib.sha256(data).hexdigest()}
        with in_words(self.address):
            return str(self._store.put(name, data, attributes=attributes, mode=mode)["e_tag"])

    def size(self, name: str) -> int | None:
        """Return the size in bytes, or None."""
        try:
            with in_words(self.address):
                return int(self._store.head(name)["size"])
        except FileNotFoundError:
            return None

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield every file below a folder; "" for all."""
        with in_words(self.address):
            for page in self._store.list(folder or None, chunk_size=1000):
                for meta in page:
                    yield Entry(str(meta["path"]), int(meta["size"]), str(meta["e_tag"]))

    def folders(self, folder: str) -> list[str]:
        """List the folders in a folder."""
        with in_words(self.address):
            found = self._store.list_with_delimiter(folder)["common_prefixes"]
        return sorted(str(prefix).rstrip("/").rpartition("/")[2] for prefix in found)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files."""
        gone = list(names)
        with in_words(self.address):
            for start in range(0, len(gone), _DELETED_AT_ONCE):
                self._store.delete(gone[start : start + _DELETED_AT_ONCE])

    @contextmanager
    def staged(self, wanted: Sequence[Sequence[str]], scratch: Path) -> Iterator[list[Path | None]]:
        """Copy the files into a folder of `scratch`, and delete it after the block."""
        folder = scratch_folder(scratch)
        try:
            yield each(lambda names: self._first(names, folder), wanted)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _first(self, names: Sequence[str], folder: Path) -> Path | None:
        for name in names:
            try:
                with in_words(self.address):
                    data = self._store.get(name).bytes()
            except FileNotFoundError:
                continue
            file = folder / name
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            except OSError as error:
                raise WorkspaceError(f"cannot write {file}: {os_failure(error, file)}, then go on") from error
            return file
        return None

    def pull(self, folder: str, copy: Path, names: Sequence[str] = ()) -> None:
        """Bring a working copy up to date."""
        from workspace.files.working_copy import pull

        pull(self, folder, copy, names)

    def push(self, folder: str, copy: Path) -> None:
        """Store what has changed in a working copy."""
        from workspace.files.working_copy import push

        push(self, folder, copy)

    @property
    def _store(self) -> Any:
        return _connected(self.address, self.patient, os.getpid(), environment())


@functools.lru_cache(maxsize=8)
def _connected(address: str, patient: bool, _process: int, _environment: int) -> Any:
    """Keep one client a process: it holds connections and threads, which a fork does not take along."""
    return connect(address, patient=patient)


def each(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do some work on each item, CONNECTIONS at a time, and return the results in order."""
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="files") as pool:
        try:
            return list(pool.map(work, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
