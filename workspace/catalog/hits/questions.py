"""What is asked for today, and what the catalogue has from keywords and sources that were removed from the settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.hits.label_ranks import GIVEN_SOURCES
from workspace.catalog.overrides import KEEP
from workspace.catalog.records import Download, Hit, Override, Search
from workspace.catalog.standing import Pair
from workspace.config.model import WorkspaceConfig
from workspace.text.counts import counted

_REMOVED = "removed"
"""The scope of a search whose keyword was removed, once the searches beside it have begun anew."""


@dataclass(frozen=True, slots=True)
class Questions:
    """The keywords of every class, and the sources that are asked for them."""

    keywords: Mapping[str, Collection[str]]
    sources: Collection[str]

    @classmethod
    def of(cls, config: WorkspaceConfig) -> Questions:
        """Read them from the settings; the negatives count as a class."""
        return cls(config.collected, config.search.sources)

    def has(self, search: Search) -> bool:
        """Return whether a recorded search is still asked."""
        return search.source in self.sources and search.keyword in self.keywords.get(search.label, ())


@dataclass(frozen=True, slots=True)
class Removed:
    """The searches that were made and are no longer asked; false where there are none.

    Attributes:
        sources: those that are no longer named.
        keywords: (class, keyword) of the keywords that its class no longer has.
    """

    sources: frozenset[str] = frozenset()
    keywords: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.sources or self.keywords)

    def found(self, hits: sa.FromClause) -> sa.ColumnElement[bool]:
        """Write the condition that one of these has found a row of hits; what a person gave counts as asked for."""
        pair = sa.tuple_(hits.c.label, hits.c.keyword)
        conditions = [hits.c.source.in_(sorted(self.sources))] if self.sources else []
        conditions += [pair.in_(sorted(self.keywords))] if self.keywords else []
        return sa.and_(hits.c.source.not_in(GIVEN_SOURCES), sa.or_(sa.false(), *conditions))


def removed_questions(catalog: Catalog, questions: Questions | None) -> Removed:
    """Find the searches of the present classes that are no longer asked; None: all are.

    The table of searches is small, so that queries of the hits stay as they are where nothing was removed.
    """
    if questions is None:
        return Removed()
    asked = [row for row in catalog.all(Search) if row.source not in GIVEN_SOURCES and row.label in questions.keywords]
    return Removed(
        frozenset(row.source for row in asked) - {*questions.sources},
        frozenset((row.label, row.keyword) for row in asked if row.keyword not in questions.keywords[row.label]),
    )


def adopt_found_again(catalog: Catalog, removed: Removed, found: Sequence[Hit]) -> None:
    """Give hits of removed keywords, which a present keyword found again at the same source, to the present one.

    Args:
        catalog: has a row for each of them.
        removed: from `removed_questions`.
        found: the hits of one search.
    """
    if not removed.keywords or not found:
        return
    hits = TABLES[Hit]
    own = sa.and_(hits.c.label == found[0].label, hits.c.source == found[0].source)
    with catalog.transaction() as connection:
        stale = set(connection.execute(sa.select(hits.c.image_url).where(own, removed.found(hits))).scalars())
        for hit in found:
            if hit.image_url in stale:
                change = hits.update().where(own, hits.c.image_url == hit.image_url)
                connection.execute(change.values(keyword=hit.keyword, rank=hit.rank))


def begin_anew_after_removals(catalog: Catalog, questions: Questions) -> None:
    """Let the present searches of a class begin anew, once for each keyword that was removed beside them.

    Of an address that two keywords found, the hit names the first alone: when the other is asked again, it gets it.
    Nothing begins anew for a keyword whose hits were all fetched. A keyword that is named again begins anew too.
    """
    removed = removed_questions(catalog, questions)
    searches = [row for row in catalog.all(Search) if row.source not in GIVEN_SOURCES]
    gone = {
        (row.label, row.keyword, row.source)
        for row in searches
        if (row.label, row.keyword) in removed.keywords and row.source in questions.sources and row.scope != _REMOVED
    }
    gone &= _not_fetched(catalog, removed) if gone else set()
    beside = {(label, source) for label, _, source in gone}
    changed = [replace(row, scope=_REMOVED) for row in searches if (row.label, row.keyword, row.source) in gone]
    for row in filter(questions.has, searches):
        if row.scope == _REMOVED or (row.label, row.source) in beside:
            status = "failed" if row.status == "failed" else "open"
            scope = "" if row.scope == _REMOVED else row.scope
            changed.append(replace(row, status=status, cursor=None, found=0, scope=scope))
    catalog.put(changed)


def _not_fetched(catalog: Catalog, removed: Removed) -> set[tuple[str, str, str]]:
    """Read (class, keyword, source) of the removed searches that have hits that were not fetched."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(hits.c.label, hits.c.keyword, hits.c.source)
        .outerjoin(downloads, hits.c.image_url == downloads.c.image_url)
        .where(removed.found(hits), sa.or_(downloads.c.status.is_(None), downloads.c.status == "failed"))
        .distinct()
    )
    with catalog.engine.connect() as connection:
        return {(str(label), str(keyword), str(source)) for label, keyword, source in connection.execute(query)}


def leftover_notes(catalog: Catalog, questions: Questions) -> tuple[str, ...]:
    """Say of each class how many pictures it keeps that no present keyword and source has found, and what helps."""
    removed = removed_questions(catalog, questions)
    if not removed:
        return ()
    hits = TABLES[Hit]
    only = _pairs(catalog, removed.found(hits)) - _pairs(catalog, sa.not_(removed.found(hits)))
    only -= {(row.sha256, row.label) for row in catalog.all(Override) if row.action == KEEP}
    counts = Counter(label for _, label in only.intersection(catalog.kept()))
    notes = []
    for label in questions.keywords:
        if count := counts[label]:
            words = [repr(word) for its_label, word in sorted(removed.keywords) if its_label == label]
            names = ", ".join((*words, *sorted(removed.sources)))
            was, are = ("was", "is") if count == 1 else ("were", "are")
            notes.append(
                f"{label}: {counted(count, 'kept picture')} {was} found only by what is no longer asked for ({names}) "
                f"and {are} trained on like the others: drop what does not belong in `collect-and-train review`, or "
                "begin with an empty workspace"
            )
    return tuple(notes)


def _pairs(catalog: Catalog, condition: sa.ColumnElement[bool]) -> set[Pair]:
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(downloads.c.sha256, hits.c.label)
        .join(hits, hits.c.image_url == downloads.c.image_url)
        .where(downloads.c.status == "ok", condition)
        .distinct()
    )
    with catalog.engine.connect() as connection:
        return {(str(sha), str(label)) for sha, label in connection.execute(query)}
