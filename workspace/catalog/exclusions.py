"""Search hits that must not be downloaded: under an unwanted licence, or withdrawn by `forget`.

Each such URL is a row of downloads with its reason, so that nothing is excluded silently.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog, batched
from workspace.catalog.records import Download, Hit, Withdrawal
from workspace.config.collect import license_is
from workspace.reasons import LICENSE_NOT_WANTED, LICENSE_UNKNOWN, WITHDRAWN_FILE


@dataclass(frozen=True, slots=True)
class WithdrawalRules:
    """Creators, URLs and licences that `forget` has withdrawn, checked against every hit; and files, by sha256."""

    creators: Collection[str] = ()
    urls: Collection[str] = ()
    licenses: Collection[str] = field(default=())
    files: Collection[str] = ()

    @classmethod
    def of(cls, rows: Iterable[Withdrawal]) -> WithdrawalRules:
        """Build the rules from rows of the catalogue, or from rows that are about to be written."""
        by_kind: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            by_kind[row.kind].add(creator_key(row.value) if row.kind == "creator" else row.value)
        return cls(by_kind["creator"], by_kind["url"], by_kind["license"], by_kind[WITHDRAWN_FILE])

    def __bool__(self) -> bool:
        return bool(self.creators or self.urls or self.licenses or self.files)

    def kind(self, hit: Hit) -> str:
        """Return why a hit is withdrawn: creator, url or license; empty when it is not."""
        if self.creators and creator_key(hit.creator) in self.creators:
            return "creator"
        if hit.image_url in self.urls or hit.page_url in self.urls:
            return "url"
        return "license" if any(license_is(hit.license, excluded) for excluded in self.licenses) else ""


def creator_key(name: str) -> str:
    """Normalise a creator's name for comparison: NFC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def record_exclusions(
    catalog: Catalog, licenses: Sequence[str] | None, urls: Collection[str] | None = None
) -> set[str]:
    """Record the hits that must not be downloaded, and release those that the present settings allow.

    Of a URL that several searches found, the stated licences count: it is excluded when one of them is not
    wanted, and unknown only when none is stated.

    Args:
        catalog: whose hits; URLs that were fetched stay as they are.
        licenses: what a picture may have (SearchConfig.wanted_licenses); None: any.
        urls: look at these only; None: at all.

    Returns:
        The excluded URLs.
    """
    withdrawn = WithdrawalRules.of(catalog.all(Withdrawal))
    before = _license_exclusions(catalog, urls)
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


def _license_reason(hits: Iterable[Hit], licenses: Sequence[str] | None) -> str:
    if licenses is None:
        return ""
    stated = {hit.license for hit in hits} - {""}
    if not stated:
        return LICENSE_UNKNOWN
    return "" if stated <= set(licenses) else LICENSE_NOT_WANTED


def _license_exclusions(catalog: Catalog, urls: Collection[str] | None) -> dict[str, tuple[str, str]]:
    """Read the URLs that are excluded for their licence, with status and reason."""
    table = TABLES[Download]
    query = sa.select(table.c.image_url, table.c.status, table.c.reason).where(
        table.c.reason.in_((LICENSE_UNKNOWN, LICENSE_NOT_WANTED))
    )
    with catalog.engine.connect() as connection:
        rows = {str(url): (str(status), str(reason)) for url, status, reason in connection.execute(query)}
    return rows if urls is None else {url: rows[url] for url in rows.keys() & set(urls)}


def _undecided(catalog: Catalog, urls: Collection[str] | None) -> dict[str, list[Hit]]:
    """Read the hits of every URL that was not requested yet, or is excluded for its licence."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(hits)
        .outerjoin(downloads, hits.c.image_url == downloads.c.image_url)
        .where(sa.or_(downloads.c.image_url.is_(None), downloads.c.reason.in_((LICENSE_UNKNOWN, LICENSE_NOT_WANTED))))
    )
    found: dict[str, list[Hit]] = defaultdict(list)
    with catalog.engine.connect() as connection:
        parts = (
            [query] if urls is None else [query.where(hits.c.image_url.in_(batch)) for batch in batched(sorted(urls))]
        )
        for part in parts:
            for row in connection.execute(part):
                found[row.image_url].append(Hit(**row._mapping))
    return found
