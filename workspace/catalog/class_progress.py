"""Progress of each class: images found, fetched, clean and kept, and the URLs still to fetch.

`search.per_class` counts clean images: those that cleaning kept, or a person. How many URLs that takes is estimated
from the share that was clean so far.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.curation import FEATURE_STAGES
from workspace.catalog.hits.questions import Questions, Removed, removed_questions
from workspace.catalog.records import Download, Hit, Override, Verdict
from workspace.catalog.standing import DROP, FLAG, ImageCounts, count_images, effective_verdicts, worst

LEAST_YIELD = 0.05
"""Lower bound of the estimated share of clean images per URL: a bad start must not request thousands."""

NOT_TRIED = ("skipped", "withdrawn")
"""Statuses of URLs that were not requested: they say nothing about the share of clean images."""


@dataclass(frozen=True, slots=True)
class ClassProgress:
    """Progress of one class: numbers of URLs from `found` to `left_out`, else of images.

    Attributes:
        label: the class.
        clean: pictures that cleaning kept, or a person; what curation says later is not counted.
        found: distinct URLs.
        found_by_removed: of these, found only by keywords or sources that are no longer named.
        waiting: to be fetched.
        not_asked: those of found_by_removed that were not fetched.
        unjudged: fetched, and not yet cleaned.
        settled: fetched and cleaned, or failed.
        left_out: not asked for: the wrong licence, withdrawn, the same picture elsewhere, or its host was given up.
        judged, kept, to_review, decided: as ImageCounts says; `kept` is what curation leaves of `clean`.
    """

    label: str
    clean: int = 0
    found: int = 0
    found_by_removed: int = 0
    waiting: int = 0
    not_asked: int = 0
    unjudged: int = 0
    settled: int = 0
    left_out: int = 0
    judged: int = 0
    kept: int = 0
    to_review: int = 0
    decided: int = 0

    @property
    def found_today(self) -> int:
        """Number of URLs that today's keywords and sources have found: what `search.max_found_per_picture` limits."""
        return self.found - self.found_by_removed

    def still_to_fetch(self, wanted: int) -> int:
        """Estimate how many more URLs it takes until `wanted` images are clean; 0 when they are."""
        if self.clean >= wanted:
            return 0
        # One more of each: the first guess is that all are good, and no share is zero.
        share = min(1.0, max(LEAST_YIELD, (self.clean + 1) / (self.settled + 1)))
        return max(0, math.ceil((wanted - self.clean) / share) - self.unjudged)


def class_progress(
    catalog: Catalog, labels: Iterable[str], questions: Questions | None = None
) -> dict[str, ClassProgress]:
    """Count the progress of each of these classes, in their order.

    Args:
        catalog: whose rows are counted.
        labels: the classes.
        questions: of today, by which URLs wait to be fetched; None: those of every search that was made.
    """
    counts = _url_counts(catalog)
    found = {label: of_class.total() for label, of_class in counts.items()}
    asked = found
    if removed := removed_questions(catalog, questions):
        asked = _count_asked(counts, catalog, removed)
    clean, images = _image_counts(catalog)
    return {
        label: ClassProgress(
            label,
            clean=clean[label].kept,
            found=found.get(label, 0),
            found_by_removed=found.get(label, 0) - asked.get(label, 0),
            **counts[label],
            **dataclasses.asdict(images[label]),
        )
        for label in labels
    }


def _url_counts(catalog: Catalog) -> defaultdict[str, Counter[str]]:
    """Count distinct URLs by class and standing."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    # Each URL once under a class, in the order of an index: counting distinct ones takes three times as long.
    urls = sa.select(hits.c.image_url, hits.c.label).distinct().subquery()
    not_asked = sa.and_(downloads.c.status == "failed", downloads.c.attempts == 0)  # its host was given up before
    status = sa.case((not_asked, NOT_TRIED[0]), else_=downloads.c.status).label("status")
    outcomes = sa.select(urls.c.label, status).outerjoin(downloads, urls.c.image_url == downloads.c.image_url)
    found = outcomes.subquery().c
    query = sa.select(found.label, found.status, sa.func.count()).group_by(found.label, found.status)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with catalog.engine.connect() as connection:
        for label, outcome, count in connection.execute(query):
            counts[label][_standing(outcome)] += int(count)
        for label, count in connection.execute(_unjudged(urls)):
            counts[label].update(settled=-int(count), unjudged=int(count))
    return counts


def _count_asked(counts: Mapping[str, Counter[str]], catalog: Catalog, removed: Removed) -> dict[str, int]:
    """Divide the URLs that wait into those that a present search has found and the others; count all of the first."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    urls = sa.select(hits.c.image_url, hits.c.label).where(sa.not_(removed.found(hits))).distinct().subquery()
    query = (
        sa.select(urls.c.label, sa.func.count(), sa.func.count(downloads.c.image_url))
        .outerjoin(downloads, urls.c.image_url == downloads.c.image_url)
        .group_by(urls.c.label)
    )
    with catalog.engine.connect() as connection:
        rows = {str(label): (int(found), int(tried)) for label, found, tried in connection.execute(query)}
    for label, of_class in counts.items():
        found, tried = rows.get(label, (0, 0))
        of_class["not_asked"] = of_class["waiting"] - (found - tried)
        of_class["waiting"] = found - tried
    return {label: found for label, (found, _) in rows.items()}


