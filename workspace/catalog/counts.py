"""Counts and lists of hits, downloads and decoded files: computed in SQL or streamed, so that memory stays flat."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog, batched
from workspace.catalog.hits.label_ranks import FOUND, GIVEN, GIVEN_SOURCES, LabelRank, label_rank
from workspace.catalog.records import Download, Hit, ImageFacts
from workspace.catalog.standing import Pair
from workspace.reasons import in_order

_REPEATED = ("label", "keyword", "source", "license", "license_url", "found_at")
"""Columns of hits in which few values repeat; each is stored once, or a million hits take 300 MB more."""


def download_counts(catalog: Catalog) -> Counter[str]:
    """Count URLs by outcome: `ok` first, then `status: reason` in the order of the registry."""
    table = TABLES[Download]
    query = sa.select(table.c.status, table.c.reason, sa.func.count()).group_by(table.c.status, table.c.reason)
    counts: Counter[str] = Counter(ok=0)
    with catalog.engine.connect() as connection:
        for status, reason, count in connection.execute(query):
            counts["ok" if status == "ok" else f"{status}: {reason}"] += int(count)
    return Counter({"ok": counts.pop("ok"), **in_order(counts)})


def same_bytes_count(catalog: Catalog) -> int:
    """Count the downloaded URLs whose bytes another URL had given before."""
    table = TABLES[Download]
    files = sa.select(table.c.sha256).where(table.c.status == "ok")
    urls, different = (sa.select(sa.func.count()).select_from(query.subquery()) for query in (files, files.distinct()))
    with catalog.engine.connect() as connection:
        return int(connection.execute(urls).scalar_one() - connection.execute(different).scalar_one())


def urls_found_by(catalog: Catalog, source: str) -> list[str]:
    """List the URLs of a source's hits, one for each label that it was found under."""
    table = TABLES[Hit]
    with catalog.engine.connect() as connection:
        return [
            str(url)
            for url in connection.execute(sa.select(table.c.image_url).where(table.c.source == source)).scalars()
        ]


def facts_count(catalog: Catalog) -> int:
    """Count the files that have facts."""
    with catalog.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(TABLES[ImageFacts])).scalar_one())


def assumed_count(catalog: Catalog) -> int:
    """Count the files for whose decoding something was assumed: ImageFacts.note."""
    table = TABLES[ImageFacts]
    with catalog.engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(table).where(table.c.note != "")
        return int(connection.execute(query).scalar_one())


def stored_thumbs(catalog: Catalog, names: Sequence[str]) -> list[str]:
    """Read the thumbs of these files (sha256) from their facts, in the same order."""
    table = TABLES[ImageFacts]
    found: dict[str, str] = {}
    with catalog.engine.connect() as connection:
        for batch in batched(names):
            query = sa.select(table.c.sha256, table.c.thumb).where(table.c.sha256.in_(batch))
            found.update((str(sha), str(thumb)) for sha, thumb in connection.execute(query))
    return [found[name] for name in names]


def sizes(catalog: Catalog) -> dict[str, tuple[int, int]]:
    """Read (width, height) in px of every decoded file by sha256."""
    table = TABLES[ImageFacts]
    query = sa.select(table.c.sha256, table.c.width, table.c.height).where(table.c.error == "")
    with catalog.engine.connect() as connection:
        rows = connection.execute(query.execution_options(yield_per=1000))
        return {str(sha): (int(width), int(height)) for sha, width, height in rows}


def refused_files(catalog: Catalog, errors: Collection[str]) -> list[tuple[str, str, str]]:
    """List (sha256, error, detail) of every file with one of these errors, by sha256."""
    table = TABLES[ImageFacts]
    query = sa.select(table.c.sha256, table.c.error, table.c.detail).where(table.c.error.in_(list(errors)))
    with catalog.engine.connect() as connection:
        return sorted((str(sha), str(error), str(detail)) for sha, error, detail in connection.execute(query))


def appearances(catalog: Catalog, labels: Collection[str] | None = None) -> Iterator[tuple[str, Hit]]:
    """Yield (sha256, hit) for every hit of a downloaded file, by sha256, label and rank.

    Args:
        catalog: whose hits.
        labels: only the hits under these; None: all.
    """
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = _found(downloads.c.sha256, *hits.c).order_by(
        downloads.c.sha256, hits.c.label, hits.c.rank, hits.c.source, hits.c.image_url
    )
    repeated = [place for place, column in enumerate(hits.c) if column.name in _REPEATED]
    for sha, *columns in _rows(catalog, query):
        if labels is None or columns[0] in labels:
            for place in repeated:
                columns[place] = sys.intern(columns[place])
            yield str(sha), Hit(*columns)


def best_hits(catalog: Catalog, pairs: Collection[Pair]) -> dict[Pair, Hit]:
    """Read the hit with the best rank of each of these (sha256, label); one that no hit has found is left out."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    files, best = sorted({sha for sha, _ in pairs}), dict[Pair, Hit]()
    joined = downloads.join(hits, hits.c.image_url == downloads.c.image_url)
    query = sa.select(downloads.c.sha256, *hits.c).select_from(joined).where(downloads.c.status == "ok")
    with catalog.engine.connect() as connection:
        for batch in batched(files):
            some = query.where(downloads.c.sha256.in_(batch))
            for sha, *columns in connection.execute(some.order_by(hits.c.rank, hits.c.source, hits.c.image_url)):
                best.setdefault((str(sha), columns[0]), Hit(*columns))
    return {pair: best[pair] for pair in pairs if pair in best}


def best_ranks(catalog: Catalog) -> Iterator[tuple[str, str, LabelRank]]:
    """Yield (sha256, label, its rank) of every downloaded file, in no order; no decision of `review` is in it."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    columns = downloads.c.sha256, hits.c.label
    origin = sa.case((hits.c.source.in_(GIVEN_SOURCES), GIVEN), else_=FOUND)
    query = _found(*columns, sa.func.min(origin), sa.func.min(hits.c.rank)).group_by(*columns)
    return (
        (str(sha), sys.intern(label), label_rank(int(origin), int(rank)))
        for sha, label, origin, rank in _rows(catalog, query)
    )


def licensed_files(catalog: Catalog) -> set[str]:
    """Read the sha256 of every downloaded file whose licence a hit states."""
    query = _found(TABLES[Download].c.sha256).where(TABLES[Hit].c.license != "").distinct()
    return {str(sha) for (sha,) in _rows(catalog, query)}


def creators(catalog: Catalog) -> Iterator[tuple[str, str, str]]:
    """Yield (sha256, source, creator) of every hit of a downloaded file that names a creator, by sha256."""
    hits, sha = TABLES[Hit], TABLES[Download].c.sha256
    query = _found(sha, hits.c.source, hits.c.creator).where(hits.c.creator != "").order_by(sha)
    return ((str(sha), sys.intern(source), str(creator)) for sha, source, creator in _rows(catalog, query))


def _found(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    hits, downloads = TABLES[Hit], TABLES[Download]
    # An outer join, which coalesce keeps one: SQLite then reads the hits as they lie, and does not look up each for its
    # file, which takes three times as long as sorting what was read.
    joined = hits.outerjoin(downloads, hits.c.image_url == downloads.c.image_url)
    return sa.select(*columns).select_from(joined).where(sa.func.coalesce(downloads.c.status, "") == "ok")


def _rows(catalog: Catalog, query: sa.Select[Any]) -> Iterator[Any]:
    with catalog.engine.connect() as connection:
        yield from connection.execute(query.execution_options(yield_per=1000))
