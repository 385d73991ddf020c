"""Credits of a run's images: ATTRIBUTION.csv for programs, credits.html for people.

Worded as Creative Commons recommends ("Best practices for attribution"): title, author, source, licence (TASL).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.report.templates import render
from workspace.catalog.records import Sample
from workspace.files.atomic import write_atomic
from workspace.licenses import license_title, web_address
from workspace.storage.run_folder import RunFolder
from workspace.text.csv_rows import csv_text

COLUMNS = (
    *("title", "creator", "license", "license_url", "page_url", "source", "keyword", "class", "split"),
    *("image_url", "sha256", "file", "credit", "credit_of_source"),
)
"""Of ATTRIBUTION.csv; `credit` is the whole credit in our words, `credit_of_source` in the source's, if it has one."""

# Each has a single version, so its URL follows from its name.
_ONE_VERSION = {
    "cc0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "pdm": "https://creativecommons.org/publicdomain/mark/1.0/",
}


@dataclass(frozen=True, slots=True)
class Credit:
    """One image's credit. Its texts come from the web: escape them where they are shown; URLs are http(s), or empty.

    Attributes:
        title: in one line; empty when not known.
        creator: the same.
        license: its usual name, `CC BY-SA 2.0`; `not stated` when not known.
        license_url: URL of the licence's text.
        page_url: URL of the landing page, else of the image.
        sample: the row of the dataset.
    """

    title: str
    creator: str
    license: str
    license_url: str
    page_url: str
    sample: Sample

    @classmethod
    def of(cls, sample: Sample) -> Credit:
        """Build the credit of a row of dataset.parquet."""
        license_url = web_address(sample.license_url) or _ONE_VERSION.get(sample.license.lower(), "")
        return cls(
            title=_one_line(sample.title),
            creator=_one_line(sample.creator),
            license=_one_line(license_title(sample.license, license_url)),
            license_url=license_url,
            page_url=web_address(sample.page_url, sample.image_url),
            sample=sample,
        )

    @property
    def terms(self) -> str:
        """The licence as the end of a sentence; public-domain works are marked, not licensed."""
        if self.license == "not stated":
            return "licence not stated"
        return f"{'marked with' if self.sample.license.lower() in _ONE_VERSION else 'licensed under'} {self.license}"

    @property
    def text(self) -> str:
        """The whole credit in one line, with its URLs."""
        title = f'"{self.title}"' if self.title else "Untitled"
        work = title + (f" ({self.page_url})" if self.page_url else "")
        return f"{work} by {self.creator or 'an unknown creator'}, {self.terms}" + (
            f" ({self.license_url})" if self.license_url else ""
        )


def write_credits(folder: RunFolder, samples: Iterable[Sample]) -> bool:
    """Write a run's ATTRIBUTION.csv and credits.html, and return whether either of them changed.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    credited = [Credit.of(sample) for sample in sorted(samples, key=lambda sample: (sample.label, sample.sha256))]
    files = {
        folder.attribution_file: as_csv(credited).encode(),
        folder.credits_file: as_page(credited, folder).encode(),
    }
    changed = {path: data for path, data in files.items() if not _is_written(path, data)}
    for path, data in changed.items():
        write_atomic(path, data)
    return bool(changed)


def as_csv(credited: Sequence[Credit]) -> str:
    """Write a header and one row per image."""
    return csv_text(COLUMNS, map(_cells, credited))


def as_page(credited: Sequence[Credit], folder: RunFolder) -> str:
    """Render the page: counts by licence, then every image by class."""
    by_class: dict[str, list[Credit]] = {}
    for credit in credited:
        by_class.setdefault(credit.sample.label, []).append(credit)
    licenses: dict[str, list[Any]] = {}
    for credit in credited:
        licenses.setdefault(credit.license, [credit.license_url, 0])[1] += 1
    variables = {
        "run_id": folder.run_id,
        "total": len(credited),
        "licenses": sorted(licenses.items(), key=lambda item: (-item[1][1], item[0])),
        "sources": sorted(Counter(credit.sample.source for credit in credited).items()),
        "by_class": by_class,
        "csv_name": folder.attribution_file.name,
    }
    return render("credits.html.j2", variables)


def _cells(credit: Credit) -> tuple[str, ...]:
    sample = credit.sample
    return (
        credit.title,
        credit.creator,
        credit.license,
        credit.license_url,
        web_address(sample.page_url),
        sample.source,
        _one_line(sample.keyword),
        _one_line(sample.label),
        sample.split,
        _one_line(sample.image_url),
        sample.sha256,
        sample.file,
        credit.text,
        _one_line(sample.attribution),
    )


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _is_written(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
