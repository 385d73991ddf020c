"""Count what a workspace has collected, so that the numbers add up: found, downloaded, dropped by reason, kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import class_progress
from workspace.catalog.counts import appearances
from workspace.catalog.curation import open_proposals
from workspace.catalog.records import Download, Hit, ImageFacts, Override, Search, Verdict
from workspace.catalog.standing import Pair
from workspace.reasons import in_order

BY_A_PERSON = {"drop": "dropped by a person", "relabel": "moved by a person"}


@dataclass(slots=True)
class ClassCounts:
    """One class, or all together.

    `found` = `downloaded` + `waiting` + all of `not_downloaded`, and `downloaded` = `same_file` + all of `dropped` +
    `unjudged` + `kept` - `moved_here`. A url or file found under two classes counts under both.

    Attributes:
        found: distinct URLs.
        waiting: URLs not tried yet.
        downloaded: URLs downloaded.
        not_downloaded: the other URLs, by `status: reason`.
        same_file: URLs that gave the same bytes as another URL.
        dropped: files by reason.
        unjudged: files that clean has not seen.
        kept: files that were not dropped.
        moved_here: kept files that were found under another class and moved to this one by a person.
    """

    found: int = 0
    waiting: int = 0
    downloaded: int = 0
    not_downloaded: Counter[str] = field(default_factory=Counter)
    same_file: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unjudged: int = 0
    kept: int = 0
    moved_here: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """An image that was dropped.

    `detail` says why it could not be decoded, else it is empty; `copy_of` is the sha256 of the duplicate that was
    kept, or empty; `hit` is the best-ranked search result that led to it.
    """

    sha256: str
    label: str
    reason: str
    detail: str
    copy_of: str
    hit: Hit


@dataclass(frozen=True, slots=True)
class CollectionStats:
    """The catalogue in numbers: `by_class` in the order asked for, `dropped` by reason, label, sha256.

    `days` are the first and the last day (UTC) on which a search found something, one if they are the same; `flagged`
    counts the kept images that curate flagged, by reason.
    """

    by_class: Mapping[str, ClassCounts]
    total: ClassCounts
    failed_searches: tuple[Search, ...]
    dropped: tuple[Dropped, ...]
    days: tuple[str, ...]
    flagged: Mapping[str, int] = field(default_factory=dict)


def read_collection_stats(catalog: Catalog, classes: Iterable[str]) -> CollectionStats:
    """Count what the catalogue holds for these classes; other labels are left out."""
    states = class_progress(catalog, classes)
    by_class = {
        label: ClassCounts(found=state.found, waiting=state.waiting, kept=state.kept) for label, state in states.items()
    }
    hits = [hit for hit in catalog.all(Hit) if hit.label in by_class]
    _count_downloads(by_class, hits, {row.image_url: row for row in catalog.all(Download)})
    dropped = _count_files(by_class, catalog)
    # Without the time of the last attempt: a repeated search that fails alike must not change the report.
    failed = tuple(
        replace(row, asked_at="") for row in catalog.all(Search) if row.status == "failed" and row.label in by_class
    )
    days = sorted({hit.found_at[:10] for hit in hits if hit.found_at})
    proposals = [row for row in open_proposals(catalog).values() if row.verdict == "flag" and row.label in by_class]
    return CollectionStats(
        by_class,
        _sum(by_class.values()),
        failed,
        tuple(dropped),
        tuple(dict.fromkeys(days[:1] + days[-1:])),
        in_order(Counter(proposal.reason for proposal in proposals)),
    )


def _count_downloads(
    by_class: Mapping[str, ClassCounts], hits: Sequence[Hit], downloads: Mapping[str, Download]
) -> None:
    for label, url in sorted({(hit.label, hit.image_url) for hit in hits}):
        counts, outcome = by_class[label], downloads.get(url)
        if outcome is not None and outcome.status == "ok":
            counts.downloaded += 1
        elif outcome is not None:
            counts.not_downloaded[f"{outcome.status}: {outcome.reason or 'no reason given'}"] += 1


def _count_files(by_class: Mapping[str, ClassCounts], catalog: Catalog) -> list[Dropped]:
    appeared: dict[Pair, Hit] = {}
    for sha, hit in appearances(catalog):
        if hit.label in by_class:
            appeared.setdefault((sha, hit.label), hit)  # by rank: the first is the best
    kept = set(catalog.kept())
    staying = {sha for sha, _ in kept}
    verdicts = {(row.sha256, row.label): row for row in catalog.all(Verdict) if row.verdict == "drop"}
    judged = {(row.sha256, row.label) for row in catalog.all(Verdict)}
    people = {(row.sha256, row.label): row for row in catalog.all(Override) if row.action in BY_A_PERSON}
    details = {row.sha256: row.detail for row in catalog.all(ImageFacts) if row.error}
    dropped = []
    for (sha, label), hit in appeared.items():
        counts, key = by_class[label], (sha, label)
        if key in kept:
            continue
        if key in people:
            dropped.append(Dropped(sha, label, BY_A_PERSON[people[key].action], people[key].new_label, "", hit))
        elif key in verdicts:
            verdict = verdicts[key]
            # An image found under two classes may be dropped from both: then no copy of it is kept.
            copy_of = verdict.group if verdict.group in staying - {sha} else ""
            dropped.append(Dropped(sha, label, verdict.reason, details.get(sha, ""), copy_of, hit))
        elif key not in judged:
            counts.unjudged += 1
    for image in dropped:
        by_class[image.label].dropped[image.reason] += 1
    for _, label in sorted(kept - appeared.keys()):
        if label in by_class:
            by_class[label].moved_here += 1
    for counts in by_class.values():
        files = counts.kept - counts.moved_here + counts.dropped.total() + counts.unjudged
        counts.same_file = counts.downloaded - files
    return sorted(dropped, key=lambda image: (image.reason, image.label, image.sha256))


def _sum(parts: Iterable[ClassCounts]) -> ClassCounts:
    total = ClassCounts()
    for part in parts:
        for name in ("found", "waiting", "downloaded", "same_file", "unjudged", "kept", "moved_here"):
            setattr(total, name, getattr(total, name) + getattr(part, name))
        total.not_downloaded += part.not_downloaded
        total.dropped += part.dropped
    total.not_downloaded = Counter(in_order(total.not_downloaded))
    return total
