"""Export the dataset as an imagefolder: a folder per split and class, as torchvision and datasets read it."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preprocessing.dataset.export.columns import DETAILS, SPLITS, arrow_schema, classes_of, images_of, readme
from workspace.catalog.records import Sample
from workspace.errors import WorkspaceError, os_failure
from workspace.files.atomic import write_atomic
from workspace.licenses import spreadsheet_cell
from workspace.names import folder_name
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

METADATA = "metadata.parquet"
"""Of each split, for datasets. It reads a metadata.csv too, but then the classes are texts and not a ClassLabel."""

CREDITS = "credits.csv"
COLUMNS = ("file_name", "split", "label", *DETAILS)
"""Of credits.csv, which says the same to people."""


def export_imagefolder(workspace: Workspace, samples: Sequence[Sample], folder: Path, name: str) -> None:
    """Write <split>/<label>/<sha256>.jpg, <split>/metadata.parquet, credits.csv, README.md; images that exist stay.

    Args:
        workspace: where the images are.
        samples: the dataset.
        folder: the target; created if missing.
        name: what it is called in its README.md.

    Raises:
        WorkspaceError: an image's file is gone, or the folder cannot be written.
    """
    schema = arrow_schema(pa.field("file_name", pa.string()), classes_of(samples), "Value")
    credited: list[Mapping[str, object]] = []
    for split, split_name in SPLITS.items():
        rows: list[dict[str, object]] = []
        for image in images_of(ImageStore(workspace), samples, split):
            inside = Path(folder_name(image.sample.label)) / image.file.name
            _copy(image.file, folder / split_name / inside)
            rows.append({"file_name": inside.as_posix(), "label": image.label, **image.details()})
            in_folder = {"file_name": f"{split_name}/{inside.as_posix()}", "split": split_name}
            credited.append(rows[-1] | in_folder | {"label": image.sample.label})
        if rows:
            buffer = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
            write_atomic(folder / split_name / METADATA, buffer.getvalue())
            (folder / split_name / "metadata.csv").unlink(missing_ok=True)  # of an earlier version; one kind is allowed
    write_atomic(folder / CREDITS, _csv(credited))
    write_atomic(folder / "README.md", readme(samples, name, "datasets.load_dataset('imagefolder', data_dir=…)"))


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise WorkspaceError(f"cannot write {target}: {os_failure(error, target, 'name another folder')}") from error


def _csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    writer.writerows([spreadsheet_cell(str(row[column])) for column in COLUMNS] for row in rows)
    return buffer.getvalue().encode()
