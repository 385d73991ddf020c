"""Find the runs and published models that use an image, and refuse to train on withdrawn ones."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from workspace.catalog.records import Sample
from workspace.errors import DatasetError
from workspace.storage.champion import read_champion, read_decisions
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder
from workspace.storage.withdrawal import withdrawn_files


@dataclass(frozen=True, slots=True)
class RunUse:
    """A run whose frozen dataset holds some of the images; `pictures` is how many.

    `standing` is `live`, `published` (once live), `trained`, or `dataset` where there is no model yet.
    """

    run_id: str
    pictures: int
    standing: str


def runs_using(workspace: Workspace, files: Collection[str]) -> list[RunUse]:
    """List the runs whose dataset holds any of these sha256, by name.

    Raises:
        DatasetError: a dataset cannot be read.
    """
    was_live = {decision.champion for decision in read_decisions(workspace)}
    champion = read_champion(workspace)
    uses = []
    for run_id in workspace.run_ids():
        run = workspace.run(run_id, "dataset.parquet", "negatives.parquet", "model/card.json")
        if not run.dataset_file.is_file():
            continue
        count = len(_files_of(run) & set(files))
        if count:
            trained = "trained" if run.has_model else "dataset"
            standing = "published" if run.run_id in was_live else trained
            live = champion is not None and champion.champion == run.run_id
            uses.append(RunUse(run.run_id, count, "live" if live else standing))
    return uses


def refuse_withdrawn(workspace: Workspace, run: RunFolder, samples: Sequence[Sample]) -> None:
    """Refuse a frozen dataset some of whose images were withdrawn since.

    Raises:
        DatasetError: some were; names the remedy.
    """
    if not workspace.has_catalog():
        return
    with workspace.open_catalog() as catalog:
        gone = withdrawn_files(catalog) & {sample.sha256 for sample in samples}
    if gone:
        raise DatasetError(
            f"{len(gone)} of the {len(samples)} pictures in {run.dataset_file} were withdrawn with `forget` since it "
            f"was frozen; freeze a new one without them: {workspace.command('split')}"
        )


def _files_of(run: RunFolder) -> set[str]:
    found: set[str] = set()
    for file in (run.dataset_file, *([run.negatives_file] if run.negatives_file.is_file() else [])):
        try:
            table = pq.read_table(io.BytesIO(file.read_bytes()), columns=["sha256"])
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(
                f"{file} cannot be read: {error}; restore the file, or delete the folder of the run"
            ) from error
        found.update(table.column("sha256").to_pylist())
    return found
