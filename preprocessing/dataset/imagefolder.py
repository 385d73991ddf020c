"""Export the dataset as an imagefolder that Hugging Face's datasets library reads, with its licences."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from workspace.catalog.records import Sample
from workspace.errors import WorkspaceError
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace, write_atomic

SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
"""Our splits and their folders, named as the library names them."""

COLUMNS = (
    "file_name",
    "label",
    "title",
    "creator",
    "license",
    "license_url",
    "attribution",
    "page_url",
    "image_url",
    "source",
    "keyword",
    "sha256",
    "group",
    "flagged",
)
"""Of metadata.csv (Hugging Face documentation, "Create an image dataset": file_name is the picture's path)."""


def export_imagefolder(workspace: Workspace, samples: Sequence[Sample], folder: Path, name: str) -> dict[str, int]:
    """Write <split>/<label>/<sha256>.jpg, <split>/metadata.csv and a README.md; files that exist stay.

    Args:
        workspace: where the pictures are.
        samples: the dataset.
        folder: the target; created if missing.
        name: what it is called in its README.md.

    Returns:
        How many pictures each split has.

    Raises:
        WorkspaceError: a picture's file is gone, or the folder cannot be written.
    """
    rows: dict[str, list[dict[str, object]]] = {split: [] for split in SPLIT_FOLDERS}
    images = ImageStore(workspace)
    for sample in sorted(samples, key=lambda sample: (sample.split, sample.label, sample.sha256)):
        source = images.path(sample.sha256)
        inside = Path(sample.label) / source.name
        _copy(source, folder / SPLIT_FOLDERS[sample.split] / inside)
        values = {column: getattr(sample, column) for column in COLUMNS if column != "file_name"}
        rows[sample.split].append({"file_name": inside.as_posix(), **values})
    for split, lines in rows.items():
        if lines:
            write_atomic(folder / SPLIT_FOLDERS[split] / "metadata.csv", _csv(lines))
    write_atomic(folder / "README.md", _readme(samples, name).encode())
    return {SPLIT_FOLDERS[split]: len(lines) for split, lines in rows.items()}


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise WorkspaceError(f"cannot write {target}: {error.strerror or error}; name another folder") from error


def _csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _readme(samples: Sequence[Sample], name: str) -> str:
    licences = Counter(sample.license or "not stated" for sample in samples)
    size = next(text for limit, text in _SIZES if len(samples) < limit)
    head = ["---", "task_categories:", "- image-classification", "license: other"]
    head += ["license_name: per-picture", f"size_categories:\n- {size}"]
    head += [f"pretty_name: {json.dumps(name, ensure_ascii=False)}", "---", ""]
    lines = [
        f"# {_plain(name)}",
        "",
        "Pictures that keyword searches found, cleaned and split by collect-and-train. Copies of a picture, and "
        "pictures by one creator at one source, never lie in two splits.",
        "",
        "Load it with `datasets.load_dataset('imagefolder', data_dir=…, drop_labels=True)`; the class is the column "
        "`label`.",
        "",
        "## Licences",
        "",
        "Every picture keeps its own licence: see the columns `license`, `license_url`, `creator` and `attribution` of "
        "metadata.csv. Whoever passes the pictures on must keep to them.",
        "",
        "| licence | pictures |",
        "|---|---:|",
        *(f"| {_plain(key)} | {count} |" for key, count in sorted(licences.items(), key=lambda i: (-i[1], i[0]))),
    ]
    return "\n".join([*head, *lines]) + "\n"


_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**12, "100K<n<1M"))


def _plain(text: str) -> str:
    """Escape untrusted text for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
