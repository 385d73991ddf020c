"""What was found, fetched, dropped and kept, counted from the catalogue for the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from workspace.catalog import Catalog
from workspace.records import Download, Hit, ImageFacts, Search, Verdict


@dataclass(frozen=True, slots=True)
class Dropped:
    """A picture that a check dropped: why, and for a copy the sha256 of the one that stays in its place."""

    sha256: str
    label: str
    reason: str
    stands_for: str
    hit: Hit
    decodable: bool


@dataclass(slots=True)
class Tally:
    """Counts of one collection.

    `per_class` has, by class, the numbers found (distinct addresses), fetched, kept and dropped; `failed` and
    `dropped` count by reason; `failed_searches` are the questions that a source did not answer.
    """

    found: int = 0
    fetched: int = 0
    same_bytes: int = 0
    kept: int = 0
    per_class: dict[str, dict[str, int]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    failed_searches: list[Search] = field(default_factory=list)
    dropped_pictures: list[Dropped] = field(default_factory=list)


def tally(catalog: Catalog, classes: Sequence[str]) -> Tally:
    """Count the catalogue's rows for these classes; the order of everything is fixed by the catalogue's content."""
    hits = [hit for hit in catalog.all(Hit) if hit.label in classes]
    downloads = {row.image_url: row for row in catalog.all(Download)}
    tried = [downloads[url] for url in sorted({hit.image_url for hit in hits}) if url in downloads]
    fetched = [row for row in tried if row.status == "ok"]
    kept = {key for key in catalog.kept() if key[1] in classes}
    result = Tally(
        found=len({hit.image_url for hit in hits}),
        fetched=len(fetched),
        same_bytes=len(fetched) - len({row.sha256 for row in fetched}),
        kept=len(kept),
        failed=_by_count(Counter(row.reason for row in tried if row.status != "ok")),
        failed_searches=[row for row in catalog.all(Search) if row.status == "failed" and row.label in classes],
    )
    result.dropped_pictures = _dropped(catalog, classes, kept)
    result.dropped = _by_count(Counter(one.reason for one in result.dropped_pictures))
    urls: dict[str, set[str]] = defaultdict(set)
    for hit in hits:
        urls[hit.label].add(hit.image_url)
    for label in classes:
        result.per_class[label] = {
            "found": len(urls[label]),
            "fetched": sum(url in downloads and downloads[url].status == "ok" for url in urls[label]),
            "kept": sum(key[1] == label for key in kept),
            "dropped": sum(one.label == label for one in result.dropped_pictures),
        }
    return result


def _dropped(catalog: Catalog, classes: Sequence[str], kept: set[tuple[str, str]]) -> list[Dropped]:
    first: dict[tuple[str, str], Hit] = {}
    for sha256, hit in catalog.appearances():
        first.setdefault((sha256, hit.label), hit)
    errors = {facts.sha256 for facts in catalog.all(ImageFacts) if facts.error}
    return [
        Dropped(row.sha256, row.label, row.reason, row.group, first[row.sha256, row.label], row.sha256 not in errors)
        for row in catalog.all(Verdict)
        if row.verdict == "drop"
        and row.label in classes
        and (row.sha256, row.label) not in kept
        and (row.sha256, row.label) in first
    ]


def _by_count(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
