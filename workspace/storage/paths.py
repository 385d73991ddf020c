"""Paths of the workspace folder, and where its files lie."""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workspace.config.storage import StorageConfig, read_storage
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic as write_atomic
from workspace.files.atomic import write_json as write_json
from workspace.files.base import Files
from workspace.files.opening import files_of, open_files

if TYPE_CHECKING:
    from workspace.catalog.catalog import Catalog

CARD_NAME, WEIGHTS_NAME, README_NAME = "card.json", "model.safetensors", "README.md"
CALIBRATION_NAME, REFERENCE_NAME = "calibration.json", "reference.safetensors"
"""The files of a model folder, which may be copied away from its run."""

ONNX_NAME, TORCH_NAME = "model.onnx", "model.pt2"
"""What `export` writes into its folder."""

_ITEMS_PER_PIECE = 1000


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
    def champion_file(self) -> Path:
        """The decision that made the present model live, likewise: workspace.storage.champion.Decision."""
        return self.root / "models" / "champion.json"

    @property
    def decisions_file(self) -> Path:
        """Every decision about a model, one JSON line each, likewise."""
        return self.root / "models" / "decisions.jsonl"

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


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder runs/<run_id>: dataset, model and report of one training, frozen once written."""

    root: Path

    @property
    def run_id(self) -> str:
        """The folder's name: a digest of the dataset and of the settings that shape the model."""
        return self.root.name

    @property
    def config_file(self) -> Path:
        """All settings of this run, frozen."""
        return self.root / "config.toml"

    @property
    def dataset_file(self) -> Path:
        """The dataset, one row per image: workspace.catalog.records.Sample."""
        return self.root / "dataset.parquet"

    @property
    def negatives_file(self) -> Path:
        """The negatives, laid out as the dataset; absent where there are none."""
        return self.root / "negatives.parquet"

    @property
    def metrics_file(self) -> Path:
        """Scores of the model, written by evaluate: workspace.storage.metrics.Metrics."""
        return self.root / "metrics.json"

    @property
    def report_file(self) -> Path:
        """The report for people."""
        return self.root / "report.html"

    @property
    def model(self) -> Path:
        """The model folder: all that `predict --model` needs."""
        return self.root / "model"

    @property
    def card_file(self) -> Path:
        """The model card for programs, written last: workspace.storage.model_card.ModelCard."""
        return self.model / CARD_NAME

    @property
    def weights_file(self) -> Path:
        """Weights of the whole network."""
        return self.model / WEIGHTS_NAME

    @property
    def calibration_file(self) -> Path:
        """Calibration and limits for "none"; absent where they could not be measured."""
        return self.model / CALIBRATION_NAME

    @property
    def reference_file(self) -> Path:
        """Features of the training images, for the distance limit."""
        return self.model / REFERENCE_NAME

    @property
    def readme_file(self) -> Path:
        """The model card for people."""
        return self.model / README_NAME

    @property
    def has_model(self) -> bool:
        """Whether training has finished."""
        return self.card_file.is_file()

    @property
    def history_file(self) -> Path:
        """Course of the head and of fine-tuning, and which of them ships."""
        return self.root / "history.json"

    @property
    def attribution_file(self) -> Path:
        """Creator and licence of each picture, as a table."""
        return self.root / "ATTRIBUTION.csv"

    @property
    def credits_file(self) -> Path:
        """Creator and licence of each picture, as a page."""
        return self.root / "credits.html"

    @property
    def export(self) -> Path:
        """Default folder of `export`."""
        return self.root / "export"

    @property
    def oof_file(self) -> Path:
        """Out-of-fold answers of the shipped recipe: training.stats.folds.OutOfFold."""
        return self.root / "oof.npz"

    @property
    def regime_file(self) -> Path:
        """Diagnostics of the training set, and the regime chosen by them."""
        return self.root / "regime.json"

    @property
    def tracking_file(self) -> Path:
        """Where this run was logged: training.tracking.track."""
        return self.root / "tracking.json"

    @property
    def tensorboard(self) -> Path:
        """The event file of this run."""
        return self.root / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of a training in progress; deleted once the model is saved."""
        return self.root / "checkpoints"


def digest(*parts: object, length: int = 12) -> str:
    """Hash these parts (JSON, sorted keys) to a short hex name, equal for equal parts."""
    hashed = hashlib.sha256(b"[")
    for number, part in enumerate(parts):
        hashed.update(b", " if number else b"")
        for text in _json_pieces(part):
            hashed.update(text.encode())
    hashed.update(b"]")
    return hashed.hexdigest()[:length]


def _json_pieces(part: object) -> Iterator[str]:
    """Yield what `json.dumps` writes of a part, a list piece by piece: the text of a million rows fills a gigabyte."""
    dumps = functools.partial(json.dumps, sort_keys=True, ensure_ascii=False, default=str)
    if not isinstance(part, list):
        yield dumps(part)
        return
    yield "["
    for start in range(0, len(part), _ITEMS_PER_PIECE):
        yield (", " if start else "") + dumps(part[start : start + _ITEMS_PER_PIECE])[1:-1]
    yield "]"
