"""Paths of the workspace folder, and where its files lie."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workspace.config.storage import StorageConfig, read_storage
from workspace.errors import WorkspaceError
from workspace.files.base import Files
from workspace.files.opening import files_of, open_files
from workspace.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from workspace.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one classifier; data/README.md describes every file in it.

    Attributes:
        root: the folder.
        placed: where its files lie; None: as its workspace.toml says, which a process on another machine does not have.

    Example:
        >>> workspace = Workspace(Path("data/pandas"))
        >>> workspace.config_file.as_posix()
        'data/pandas/workspace.toml'
        >>> workspace.run("3f2a9c").report_file.as_posix()
        'data/pandas/runs/3f2a9c/report.html'
    """

    root: Path
    placed: StorageConfig | None = None

    @property
    def storage(self) -> StorageConfig:
        """Where its files lie.

        Raises:
            ConfigError: workspace.toml cannot be read.
        """
        return self.placed or read_storage(self.config_file)

    @property
    def files(self) -> Files:
        """The files that may lie elsewhere: images/, models/ and what is finished of runs/.

        Raises:
            ConfigError: workspace.toml cannot be read.
            WorkspaceError: they cannot be reached, or are another workspace's.
        """
        # A process that works for another, as on another machine, is told where they are, and does not ask whose.
        return files_of(self.placed, self.root) if self.placed else self.checked_files

    @property
    def checked_files(self) -> Files:
        """The same, once they are known to be reachable and this workspace's; asked once a process."""
        return open_files(self.storage, self.root, self.command("move"))

    def command(self, name: str) -> str:
        """Return a command on this workspace, quoted for a shell, for messages that name the next one.

        Example:
            >>> Workspace(Path("my pandas")).command("run")
            "collect-and-train run -w 'my pandas'"
        """
        return f"collect-and-train {name} -w {shlex.quote(str(self.root))}"

    @property
    def config_file(self) -> Path:
        """Settings of the workspace, edited by the user."""
        return self.root / "workspace.toml"

    @property
    def catalog_file(self) -> Path:
        """The tables of workspace/catalog/catalog.py in one SQLite file, where they are in no database elsewhere."""
        return self.root / "catalog.sqlite"

    @property
    def catalog_note(self) -> Path:
        """The id of a workspace with a database elsewhere, and where its rows are: workspace.storage.location."""
        return self.root / "catalog.json"

    @property
    def move_file(self) -> Path:
        """Of a move that is under way or was interrupted: where from and where to, workspace.moving."""
        return self.root / "move.json"

    def open_catalog(self) -> Catalog:
        """Open the catalogue, or create it, where workspace.toml says; a context manager that closes it.

        Raises:
            ConfigError: workspace.toml cannot be read.
            WorkspaceError: it cannot be opened, was written by a later version, or belongs to another workspace.
        """
        from workspace.storage.location.catalog import open_catalog

        return open_catalog(self)

    def has_catalog(self) -> bool:
        """Return whether anything was collected yet; opening the catalogue would create an empty one."""
        from workspace.storage.location.catalog import has_catalog

        return has_catalog(self)

    def catalog_stamp(self) -> tuple[float, ...]:
        """Return a value that changes with every write to the catalogue, whichever process writes."""
        from workspace.storage.location.catalog import catalog_stamp

        return catalog_stamp(self)

    @property
    def images(self) -> Path:
        """The downloaded files where they lie in this folder: ImageStore is the way to them, wherever they lie."""
        return self.root / "images"

    @property
    def cache(self) -> Path:
        """Decoded pixels, features, activations; may be deleted at any time."""
        return self.root / "cache"

    @property
    def scratch(self) -> Path:
        """Copies of files that lie elsewhere, for as long as a step needs them."""
        return self.cache / "staged"

    @property
    def runs(self) -> Path:
        """The frozen runs, one folder each; where files lie elsewhere, their working copies."""
        return self.root / "runs"

    @property
    def lock_file(self) -> Path:
        """The lock, which names the process that writes now: workspace.storage.lock."""
        return self.root / "lock.json"

    @property
    def inbox(self) -> Path:
        """Where a user drops new pictures, in a folder per class."""
        return self.root / "inbox"

    @property
    def served(self) -> Path:
        """What `serve --api` notes of its answers, and the pictures that it keeps: workspace.served."""
        return self.root / "served"

    @property
    def answers_file(self) -> Path:
        """Counts of the latest answers of `serve --api`: workspace.served.answers."""
        return self.served / "answers.json"

    @property
    def features_pointer(self) -> Path:
        """The file that names the folder in cache/ that the latest features step filled."""
        return self.cache / "features"

    @property
    def curation_file(self) -> Path:
        """Digest of the inputs of the latest curation."""
        return self.cache / "curation.json"

    def run(self, run_id: str, *names: str) -> RunFolder:
        """Return the folder of a run, brought up to date where its files lie elsewhere.

        Args:
            run_id: which.
            names: of the files that are needed; none: all.

        Raises:
            WorkspaceError: the files cannot be reached.
        """
        folder = RunFolder(self.runs / run_id)
        self.files.pull(f"runs/{run_id}", folder.root, names)
        return folder

    def keep(self, run: RunFolder) -> None:
        """Store what a step has changed in the folder of a run, where files lie elsewhere.

        Raises:
            WorkspaceError: the files cannot be reached.
        """
        self.files.push(f"runs/{run.run_id}", run.root)

    def run_ids(self) -> list[str]:
        """List the names of all runs, sorted."""
        return self.files.folders("runs")

    def latest_run(self) -> RunFolder:
        """Return the run that the latest split or training made.

        Raises:
            WorkspaceError: there is none yet.
        """
        pointer = self.files.where("runs/latest")
        try:
            name = self.files.read("runs/latest").decode().strip()
        except FileNotFoundError as error:
            raise WorkspaceError(f"{self.root} has no run yet; make one with: {self.command('split')}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise WorkspaceError(
                f"{pointer} cannot be read ({error}); write it anew: {self.command('split')}"
            ) from error
        if not name or Path(name).name != name:
            raise WorkspaceError(f"{pointer} names no run; write it anew: {self.command('split')}")
        return self.run(name)

    def point_to(self, run_id: str) -> None:
        """Make this run the latest one."""
        self.files.write("runs/latest", f"{run_id}\n".encode())
