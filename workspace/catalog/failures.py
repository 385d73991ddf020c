"""Failed downloads and searches by reason, for `retry` and the download step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from urllib.parse import urlsplit

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.class_progress import class_progress
from workspace.catalog.hits.questions import Questions, Removed, removed_questions
from workspace.catalog.records import Download, Hit, Search
from workspace.clock import utc_now
from workspace.reasons import FILE_LOST, GIVEN_UP


def failure_counts(catalog: Catalog) -> tuple[Counter[str], Counter[str]]:
    """Count failed downloads and failed searches by reason; a refusal counts as a failure."""
    downloads, searches = TABLES[Download], TABLES[Search]
    with catalog.engine.connect() as connection:
        return (
            _counted(connection, downloads.c.reason, downloads.c.status.in_(("failed", "refused"))),
            _counted(connection, searches.c.reason, searches.c.status == "failed"),
        )


def _counted(connection: sa.Connection, reason: sa.Column[str], where: sa.ColumnElement[bool]) -> Counter[str]:
    query = sa.select(reason, sa.func.count()).where(where).group_by(reason).order_by(reason)
    return Counter({str(name): int(count) for name, count in connection.execute(query)})


def failed_urls(catalog: Catalog, reasons: Collection[str], questions: Questions | None = None) -> list[str]:
    """List the URLs that failed or were refused for one of these reasons, in order.

    Only those that one of `questions` has found; None: all.
    """
    table, hits = TABLES[Download], TABLES[Hit]
    query = sa.select(table.c.image_url).where(table.c.status.in_(("failed", "refused")), table.c.reason.in_(reasons))
    if removed := removed_questions(catalog, questions):
        query = query.where(sa.exists().where(hits.c.image_url == table.c.image_url, _is_asked(removed)))
    with catalog.engine.connect() as connection:
        return [str(url) for url in connection.execute(query.order_by(table.c.image_url)).scalars()]


def failures_under(catalog: Catalog, scheme: str) -> list[tuple[str, str, str]]:
    """List (url, status, reason) of the URLs of a scheme, such as `inbox:`, that failed or were refused, in order."""
    table = TABLES[Download]
    # Not LIKE, which no index of SQLite answers.
    of_scheme = sa.and_(table.c.image_url >= scheme, table.c.image_url < scheme[:-1] + chr(ord(scheme[-1]) + 1))
    query = sa.select(table.c.image_url, table.c.status, table.c.reason).order_by(table.c.image_url)
    with catalog.engine.connect() as connection:
        rows = connection.execute(query.where(of_scheme, table.c.status.in_(("failed", "refused"))))
        return [(str(url), str(status), str(reason)) for url, status, reason in rows]


def failed_searches(catalog: Catalog, reasons: Collection[str]) -> list[Search]:
    """List the searches that failed for one of these reasons, in the order of their keys."""
    return [search for search in catalog.all(Search) if search.status == "failed" and search.reason in reasons]


def urls_to_retry(
    catalog: Catalog, labels: Collection[str], per_class: int, pause_s: float, questions: Questions | None = None
) -> list[str]:
    """List the URLs not tried because their host was given up, once it has been left alone for `pause_s` seconds.

    Only those of classes that still need pictures, and that one of `questions` has found; None: any search.
    """
    hits, downloads = TABLES[Hit], TABLES[Download]
    latest, now = utc_now(ago_s=pause_s), utc_now()
    # One of the future was written by a clock that was wrong.
    is_left_alone = sa.or_(downloads.c.fetched_at <= latest, downloads.c.fetched_at > now)
    query = (
        sa.select(hits.c.label, hits.c.image_url)
        .join(downloads, hits.c.image_url == downloads.c.image_url)
        .where(downloads.c.status == "failed", downloads.c.reason == GIVEN_UP, is_left_alone)
        .where(_is_asked(removed_questions(catalog, questions)))
    )
    with catalog.engine.connect() as connection:
        found = [(str(label), str(url)) for label, url in connection.execute(query)]
    if not found:
        return []
    states = class_progress(catalog, labels)
    return sorted({url for label, url in found if label in states and states[label].still_to_fetch(per_class)})


def _is_asked(removed: Removed) -> sa.ColumnElement[bool]:
    return sa.not_(removed.found(TABLES[Hit])) if removed else sa.true()


def lost_urls(catalog: Catalog, labels: Collection[str], questions: Questions | None = None) -> list[str]:
    """List the URLs of these classes whose stored file was lost, in order; `questions` as for `urls_to_retry`."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(hits.c.label, hits.c.image_url)
        .join(downloads, hits.c.image_url == downloads.c.image_url)
        .where(downloads.c.status == "failed", downloads.c.reason == FILE_LOST)
        .where(_is_asked(removed_questions(catalog, questions)))
    )
    with catalog.engine.connect() as connection:
        return sorted({str(url) for label, url in connection.execute(query) if label in labels})


def given_up_notes(catalog: Catalog, questions: Questions | None = None) -> tuple[str, ...]:
    """Write a sentence for each host that was given up, to be shown to the user; `questions` as for `failed_urls`."""
    hosts = Counter(urlsplit(url).hostname or "" for url in failed_urls(catalog, [GIVEN_UP], questions))
    return tuple(
        f"{host} kept failing and was given up: {count} of its urls were not tried; `collect-and-train retry` tries "
        "them again"
        for host, count in sorted(hosts.items())
    )
