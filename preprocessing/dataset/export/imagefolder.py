"""Export the dataset as an imagefolder: a folder per split and class, as torchvision and datasets read it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preprocessing.dataset.export.columns import (
    DETAILS,
    SPLIT_PATTERN,
    SPLITS,
    arrow_schema,
    classes_of,
    images_of,
    readme,
)
from workspace.catalog.records import Sample
from workspace.files.atomic import write_atomic
from workspace.files.whole_folder import whole_folder
from workspace.names import folder_name
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.text.csv_rows import csv_text

METADATA = "metadata.parquet"
"""Of each split, for datasets. It reads a metadata.csv too, but then the classes are texts and not a ClassLabel."""

CREDITS = "credits.csv"
COLUMNS = ("file_name", "split", "label", *DETAILS)
"""Of credits.csv, which says the same to people."""

_OWN = rf"{SPLIT_PATTERN}/(metadata\.(parquet|csv)|[^/]+/[0-9a-f]{{64}}\.\w+)|{re.escape(CREDITS)}|README\.md"
"""An earlier version wrote metadata.csv, and datasets allows one kind of metadata alone."""


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
    with whole_folder(folder, _OWN) as fresh:
        for split, split_name in SPLITS.items():
            rows: list[dict[str, object]] = []
            for image in images_of(ImageStore(workspace), samples, split):
                inside = Path(folder_name(image.sample.label)) / image.file.name
                _place(image.file, fresh / split_name / inside, folder / split_name / inside)
                rows.append({"file_name": inside.as_posix(), "label": image.label, **image.details()})
                in_folder = {"file_name": f"{split_name}/{inside.as_posix()}", "split": split_name}
                credited.append(rows[-1] | in_folder | {"label": image.sample.label})
            if rows:
                pq.write_table(pa.Table.from_pylist(rows, schema=schema), fresh / split_name / METADATA)
        table = csv_text(COLUMNS, ([str(row[column]) for column in COLUMNS] for row in credited))
        write_atomic(fresh / CREDITS, table.encode())
        write_atomic(fresh / "README.md", readme(samples, name, "datasets.load_dataset('imagefolder', data_dir=…)"))


def _place(source: Path, target: Path, earlier: Path) -> None:
    """Copy an image, or link to its copy of an earlier export: of a large dataset that takes neither time nor space."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if earlier.is_file() and earlier.stat().st_size == source.stat().st_size:
        with suppress(OSError):  # of file systems without hard links
            target.hardlink_to(earlier)
            return
    shutil.copyfile(source, target)
