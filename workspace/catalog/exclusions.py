"""What is found and must not be fetched: under a licence that is not wanted, or withdrawn by `forget`.

Each such address is a row of downloads with its reason, so that nothing is left out silently.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog, batched
from workspace.catalog.records import Download, Hit, Withdrawal
from workspace.config.collect import license_is
from workspace.reasons import LICENSE_NOT_WANTED, LICENSE_UNKNOWN


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Everything that `forget` was told, to hold hits against."""

    creators: Collection[str] = ()
    urls: Collection[str] = ()
    licenses: Collection[str] = field(default=())

    @classmethod
    def of(cls, rows: Iterable[Withdrawal]) -> Withdrawn:
        """From rows of the catalogue, or from one that is about to become one."""
        by_kind: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            by_kind[row.kind].add(name_key(row.value) if row.kind == "creator" else row.value)
        return cls(by_kind["creator"], by_kind["url"], by_kind["license"])

    def __bool__(self) -> bool:
        return bool(self.creators or self.urls or self.licenses)

    def kind(self, hit: Hit) -> str:
        """Why this hit is withdrawn: creator, url or license; empty when it is not."""
        if self.creators and name_key(hit.creator) in self.creators:
            return "creator"
        if hit.image_url in self.urls or hit.page_url in self.urls:
            return "url"
        return "license" if any(license_is(hit.license, one) for one in self.licenses) else ""


def name_key(name: str) -> str:
    """The form in which creators' names are compared: NFC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def leave_out(catalog: Catalog, licenses: Sequence[str] | None, urls: Collection[str] | None = None) -> set[str]:
    """Record what must not be fetched, and free what the settings of today allow.

    Of an address that several searches found, the stated licences count: it is left out when one of them is not
    wanted, and unknown only when none is stated.

    Args:
        catalog: whose addresses; those that were fetched stay as they are.
        licenses: what a picture may have (SearchConfig.wanted_licenses); None: any.
        urls: look at these only; None: at all.

    Returns:
        The addresses that are left out.
    """
    withdrawn = Withdrawn.of(catalog.all(Withdrawal))
    before = _left_out_before(catalog, urls)
    if licenses is None and not withdrawn and not before:
        return set()
    after: dict[str, tuple[str, str]] = {}
    for url, hits in _undecided(catalog, urls).items():
        kinds = [kind for hit in hits if (kind := withdrawn.kind(hit))]
        reason = _license_reason(hits, licenses)
        if kinds:
            after[url] = ("withdrawn", kinds[0])
        elif reason:
            after[url] = ("skipped", reason)
    catalog.delete(Download, "image_url", before.keys() - after.keys())
    catalog.put(
        Download(url, *outcome, attempts=0) for url, outcome in sorted(after.items()) if before.get(url) != outcome
    )
    return set(after)


def left_out_counts(catalog: Catalog, label: str) -> Counter[str]:
    """Why addresses of a class were never asked for, by reason; those that were withdrawn by `withdrawn`."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(downloads.c.status, downloads.c.reason, sa.func.count(sa.distinct(hits.c.image_url)))
        .join(hits, hits.c.image_url == downloads.c.image_url)
        .where(hits.c.label == label, downloads.c.status.in_(("skipped", "withdrawn")))
        .group_by(downloads.c.status, downloads.c.reason)
    )
    counts: Counter[str] = Counter()
    with catalog.engine.connect() as connection:
        for status, reason, count in connection.execute(query):
            counts[str(reason) if status == "skipped" else status] += int(count)
    return counts


def _license_reason(hits: Iterable[Hit], licenses: Sequence[str] | None) -> str:
    if licenses is None:
        return ""
    stated = {hit.license for hit in hits} - {""}
    if not stated:
        return LICENSE_UNKNOWN
    return "" if stated <= set(licenses) else LICENSE_NOT_WANTED


def _left_out_before(catalog: Catalog, urls: Collection[str] | None) -> dict[str, tuple[str, str]]:
    """The addresses that were left out for their licence, with their status and reason."""
    table = TABLES[Download]
    query = sa.select(table.c.image_url, table.c.status, table.c.reason).where(
        table.c.reason.in_((LICENSE_UNKNOWN, LICENSE_NOT_WANTED))
    )
    with catalog.engine.connect() as connection:
        rows = {str(url): (str(status), str(reason)) for url, status, reason in connection.execute(query)}
    return rows if urls is None else {url: rows[url] for url in rows.keys() & set(urls)}


def _undecided(catalog: Catalog, urls: Collection[str] | None) -> dict[str, list[Hit]]:
    """The hits of every address that was not asked for yet, or was left out for its licence."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(hits)
        .outerjoin(downloads, hits.c.image_url == downloads.c.image_url)
        .where(sa.or_(downloads.c.image_url.is_(None), downloads.c.reason.in_((LICENSE_UNKNOWN, LICENSE_NOT_WANTED))))
    )
    found: dict[str, list[Hit]] = defaultdict(list)
    with catalog.engine.connect() as connection:
        parts = [query] if urls is None else [query.where(hits.c.image_url.in_(some)) for some in batched(sorted(urls))]
        for part in parts:
            for row in connection.execute(part):
                found[row.image_url].append(Hit(**row._mapping))
    return found
