"""Who made the pictures of a run, and on what terms: ATTRIBUTION.csv for programs, credits.html for people.

Worded as Creative Commons recommends ("Best practices for attribution"): title, author, source, licence (TASL).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.report.templates import render
from training.report.thumbnails import license_name, web_address
from workspace.catalog.records import Sample
from workspace.storage.paths import RunFolder, write_atomic

COLUMNS = (
    *("title", "creator", "license", "license_url", "page_url", "source", "keyword", "class", "split"),
    *("image_url", "sha256", "file", "credit", "credit_of_source"),
)
"""Of ATTRIBUTION.csv; `credit` is the whole credit in our words, `credit_of_source` in the source's, if it has one."""

# Spreadsheets run what begins with these, so an apostrophe goes before it (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

# The only versions that there are, so that the address follows from the name.
_ONE_VERSION = {
    "cc0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "pdm": "https://creativecommons.org/publicdomain/mark/1.0/",
}


@dataclass(frozen=True, slots=True)
class Credit:
    """One picture's credit. Texts of strangers: whoever shows them escapes them; addresses are http or https, or empty.

    Attributes:
        title: in one line; empty when not known.
        creator: the same.
        license: as people call it, `CC BY-SA 2.0`; `not stated` when not known.
        license_url: the licence's text.
        page_url: the landing page, else the picture's own address.
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
        """From a row of dataset.parquet."""
        license_url = web_address(sample.license_url) or _ONE_VERSION.get(sample.license.lower(), "")
        return cls(
            title=_one_line(sample.title),
            creator=_one_line(sample.creator),
            license=_one_line(license_name(sample.license, license_url)),
            license_url=license_url,
            page_url=web_address(sample.page_url, sample.image_url),
            sample=sample,
        )

    @property
    def terms(self) -> str:
        """The licence as the end of a sentence; what belongs to everyone is marked, not licensed."""
        if self.license == "not stated":
            return "licence not stated"
        return f"{'marked with' if self.sample.license.lower() in _ONE_VERSION else 'licensed under'} {self.license}"

    @property
    def text(self) -> str:
        """The whole credit in one line, with its addresses."""
        title = f'"{self.title}"' if self.title else "Untitled"
        work = title + (f" ({self.page_url})" if self.page_url else "")
        return f"{work} by {self.creator or 'an unknown creator'}, {self.terms}" + (
            f" ({self.license_url})" if self.license_url else ""
        )


def write_credits(folder: RunFolder, samples: Iterable[Sample]) -> bool:
    """Write a run's ATTRIBUTION.csv and credits.html; says whether one of them was not there as it should be.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    credited = [Credit.of(one) for one in sorted(samples, key=lambda one: (one.label, one.sha256))]
    files = {
        folder.attribution_file: as_csv(credited).encode(),
        folder.credits_file: as_page(credited, folder).encode(),
    }
    changed = {path: data for path, data in files.items() if not _is_there(path, data)}
    for path, data in changed.items():
        write_atomic(path, data)
    return bool(changed)


def as_csv(credited: Sequence[Credit]) -> str:
    """One row per picture under a header (RFC 4180); no cell is a formula to a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows([_no_formula(cell) for cell in _cells(one)] for one in credited)
    return out.getvalue()


def as_page(credited: Sequence[Credit], folder: RunFolder) -> str:
    """The page: how many under which licence, then every picture by class."""
    by_class: dict[str, list[Credit]] = {}
    for one in credited:
        by_class.setdefault(one.sample.label, []).append(one)
    licenses: dict[str, list[Any]] = {}
    for one in credited:
        licenses.setdefault(one.license, [one.license_url, 0])[1] += 1
    variables = {
        "run_id": folder.run_id,
        "total": len(credited),
        "licenses": sorted(licenses.items(), key=lambda item: (-item[1][1], item[0])),
        "sources": sorted(Counter(one.sample.source for one in credited).items()),
        "by_class": by_class,
        "csv_name": folder.attribution_file.name,
    }
    return render("credits.html.j2", variables)


def _cells(one: Credit) -> tuple[str, ...]:
    sample = one.sample
    return (
        one.title,
        one.creator,
        one.license,
        one.license_url,
        web_address(sample.page_url),
        sample.source,
        _one_line(sample.keyword),
        _one_line(sample.label),
        sample.split,
        _one_line(sample.image_url),
        sample.sha256,
        sample.file,
        one.text,
        _one_line(sample.attribution),
    )


def _no_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _is_there(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