def _unjudged(urls: sa.Subquery) -> sa.Select[str, int]:
    """Select how many URLs of each class were fetched and not cleaned; `urls` has each URL once under a class."""
    downloads, verdicts = TABLES[Download], TABLES[Verdict]
    # Sorted by file before verdicts are looked up, so that they are read in their order: a third of the time.
    files = (
        sa.select(downloads.c.sha256, urls.c.label, sa.func.count().label("urls"))
        .join(downloads, urls.c.image_url == downloads.c.image_url)
        .where(downloads.c.status == "ok")
        .group_by(downloads.c.sha256, urls.c.label)
        .subquery()
    )
    by_clean = verdicts.c.stage.not_in(FEATURE_STAGES)
    is_judged = sa.exists().where(verdicts.c.sha256 == files.c.sha256, verdicts.c.label == files.c.label, by_clean)
    return sa.select(files.c.label, sa.func.sum(files.c.urls)).where(~is_judged).group_by(files.c.label)


def _image_counts(catalog: Catalog) -> tuple[defaultdict[str, ImageCounts], defaultdict[str, ImageCounts]]:
    """Count images by class, as `clean` leaves them and after curation too.

    Those that people have decided on are counted here, all others in the database, both counts in one reading.
    """
    decided, overrides, verdicts = catalog.decided(), catalog.all(Override), TABLES[Verdict]
    ignored: tuple[Collection[str], ...] = (FEATURE_STAGES, ())
    both = [count_images(effective_verdicts(decided, ignoring), overrides) for ignoring in ignored]
    ranks = [worst(verdicts, ignoring).label(f"worst{number}") for number, ignoring in enumerate(ignored)]
    images = catalog.undecided(verdicts.c.label, *ranks).subquery()
    query = sa.select(*images.c, sa.func.count()).group_by(*images.c)
    with catalog.engine.connect() as connection:
        for label, *outcomes, count in connection.execute(query):
            for counts, outcome in zip(both, outcomes, strict=True):
                if outcome is not None:  # else only stages that are ignored have judged it
                    counts[label].judged += int(count)
                    counts[label].to_review += int(count) if outcome == FLAG else 0
                    counts[label].kept += int(count) if outcome < DROP else 0
    return both[0], both[1]


def urls_of(catalog: Catalog, label: str, removed: Removed) -> list[str]:
    """List the distinct URLs that were found for a class, but for those that `removed` alone found, in order.

    Of these, the ones that were tried are listed.
    """
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = sa.select(hits.c.image_url).where(hits.c.label == label).distinct().order_by(hits.c.image_url)
    if removed:
        was_tried = sa.exists().where(downloads.c.image_url == hits.c.image_url)
        query = query.where(sa.or_(sa.not_(removed.found(hits)), was_tried))
    with catalog.engine.connect() as connection:
        return [str(url) for url in connection.execute(query).scalars()]


def urls_to_fetch(
    catalog: Catalog, labels: Collection[str], per_class: int, questions: Questions | None = None
) -> list[str]:
    """Choose the URLs to fetch next: as many as each class still needs, its sources in turns, best rank first.

    A source from which less was fetched comes first, so that no class is all of one source. Classes take turns too.
    Only what `questions` found is fetched; None: what any search found.
    """
    needs = {label: progress.still_to_fetch(per_class) for label, progress in class_progress(catalog, labels).items()}
    queues = _waiting(catalog, needs, removed_questions(catalog, questions))
    fetched = _fetched_per_source(catalog)
    order: dict[str, int] = {}
    for label, need in needs.items():
        turns = [(fetched[label, source], source) for source in queues.get(label, {})]
        heapq.heapify(turns)
        picked: set[str] = set()
        while turns and len(picked) < need:
            count, source = heapq.heappop(turns)
            url = next(queues[label][source], None)
            if url is None:
                continue
            if url in picked:  # another source found it too
                heapq.heappush(turns, (count, source))
                continue
            order[url] = min(len(picked), order.get(url, len(picked)))
            picked.add(url)
            heapq.heappush(turns, (count + 1, source))
    return sorted(order, key=lambda url: (order[url], url))


def _standing(status: str | None) -> str:
    if status is None:
        return "waiting"
    return "left_out" if status in NOT_TRIED else "settled"


def _waiting(catalog: Catalog, needs: dict[str, int], removed: Removed) -> dict[str, dict[str, Iterator[str]]]:
    """Group the URLs that were not tried by label and source, best rank first, for the labels that need any."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(hits.c.label, hits.c.source, hits.c.image_url)
        .outerjoin(downloads, hits.c.image_url == downloads.c.image_url)
        .where(downloads.c.image_url.is_(None), hits.c.label.in_([label for label, need in needs.items() if need]))
        .order_by(hits.c.rank, hits.c.image_url)
    )
    if removed:  # else an index alone answers, which has no keyword
        query = query.where(sa.not_(removed.found(hits)))
    queues: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with catalog.engine.connect() as connection:
        for label, source, url in connection.execute(query):
            queues[label][source].append(url)
    return {label: {name: iter(urls) for name, urls in queue.items()} for label, queue in queues.items()}


def _fetched_per_source(catalog: Catalog) -> Counter[tuple[str, str]]:
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(hits.c.label, hits.c.source, sa.func.count())
        .join(downloads, hits.c.image_url == downloads.c.image_url)
        .where(downloads.c.status.not_in(NOT_TRIED))
        .group_by(hits.c.label, hits.c.source)
    )
    with catalog.engine.connect() as connection:
        return Counter({(label, source): int(count) for label, source, count in connection.execute(query)})
