"""dataset.parquet: the images of a run, one row each; the same bytes for the same content."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workspace.catalog.records import Sample
from workspace.errors import DatasetError

_TYPES = {"str": pa.string(), "int": pa.int64(), "bool": pa.bool_()}
SCHEMA = pa.schema([(field.name, _TYPES[str(field.type)]) for field in dataclasses.fields(Sample)])
"""The columns: the fields of workspace.catalog.records.Sample."""


def dataset_bytes(samples: Sequence[Sample]) -> bytes:
    """Render samples as Parquet, by label and sha256, without timestamps: equal samples give equal bytes."""
    ordered = sorted(samples, key=lambda sample: (sample.label, sample.sha256))
    # Column by column: a dictionary for each row takes three times the memory of the samples.
    columns = [pa.array([getattr(sample, field.name) for sample in ordered], field.type) for field in SCHEMA]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), buffer)
    return buffer.getvalue()


def read_negatives(path: Path) -> list[Sample]:
    """Read a run's negatives.parquet, ordered by sha256; none where there is no file.

    Raises:
        DatasetError: it is damaged, or has other columns.
    """
    return read_dataset(path) if path.is_file() else []


def read_dataset(path: Path) -> list[Sample]:
    """Read a run's dataset.parquet, ordered by label and sha256.

    Raises:
        DatasetError: it is missing, damaged, or has other columns.
    """
    remedy = "make it with: collect-and-train split"
    try:
        # Without Arrow's threads: a command that ended right after such a read was aborted now and then.
        rows = pq.ParquetFile(io.BytesIO(path.read_bytes())).read(use_threads=False).to_pylist()
        return [Sample(**row) for row in rows]
    except FileNotFoundError as error:
        raise DatasetError(f"{path} does not exist; {remedy}") from error
    except (OSError, pa.ArrowException, TypeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}; delete it, then {remedy}") from error
