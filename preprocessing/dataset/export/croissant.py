"""Croissant metadata of the Parquet files (MLCommons, "Croissant Format" 1.0): what they hold, and whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preprocessing.dataset.export.columns import DETAILS, classes_of, split_counts
from workspace.catalog.records import Sample
from workspace.licenses import web_address

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file: its path relative to the metadata, its split, its size in bytes and its sha256."""

    path: str
    split: str
    bytes: int
    sha256: str


def croissant(samples: Sequence[Sample], name: str, files: Sequence[DataFile]) -> dict[str, object]:
    """Describe the dataset: one record set per split, whose fields are the columns of its file.

    `license` lists the URL of every licence among the images; which image has which is a field.

    Args:
        samples: the dataset.
        name: of the dataset.
        files: the Parquet files.
    """
    licenses = sorted({url for sample in samples if (url := web_address(sample.license_url))})
    unstated = sum(not sample.license for sample in samples)
    classes = classes_of(samples)
    counts = ", ".join(f"{split} {count}" for split, count in split_counts(samples).items())
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": f"Pictures of {len(classes)} classes ({', '.join(classes)}) that keyword searches "
        f"found, cleaned and split by collect-and-train: {counts}. Every picture keeps its own licence, see "
        f"the fields license, license_url, creator and attribution; {unstated} state none.",
        "license": licenses,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file.path,
                "name": file.path,
                "contentUrl": file.path,
                "contentSize": f"{file.bytes} B",
                "encodingFormat": "application/x-parquet",
                "sha256": file.sha256,
            }
            for file in files
        ],
        "recordSet": [_record_set(samples, file) for file in files],
    }


def _record_set(samples: Sequence[Sample], file: DataFile) -> dict[str, object]:
    classes = ", ".join(f"{number} {name}" for number, name in enumerate(classes_of(samples)))
    fields = [
        _field(
            file, "image", "sc:ImageObject", "The image, as its source sent it.", {"transform": {"jsonPath": "bytes"}}
        ),
        _field(file, "label", "sc:Integer", f"Number of its class: {classes}."),
    ]
    types = {"flagged": "sc:Boolean"}
    fields += [_field(file, column, types.get(column, "sc:Text"), words) for column, words in DETAILS.items()]
    return {"@type": "cr:RecordSet", "@id": file.split, "name": file.split, "field": fields}


def _field(
    file: DataFile, column: str, data_type: str, description: str, more: dict[str, object] | None = None
) -> dict[str, object]:
    source = {"fileObject": {"@id": file.path}, "extract": {"column": column}, **(more or {})}
    return {
        "@type": "cr:Field",
        "@id": f"{file.split}/{column}",
        "name": column,
        "description": description,
        "dataType": data_type,
        "source": source,
    }
