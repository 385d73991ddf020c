"""The registry of formats in which a dataset is exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocessing.dataset.export.imagefolder import export_imagefolder
from preprocessing.dataset.export.parquet import export_parquet
from preprocessing.dataset.export.webdataset import export_webdataset
from workspace.catalog.records import Sample
from workspace.storage.paths import Workspace


@dataclass(frozen=True, slots=True)
class DatasetFormat:
    """A format: the name of its folder, and what writes it: workspace, samples, folder, name of the dataset."""

    folder: str
    write: Callable[[Workspace, Sequence[Sample], Path, str], None]


DATASET_FORMATS: Mapping[str, DatasetFormat] = {
    "imagefolder": DatasetFormat("dataset", export_imagefolder),
    "parquet": DatasetFormat("parquet", export_parquet),
    "webdataset": DatasetFormat("webdataset", export_webdataset),
}
"""By the name that `export --to` takes."""
