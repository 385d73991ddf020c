"""Export the dataset as Parquet files with the images inside, and Croissant metadata that describe them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from preprocessing.dataset.export.columns import (
    SPLIT_PATTERN,
    SPLITS,
    ExportedImage,
    arrow_schema,
    classes_of,
    images_of,
    readme,
)
from preprocessing.dataset.export.croissant import DataFile, croissant
from workspace.catalog.records import Sample
from workspace.files.atomic import write_atomic, write_json
from workspace.files.whole_folder import whole_folder
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

_OWN = rf"data/{SPLIT_PATTERN}\.parquet|croissant\.json|README\.md"
_IMAGES_PER_GROUP = 100
"""In memory at a time, as the hub's documentation of Parquet datasets advises for images."""


def export_parquet(workspace: Workspace, samples: Sequence[Sample], folder: Path, name: str) -> None:
    """Write data/<split>.parquet (`image` with bytes and path, `label`, details), croissant.json and README.md.

    Args:
        workspace: where the images are.
        samples: the dataset.
        folder: the target; created if missing.
        name: of the dataset, for people.

    Raises:
        WorkspaceError: an image's file is gone, or the folder cannot be written.
    """
    image = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    schema = arrow_schema(image, classes_of(samples), "Image")
    written: list[DataFile] = []
    with whole_folder(folder, _OWN) as fresh:
        (fresh / "data").mkdir()
        for split, split_name in SPLITS.items():
            if any(sample.split == split for sample in samples):
                path = f"data/{split_name}.parquet"
                _write(fresh / path, images_of(ImageStore(workspace), samples, split), schema)
                with (fresh / path).open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                written.append(DataFile(path, split_name, (fresh / path).stat().st_size, digest))
        configs = ["configs:", "- config_name: default", "  data_files:"]
        configs += [line for file in written for line in (f"  - split: {file.split}", f"    path: {file.path}")]
        write_json(fresh / "croissant.json", croissant(samples, name, written))
        write_atomic(fresh / "README.md", readme(samples, name, "datasets.load_dataset('this folder')", configs))


def _write(file: Path, images: Iterator[ExportedImage], schema: pa.Schema) -> None:
    with pq.ParquetWriter(file, schema) as writer:
        while rows := [_row(image) for image in islice(images, _IMAGES_PER_GROUP)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _row(image: ExportedImage) -> dict[str, object]:
    content = {"bytes": image.file.read_bytes(), "path": image.file.name}
    return {"image": content, "label": image.label, **image.details()}
