"""Count what a workspace has collected, so that the numbers add up: found, downloaded, dropped by reason, kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.class_progress import class_progress
from workspace.catalog.counts import best_hits, best_ranks
from workspace.catalog.curation import open_proposals
from workspace.catalog.hits.questions import Questions
from workspace.catalog.records import Download, Hit, ImageFacts, Override, Search, Verdict
from workspace.catalog.standing import Pair
from workspace.reasons import in_order

BY_A_PERSON = {"drop": "dropped by a person", "relabel": "moved by a person"}


@dataclass(slots=True)
class ClassCounts:
    """One class, or all together.

    `found` = `downloaded` + `waiting` + `not_asked` + all of `not_downloaded`, and `downloaded` = `same_file` + all of
    `dropped` + `unjudged` + `kept` - `moved_here`. A url or file found under two classes counts under both.

    Attributes:
        found: distinct URLs.
        waiting: URLs not tried yet.
        not_asked: URLs not tried, which only keywords or sources have found that are no longer named.
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
    not_asked: int = 0
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


def read_collection_stats(
    catalog: Catalog, classes: Iterable[str], questions: Questions | None = None
) -> CollectionStats:
    """Count what the catalogue holds for these classes; other labels are left out.

    Args:
        catalog: whose rows are counted.
        classes: the labels.
        questions: of today, by which URLs wait to be fetched; None: those of every search that was made.
    """
    states = class_progress(catalog, classes, questions)
    by_class = {
        label: ClassCounts(found=state.found, waiting=state.waiting, not_asked=state.not_asked, kept=state.kept)
        for label, state in states.items()
    }
    _count_downloads(by_class, catalog)
    dropped = _count_files(by_class, catalog)
    # Without the time of the last attempt: a repeated search that fails alike must not change the report.
    failed = tuple(
        replace(row, asked_at="") for row in catalog.all(Search) if row.status == "failed" and row.label in by_class
    )
    proposals = [row for row in open_proposals(catalog).values() if row.verdict == "flag" and row.label in by_class]
    return CollectionStats(
        by_class,
        _sum(by_class.values()),
        failed,
        tuple(dropped),
        _days(by_class, catalog),
        in_order(Counter(proposal.reason for proposal in proposals)),
    )


def _count_downloads(by_class: Mapping[str, ClassCounts], catalog: Catalog) -> None:
    hits, downloads = TABLES[Hit], TABLES[Download]
    urls = sa.select(hits.c.image_url, hits.c.label).distinct().subquery()
    group = urls.c.label, downloads.c.status, downloads.c.reason
    query = sa.select(*group, sa.func.count()).join(downloads, urls.c.image_url == downloads.c.image_url)
    with catalog.engine.connect() as connection:
        rows = connection.execute(query.group_by(*group).order_by(*group)).all()
    for label, status, reason, count in rows:
        if label in by_class and status == "ok":
            by_class[label].downloaded += int(count)
        elif label in by_class:
            by_class[label].not_downloaded[f"{status}: {reason or 'no reason given'}"] += int(count)


def _days(by_class: Collection[str], catalog: Catalog) -> tuple[str, ...]:
    hits = TABLES[Hit]
    query = sa.select(hits.c.label, sa.func.min(hits.c.found_at), sa.func.max(hits.c.found_at))
    with catalog.engine.connect() as connection:
        rows = connection.execute(query.where(hits.c.found_at != "").group_by(hits.c.label)).all()
    days = sorted(str(time)[:10] for label, *times in rows if label in by_class for time in times)
    return tuple(dict.fromkeys(days[:1] + days[-1:]))


def _count_files(by_class: Mapping[str, ClassCounts], catalog: Catalog) -> list[Dropped]:
    kept = set(catalog.kept())
    moved_here = {pair for pair in kept if pair[1] in by_class}
    people = {(row.sha256, row.label): row for row in catalog.all(Override) if row.action in BY_A_PERSON}
    verdicts = _drops(catalog)
    by_people, by_checks = list[Pair](), list[Pair]()
    for sha, label, _ in best_ranks(catalog):
        pair = sha, label
        if pair in kept:
            moved_here.discard(pair)
        elif label in by_class:
            if pair in people:
                by_people.append(pair)
            elif pair in verdicts:
                by_checks.append(pair)
            else:
                by_class[label].unjudged += 1
    hits = best_hits(catalog, by_people + by_checks)
    dropped = [
        Dropped(*pair, BY_A_PERSON[people[pair].action], people[pair].new_label, "", hits[pair]) for pair in by_people
    ]
    staying, details = {sha for sha, _ in kept}, _details(catalog)
    for sha, label in by_checks:
        verdict = verdicts[sha, label]
        # An image found under two classes may be dropped from both: then no copy of it is kept.
        copy_of = verdict.group if verdict.group in staying and verdict.group != sha else ""
        dropped.append(Dropped(sha, label, verdict.reason, details.get(sha, ""), copy_of, hits[sha, label]))
    for image in dropped:
        by_class[image.label].dropped[image.reason] += 1
    for _, label in moved_here:
        by_class[label].moved_here += 1
    for counts in by_class.values():
        files = counts.kept - counts.moved_here + counts.dropped.total() + counts.unjudged
        counts.same_file = counts.downloaded - files
    return sorted(dropped, key=lambda image: (image.reason, image.label, image.sha256))


def _drops(catalog: Catalog) -> dict[Pair, Verdict]:
    """Read the verdicts that drop an image, by (sha256, label): of several the last in the order of their stages."""
    table = TABLES[Verdict]
    query = sa.select(table).where(table.c.verdict == "drop").order_by(*table.primary_key.columns)
    with catalog.engine.connect() as connection:
        return {(row.sha256, row.label): Verdict(*row) for row in connection.execute(query)}


def _details(catalog: Catalog) -> dict[str, str]:
    """Read the details of the files that could not be decoded."""
    images = TABLES[ImageFacts]
    query = sa.select(images.c.sha256, images.c.detail).where(images.c.error > "")  # not `!=`, which no index answers
    with catalog.engine.connect() as connection:
        return {str(sha): str(detail) for sha, detail in connection.execute(query)}


def _sum(parts: Iterable[ClassCounts]) -> ClassCounts:
    total = ClassCounts()
    for part in parts:
        for name in ("found", "waiting", "not_asked", "downloaded", "same_file", "unjudged", "kept", "moved_here"):
            setattr(total, name, getattr(total, name) + getattr(part, name))
        total.not_downloaded += part.not_downloaded
        total.dropped += part.dropped
    total.not_downloaded = Counter(in_order(total.not_downloaded))
    return total
