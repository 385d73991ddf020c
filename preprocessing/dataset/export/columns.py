"""What every export says of an image and of the whole dataset, in the terms of Hugging Face's datasets library."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa

from workspace.catalog.records import Sample
from workspace.storage.image_store import ImageStore
from workspace.text.markdown import escaped, table_row

SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Our splits, and their names in the library."""

SPLIT_PATTERN = f"({'|'.join(SPLITS.values())})"
"""Regular expression of the library's names."""

DETAILS: Mapping[str, str] = {
    "title": "Title at the source.",
    "creator": "Who made the image.",
    "license": "Short name of its licence; empty: not stated.",
    "license_url": "URL of its licence.",
    "attribution": "The credit that the source asks for.",
    "page_url": "Page that shows the image.",
    "image_url": "Where the file was downloaded.",
    "source": "Source that found it.",
    "keyword": "Keyword that found it.",
    "sha256": "Digest of the file.",
    "group": "Images of one group never lie in two splits: copies, and one creator's images at one source.",
    "flagged": "Whether curation finds it off topic or mislabelled, and no person said otherwise.",
}
"""The columns beside image and label, and what they mean."""


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An image of the dataset: its sample, the place of its label among the classes, and its file on this machine.

    The file may be a copy that is deleted once the next image is asked for.
    """

    sample: Sample
    label: int
    file: Path

    def details(self) -> dict[str, object]:
        """Return the values of DETAILS."""
        return {column: getattr(self.sample, column) for column in DETAILS}


def classes_of(samples: Sequence[Sample]) -> list[str]:
    """List the classes in the order of their numbers, which is that of the model's outputs."""
    return sorted({sample.label for sample in samples})


def images_of(store: ImageStore, samples: Sequence[Sample], split: str) -> Iterator[ExportedImage]:
    """Yield the images of a split, by label and sha256.

    Raises:
        WorkspaceError: the file of one is gone.
    """
    numbers = {name: number for number, name in enumerate(classes_of(samples))}
    chosen = [sample for sample in samples if sample.split == split]
    chosen.sort(key=lambda sample: (sample.label, sample.sha256))
    stored = chain.from_iterable(store.portions([sample.sha256 for sample in chosen]))
    for sample, (_, file) in zip(chosen, stored, strict=True):
        yield ExportedImage(sample, numbers[sample.label], file)


def split_counts(samples: Sequence[Sample]) -> dict[str, int]:
    """Count the images of each split, by the library's name of it, without empty ones."""
    counts = Counter(sample.split for sample in samples)
    return {SPLITS[split]: counts[split] for split in SPLITS if counts[split]}


def arrow_schema(image: pa.Field, classes: Sequence[str], image_feature: str) -> pa.Schema:
    """Return the schema of a table with an image, its label and DETAILS.

    Its metadata hold the library's features, so that reading the table gives a ClassLabel with the classes' names.

    Args:
        image: the first column.
        classes: in the order of their numbers.
        image_feature: the library's type of the first column: `Image`, or `Value` for the name of a file.
    """
    first = {"_type": image_feature} | ({"dtype": "string"} if image_feature == "Value" else {})
    features: dict[str, object] = {image.name: first, "label": {"names": list(classes), "_type": "ClassLabel"}}
    fields = [image, pa.field("label", pa.int64())]
    for column in DETAILS:
        boolean = column == "flagged"
        features[column] = {"dtype": "bool" if boolean else "string", "_type": "Value"}
        fields.append(pa.field(column, pa.bool_() if boolean else pa.string()))
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)})


def readme(samples: Sequence[Sample], name: str, loading: str, front_matter: Sequence[str] = ()) -> bytes:
    """Write the dataset's card: metadata that the hub reads, how to load it, and the licences of its images.

    Args:
        samples: the dataset.
        name: of the dataset, for people.
        loading: the line of code that loads it.
        front_matter: more lines of its YAML metadata.
    """
    licences = Counter(sample.license or "not stated" for sample in samples)
    size = next(text for limit, text in _SIZES if len(samples) < limit)
    head = ["---", "task_categories:", "- image-classification", "license: other", "license_name: per-picture"]
    head += [
        f"size_categories:\n- {size}",
        f"pretty_name: {json.dumps(name, ensure_ascii=False)}",
        *front_matter,
        "---",
    ]
    lines = [
        "",
        f"# {escaped(name)}",
        "",
        "Pictures that keyword searches found, cleaned and split by collect-and-train. Copies of a picture, and "
        "pictures by one creator at one source, never lie in two splits.",
        "",
        f"Load it with `{loading}`.",
        "",
        table_row(("class", *split_counts(samples))),
        "|---|" + "---:|" * len(split_counts(samples)),
        *(table_row((label, *counts)) for label, counts in _per_class(samples)),
        "",
        "## Licences",
        "",
        "Every picture keeps its own licence: see the columns `license`, `license_url`, `creator` and `attribution`. "
        "Whoever passes the pictures on must keep to them.",
        "",
        "| licence | pictures |",
        "|---|---:|",
        *map(table_row, sorted(licences.items(), key=lambda item: (-item[1], item[0]))),
    ]
    return ("\n".join([*head, *lines]) + "\n").encode()


_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**12, "100K<n<1M"))


def _per_class(samples: Sequence[Sample]) -> Iterator[tuple[str, list[int]]]:
    counts = Counter((sample.label, SPLITS[sample.split]) for sample in samples)
    for label in classes_of(samples):
        yield label, [counts[label, split] for split in split_counts(samples)]
