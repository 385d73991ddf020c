"""Pictures that a service was told to keep, served/pictures/: each with when it came and what was answered.

A file is named by its sha256, with a record beside it. Once a person has put it into a class or taken it out, the
record alone stays, so that the same picture is not kept again, and the inbox knows where its copy comes from.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from workspace.digest import SHA256
from workspace.errors import ModelError, WorkspaceError, os_failure
from workspace.files.atomic import write_atomic
from workspace.storage.artefact import Artefact
from workspace.storage.paths import Workspace

_LOG = logging.getLogger("collect_and_train")

_INBOX_NAME = re.compile(rf"served-({SHA256})\.[a-z]+")


class KeptPicture(Artefact):
    """The record of a kept picture, served/pictures/<sha256>.json."""

    COMMAND: ClassVar[str] = "collect-and-train serve --api"
    REPAIR: ClassVar[str] = "delete it, with the picture beside it"

    sha256: str
    suffix: str = Field(description="Of the file, by content, with its dot.")
    bytes: int
    kept_at: str = Field(description="When it was answered, UTC ISO 8601.")
    run_id: str = Field(description="The run whose model answered.")
    best: str = Field(description="The most probable class.")
    probability: float = Field(description="Of that class.")
    none: str = Field("", description="Why the answer was none of the classes; empty where it was `best`.")
    url: str = Field("", description="The address it was fetched from; empty for an upload.")
    decided: str = Field("", description="The class that a person put it into; `-`: taken out; empty: undecided.")

    @property
    def sureness(self) -> tuple[float, str]:
        """Rank among the kept pictures: the largest makes room first; of those answered `none`, the oldest last."""
        return (0.0 if self.none else self.probability, self.kept_at)


TAKEN_OUT = "-"
"""The decision of a person that a kept picture belongs to no class."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Most undecided pictures, and most bytes of them."""

    pictures: int
    bytes: int


class KeptPictures:
    """The kept pictures of a workspace; safe to use from several threads of one process."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder = workspace.served / "pictures"
        self._lock = threading.RLock()
        self._records: dict[str, KeptPicture] = {}
        self._stamp = -1

    def knows(self, sha256: str) -> bool:
        """Return whether a picture is kept, or was decided on; its record alone may be left of a failed write."""
        record = self.record(sha256)
        return record is not None and (bool(record.decided) or self._file(record).is_file())

    def is_undecided(self, sha256: str) -> bool:
        """Return whether a picture is there, and nobody has decided on it."""
        record = self.record(sha256)
        return record is not None and not record.decided and self._file(record).is_file()

    def record(self, sha256: str) -> KeptPicture | None:
        """Read the record of a picture; None where there is none, or it is damaged."""
        try:
            return KeptPicture.read_if_present(self._record_file(sha256))
        except ModelError as error:
            _LOG.warning("%s", error)
            return None

    def undecided(self) -> list[KeptPicture]:
        """List the pictures that nobody has decided on, the least sure first."""
        held = [record for record in self._all() if not record.decided and self._file(record).is_file()]
        return sorted(held, key=lambda record: record.sureness)

    def read(self, sha256: str) -> bytes | None:
        """Read the bytes of an undecided picture; None where they are gone."""
        record = self.record(sha256)
        try:
            return self._file(record).read_bytes() if record else None
        except FileNotFoundError:
            return None

    def keep(self, record: KeptPicture, data: bytes, limits: Limits) -> bool:
        """Keep a picture, and let the surest go where there are too many; return whether it is kept.

        Raises:
            WorkspaceError: it cannot be written.
        """
        with self._lock:
            if self.knows(record.sha256):
                return False
            held = sorted([*self.undecided(), record], key=lambda one: one.sureness)
            size = sum(one.bytes for one in held)
            too_many: list[KeptPicture] = []
            while len(held) > limits.pictures or size > limits.bytes:
                surest = held.pop()
                size -= surest.bytes
                if surest is record:
                    return False
                too_many.append(surest)
            record.write(self._record_file(record.sha256))  # first: no picture is without its record
            write_atomic(self._file(record), data, durable=False)
            for surest in too_many:  # last: a write that fails costs none of them
                self._delete(surest)
            self._records[record.sha256] = record
            self._stamp = self._stamp_now()  # so that the next one need not read them all
            return True

    def put_into(self, sha256: str, label: str) -> bool:
        """Put a copy of a picture into the inbox of a class, where the next training finds it.

        Returns:
            Whether it was there to be put; it may have been decided on elsewhere.

        Raises:
            WorkspaceError: the inbox cannot be written.
        """
        with self._lock:
            record = self.record(sha256)
            if record is None or record.decided or not self._file(record).is_file():
                return False
            target = self._workspace.inbox / label / f"served-{sha256}{record.suffix}"
            try:
                # With the time of its file, so that it is settled at once, and taken in once.
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(f".{target.name}.tmp")
                try:
                    shutil.copy2(self._file(record), temporary)
                    temporary.replace(target)
                finally:
                    temporary.unlink(missing_ok=True)  # of a failure: it would be a copy that `delete` does not find
            except OSError as error:
                raise WorkspaceError(
                    f"cannot write {target.parent}: {os_failure(error, target, 'make the folder writable')}, "
                    "then decide again"
                ) from error
            self._decide(record, label)
            return True

    def take_out(self, sha256: str) -> bool:
        """Delete a picture that belongs to no class; return whether it was there."""
        with self._lock:
            record = self.record(sha256)
            if record is None or record.decided:
                return False
            self._decide(record, TAKEN_OUT)
            return True

    def matching(self, files: Collection[str], urls: Collection[str]) -> list[KeptPicture]:
        """List the pictures of these sha256, or from these addresses, decided on or not."""
        return [one for one in self._all() if one.sha256 in files or (one.url and one.url in urls)]

    def delete(self, records: Iterable[KeptPicture]) -> None:
        """Delete pictures with their records, and their copies in the inbox."""
        with self._lock:
            for record in records:
                for copy in self._workspace.inbox.glob(f"*/served-{record.sha256}.*"):
                    _unlink(copy)
                self._delete(record)

    def of_inbox_file(self, file: Path) -> KeptPicture | None:
        """Return the record of a file in the inbox that `put_into` made, or None."""
        match = _INBOX_NAME.fullmatch(file.name)
        return self.record(match[1]) if match else None

    def _all(self) -> list[KeptPicture]:
        """Read every record, again only where the folder has changed: another process may decide."""
        with self._lock:
            if (stamp := self._stamp_now()) != self._stamp:
                found = (self.record(file.stem) for file in self._folder.glob("*.json"))
                self._records = {record.sha256: record for record in found if record}
                self._stamp = stamp
            return list(self._records.values())

    def _stamp_now(self) -> int:
        return self._folder.stat().st_mtime_ns if self._folder.is_dir() else 0

    def _decide(self, record: KeptPicture, decision: str) -> None:
        # The file last: a decision that cannot be written can be made again.
        record.model_copy(update={"decided": decision}).write(self._record_file(record.sha256))
        _unlink(self._file(record))

    def _delete(self, record: KeptPicture) -> None:
        _unlink(self._file(record))
        _unlink(self._record_file(record.sha256))
        self._records.pop(record.sha256, None)

    def _record_file(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"

    def _file(self, record: KeptPicture) -> Path:
        return self._folder / f"{record.sha256}{record.suffix}"


def _unlink(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        remedy = os_failure(error, file, "make the folder writable")
        raise WorkspaceError(f"cannot delete {file}: {remedy}, then do it again") from error
