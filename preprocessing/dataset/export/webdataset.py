"""Export the dataset as WebDataset tars: for each image <sha256>.jpg, .cls (its class's number) and .json."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from preprocessing.dataset.export.columns import SPLIT_PATTERN, SPLITS, ExportedImage, classes_of, images_of, readme
from workspace.catalog.records import Sample
from workspace.files.atomic import write_atomic, write_json
from workspace.files.whole_folder import whole_folder
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

IMAGES_PER_TAR = 1000
_OWN = rf"{SPLIT_PATTERN}-\d{{6}}\.tar|classes\.json|README\.md"


def export_webdataset(workspace: Workspace, samples: Sequence[Sample], folder: Path, name: str) -> None:
    """Write <split>-000000.tar and further ones, classes.json (names by number) and README.md.

    Args:
        workspace: where the images are.
        samples: the dataset.
        folder: the target; created if missing.
        name: of the dataset, for people.

    Raises:
        WorkspaceError: an image's file is gone, or the folder cannot be written.
    """
    with whole_folder(folder, _OWN) as fresh:
        for split, split_name in SPLITS.items():
            images = images_of(ImageStore(workspace), samples, split)
            for number, first in enumerate(images):
                shard = chain([first], islice(images, IMAGES_PER_TAR - 1))
                _write(fresh / f"{split_name}-{number:06}.tar", shard)
        write_json(fresh / "classes.json", classes_of(samples))
        loading = "webdataset.WebDataset('train-000000.tar').decode('pil')"
        write_atomic(fresh / "README.md", readme(samples, name, loading))


def _write(file: Path, images: Iterable[ExportedImage]) -> None:
    with tarfile.open(file, "w") as archive:
        for image in images:
            for suffix, data in _members(image):
                member = tarfile.TarInfo(f"{image.sample.sha256}{suffix}")  # without times and owners
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def _members(image: ExportedImage) -> Iterator[tuple[str, bytes]]:
    details = {"label": image.sample.label, **image.details()}
    yield image.file.suffix, image.file.read_bytes()
    yield ".cls", str(image.label).encode()
    yield ".json", json.dumps(details, ensure_ascii=False).encode()
