"""Move the files of a workspace: pictures, finished runs, models."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from workspace.config.storage import StorageConfig
from workspace.errors import WorkspaceError
from workspace.files.objects import each
from workspace.files.working_copy import RECORD
from workspace.moving.places import IMAGE, Place, place_of, stored
from workspace.progress import Progress
from workspace.storage.paths import Workspace
from workspace.text.counts import counted

_AT_A_TIME = 256  # files between two reports of progress
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FileMover:
    """Moves files between the workspace's folder and object storage, or between two places there.

    Where the files lie elsewhere the folder of a run on this machine is its working copy, so it stays.
    """

    workspace: Workspace
    source: Place
    target: Place

    @classmethod
    def of(cls, workspace: Workspace, source: StorageConfig, target: StorageConfig) -> FileMover | None:
        """Make a mover; None where the files stay where they are."""
        if source.files == target.files:
            return None
        return cls(workspace, place_of(workspace, source), place_of(workspace, target))

    def check(self) -> None:
        """Refuse places that cannot be reached, or are another workspace's.

        Raises:
            WorkspaceError: names the remedy.
        """
        self.source.check(holds=True)
        self.target.check(holds=False)

    def copy(self, progress: Progress) -> None:
        """Copy what the new place lacks, and delete there what an earlier attempt copied and is no more."""
        self.target.take()
        source, target = self.source.files, self.target.files
        there = stored(target)
        singles = {name: size for name, size in stored(source).items() if not name.startswith("runs/")}
        todo = [name for name, size in singles.items() if not IMAGE.fullmatch(name) or there.get(name) != size]
        _in_batches(progress, "Copying files", todo, lambda name: target.write(name, source.read(name), durable=False))
        runs = sorted(
            {*source.folders("runs"), *(path.parent.name for path in self.workspace.runs.glob("*/config.toml"))}
        )
        progress.begin("Copying runs", len(runs))
        for run_id in runs:
            self._copy_run(run_id)
            progress.advance()
        with contextlib.suppress(FileNotFoundError):
            target.write("runs/latest", source.read("runs/latest"))
        self.target.prune(stored(source))

    def _copy_run(self, run_id: str) -> None:
        folder, copy = f"runs/{run_id}", self.workspace.runs / run_id
        self.source.files.push(folder, copy)  # what a killed step left on this machine alone
        self.source.files.pull(folder, copy)
        if any(self.target.files.size(name) is None for name in stored(self.source.files, folder)):
            (copy / RECORD).unlink(missing_ok=True)  # it would say of a lost file that it is there
        self.target.files.push(folder, copy)

    def compare(self, progress: Progress) -> str:
        """Compare names, sizes and the digest of every file, read back from the new place.

        Raises:
            WorkspaceError: they differ.
        """
        source, target = self.source.files, self.target.files
        wanted, there = stored(source), stored(target)
        if missing := [name for name, size in wanted.items() if there.get(name) != size]:
            raise WorkspaceError(
                f"{len(missing)} of {len(wanted)} files are missing in the copy or have another size there, such as "
                f"{missing[0]}; nothing was switched or deleted: give the same command again"
            )

        def same(name: str) -> bool:
            copied, image = hashlib.sha256(target.read(name)).hexdigest(), IMAGE.fullmatch(name)
            # One that was damaged before goes along as it is: `clean` finds it, and it is fetched again.
            return bool(image and copied == image[1]) or copied == hashlib.sha256(source.read(name)).hexdigest()

        equal = _in_batches(progress, "Comparing digests", list(wanted), same)
        if different := [name for name, is_same in zip(wanted, equal, strict=True) if not is_same]:
            target.remove(different)
            raise WorkspaceError(
                f"{len(different)} of {len(wanted)} files arrived with other bytes, such as {different[0]}; nothing "
                "was switched or deleted: give the same command again"
            )
        if sys.platform != "win32":  # which has no such call, and writes within seconds
            os.sync()  # the old place is cleared next
        return f"{counted(len(wanted), 'file')} ({sum(wanted.values()) / 1e6:,.1f} MB)"

    def clear(self) -> None:
        """Delete the files of the old place, if they are this workspace's."""
        self.source.clear()
        self.target.settle()


def _in_batches(progress: Progress, what: str, names: Sequence[str], work: Callable[[str], Result]) -> list[Result]:
    """Do some work on each file, several at a time, and return the results in order."""
    progress.begin(what, len(names))
    results: list[Result] = []
    for start in range(0, len(names), _AT_A_TIME):
        batch = names[start : start + _AT_A_TIME]
        results += each(work, batch)
        progress.advance(len(batch))
    return results
