"""Carry pictures and decisions over when the classes of workspace.toml change: rows follow their keyword.

The catalogue files everything under the name of a class. A class with another name and one of the same keywords is the
same class, and a keyword that moved to another class takes along what it found.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.overrides import KEEP, RELABEL
from workspace.catalog.records import Cluster, Download, Hit, Override, Search, Verdict
from workspace.names import name_key
from workspace.text.counts import counted

_INBOX = "inbox"
_FILED: dict[type, tuple[str, ...]] = {
    Hit: ("source", "image_url"),
    Search: ("keyword", "source"),
    Verdict: ("sha256", "stage"),
    Cluster: ("sha256",),
}
"""The tables that file rows under a label, and the columns of their keys beside it; decisions are moved one by one."""


@dataclass(frozen=True, slots=True)
class Move:
    """Rows of a class that belong to another one now.

    Attributes:
        old, new: the labels.
        keyword: whose rows they are; empty: all rows of the old label, which is no class any more.
        keeps_inbox: what a person put into the inbox stays, since the old label still is a class.
    """

    old: str
    new: str
    keyword: str = ""
    keeps_inbox: bool = False


@dataclass(frozen=True, slots=True)
class CarryOver:
    """What changes in the catalogue so that it fits the classes of today.

    Attributes:
        moves: of hits and searches.
        decisions: those to be replaced, each with what it becomes.
        orphans: the decisions that are left under, or moved to, a label that is no class.
        notes: what is carried over, as sentences for people.
        waiting: what becomes of the orphans, as sentences for people.
    """

    moves: tuple[Move, ...] = ()
    decisions: Mapping[Override, tuple[Override, ...]] = field(default_factory=dict)
    orphans: tuple[Override, ...] = ()
    notes: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def plan_carry_over(
    catalog: Catalog, classes: Mapping[str, Sequence[str]], renamed: Mapping[str, str] | None = None
) -> CarryOver:
    """Find what has to follow its keyword to another class; changes nothing.

    Args:
        catalog: of the workspace.
        classes: keywords by class, as workspace.toml has them now.
        renamed: new names by old ones, for classes that kept no keyword.
    """
    known = _known_keywords(catalog, classes)
    moves = _moves(known, classes, renamed or {})
    overrides = catalog.all(Override)
    found_by = _keywords_of(catalog, {row.sha256 for row in overrides}, classes) if moves else {}
    whole = {move.old: move.new for move in moves if not move.keyword} | dict(renamed or {})
    by_keyword = {(move.old, move.keyword): move.new for move in moves if move.keyword}
    successors = whole | _taken_names(known, moves, classes)
    decisions: dict[Override, tuple[Override, ...]] = {}
    for row in overrides:
        labels = _labels_now(row, whole, by_keyword, found_by.get((row.sha256, row.label), frozenset()))
        after = tuple(_renamed(row, label, successors.get(row.new_label, row.new_label)) for label in sorted(labels))
        if after != (row,):
            decisions[row] = after
    now = [after for row in overrides for after in decisions.get(row, (row,))]
    orphans = tuple(row for row in now if row.label not in classes or (row.new_label and row.new_label not in classes))
    notes, waiting = _move_notes(catalog, moves, decisions), _orphan_notes(orphans, classes)
    return CarryOver(tuple(moves), decisions, orphans, tuple(notes), tuple(waiting))


def carry_over(
    catalog: Catalog, classes: Mapping[str, Sequence[str]], renamed: Mapping[str, str] | None = None
) -> CarryOver:
    """Make the catalogue fit the classes of today, in one transaction; returns what was planned.

    Of two decisions on one image that come under one label, the later counts.

    Raises:
        WorkspaceError: the catalogue refused, for example because the disk is full.
    """
    plan = plan_carry_over(catalog, classes, renamed)
    if not plan.moves and not plan.decisions:
        return plan
    with catalog.transaction() as connection:
        for move in plan.moves:
            for kind in (Hit, Search) if move.keyword else _FILED:
                _move_rows(connection, kind, move)
        _replace_decisions(connection, plan.decisions)
    return plan


def known_labels(catalog: Catalog) -> list[str]:
    """List every label under which something was found or decided, whether or not it is a class now."""
    labels = sa.union(*(sa.select(TABLES[kind].c.label) for kind in (Hit, Override)))
    with catalog.engine.connect() as connection:
        return sorted(str(label) for label in connection.execute(labels).scalars())


def _moves(
    known: Iterable[tuple[str, str]], classes: Mapping[str, Sequence[str]], renamed: Mapping[str, str]
) -> list[Move]:
    owners: dict[str, set[str]] = defaultdict(set)
    for label, its_keywords in classes.items():
        for word in its_keywords:
            owners[name_key(word)].add(label)
    keywords: dict[str, set[str]] = defaultdict(set)
    for label, keyword in known:
        keywords[label].add(keyword)
    moves = []
    for label, words in sorted(keywords.items()):
        owned = {word: owners[name_key(word)] for word in sorted(words) if name_key(word) in owners}
        targets = {renamed[label]} if label in renamed else {name for names in owned.values() for name in names}
        if label not in classes and len(targets) == 1:
            moves.append(Move(label, targets.pop()))
            continue
        for word, names in owned.items():
            if label not in names and len(names) == 1:
                moves.append(Move(label, next(iter(names)), word, keeps_inbox=label in classes))
    return moves


def _taken_names(
    known: Iterable[tuple[str, str]], moves: Iterable[Move], classes: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Map each name that another class has taken over to the present name of the class that had it.

    So it is when two classes swap their names: all keywords of the one move, and those that it has now were others'.
    """
    keywords: dict[str, set[str]] = defaultdict(set)
    targets: dict[str, set[str]] = defaultdict(set)
    for label, word in known:
        keywords[label].add(name_key(word))
    for move in moves:
        targets[move.old].add(move.new)
    taken = {}
    for label, new in targets.items():
        own = {name_key(word) for word in classes.get(label, ())}
        of_others = {word for other, words in keywords.items() if other != label for word in words}
        if own and own <= of_others and not own & keywords[label] and len(new) == 1:
            taken[label] = next(iter(new))
    return taken


def _labels_now(
    row: Override, whole: Mapping[str, str], by_keyword: Mapping[tuple[str, str], str], found_by: Collection[str]
) -> set[str]:
    """Choose the labels under which a decision counts now."""
    if row.label in whole:
        return {whole[row.label]}
    labels = {by_keyword.get((row.label, keyword), row.label) for keyword in found_by}
    return {row.label} if not labels or row.label in labels else labels


def _renamed(row: Override, label: str, new_label: str) -> Override:
    if row.action == RELABEL and label == new_label:  # both classes are one now
        return dataclasses.replace(row, label=label, action=KEEP, new_label="")
    return dataclasses.replace(row, label=label, new_label=new_label)


def _known_keywords(catalog: Catalog, classes: Collection[str]) -> set[tuple[str, str]]:
    """Read every (label, keyword) that was ever searched or has found something."""
    tables = TABLES[Hit], TABLES[Search]
    with catalog.engine.connect() as connection:
        rows = [
            row
            for table in tables
            for row in connection.execute(sa.select(table.c.label, table.c.keyword, table.c.source).distinct())
        ]
    return {(str(label), str(keyword)) for label, keyword, source in rows if not _is_fixed(label, source, classes)}


def _is_fixed(label: str, source: str, classes: Collection[str]) -> bool:
    """Return whether a person has put a picture under this class, which still is one; its keywords do not matter."""
    return source == _INBOX and label in classes


def _keywords_of(catalog: Catalog, files: Collection[str], classes: Collection[str]) -> dict[tuple[str, str], set[str]]:
    """Read the keywords that found each of these files, by (sha256, label); none for what the inbox gave to a class."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    query = (
        sa.select(downloads.c.sha256, hits.c.label, hits.c.keyword, hits.c.source)
        .join(hits, hits.c.image_url == downloads.c.image_url)
        .where(downloads.c.sha256 != "")
        .distinct()
    )
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    with catalog.engine.connect() as connection:
        for sha, label, keyword, source in connection.execute(query):
            if sha in files:
                found[str(sha), str(label)].add("" if _is_fixed(label, source, classes) else str(keyword))
    return found


def _move_rows(connection: sa.Connection, kind: type, move: Move) -> None:
    """Give the rows of a table their new label; a row that is there under it already stays, and the old one goes."""
    table = TABLES[kind]
    concerned = _rows_of(move, table)
    there = table.alias()
    same = sa.and_(there.c.label == move.new, *(there.c[name] == table.c[name] for name in _FILED[kind]))
    connection.execute(table.delete().where(concerned, sa.exists().where(same)))
    connection.execute(table.update().where(concerned).values(label=move.new))


def _rows_of(move: Move, table: sa.Table) -> sa.ColumnElement[bool]:
    if not move.keyword:
        return table.c.label == move.old
    fixed = table.c.source == _INBOX if move.keeps_inbox else sa.false()
    return sa.and_(table.c.label == move.old, table.c.keyword == move.keyword, sa.not_(fixed))


def _replace_decisions(connection: sa.Connection, decisions: Mapping[Override, Sequence[Override]]) -> None:
    table = TABLES[Override]
    for row in decisions:
        connection.execute(table.delete().where(table.c.sha256 == row.sha256, table.c.label == row.label))
    for row in sorted((new for after in decisions.values() for new in after), key=lambda new: new.made_at):
        key = sa.and_(table.c.sha256 == row.sha256, table.c.label == row.label)
        connection.execute(table.delete().where(key, table.c.made_at <= row.made_at))
        if connection.execute(sa.select(table.c.sha256).where(key)).first() is None:
            connection.execute(table.insert().values(**dataclasses.asdict(row)))


def _move_notes(catalog: Catalog, moves: Sequence[Move], decisions: Mapping[Override, Sequence[Override]]) -> list[str]:
    hits = TABLES[Hit]
    notes = []
    for move in moves:
        with catalog.engine.connect() as connection:
            found = sa.select(sa.func.count(sa.distinct(hits.c.image_url))).where(_rows_of(move, hits))
            pictures = int(connection.execute(found).scalar_one())
        people = sum(
            row.label == move.old and any(new.label == move.new for new in after) for row, after in decisions.items()
        )
        what = f"{counted(pictures, 'picture')} and {counted(people, 'decision')}"
        if move.keyword:
            notes.append(f"the keyword {move.keyword!r} is now of {move.new!r}, not {move.old!r}: {what} go with it")
        else:
            notes.append(f"the class {move.old!r} is now {move.new!r}: {what} go with it")
    moved_to = Counter(
        (row.new_label, new.new_label or new.label)
        for row, after in decisions.items()
        for new in after
        if row.new_label and new.new_label != row.new_label
    )
    notes += [
        f"{counted(count, 'picture')} that a person moved to {old!r} {'is' if count == 1 else 'are'} now of {new!r}"
        for (old, new), count in sorted(moved_to.items())
    ]
    return notes


def _orphan_notes(orphans: Sequence[Override], classes: Collection[str]) -> list[str]:
    under = Counter(row.label for row in orphans if row.label not in classes)
    moved = Counter(row.new_label for row in orphans if row.label in classes)
    remedy = "give a class its keyword, or name its successor: collect-and-train rename"
    return [
        *(
            f"{counted(count, 'decision')} under {label!r}, which is no class now, "
            f"{'waits' if count == 1 else 'wait'}: {remedy}"
            for label, count in sorted(under.items())
        ),
        *(
            f"{counted(count, 'picture')} that a person moved to {label!r}, which is no class now, "
            f"{'is' if count == 1 else 'are'} in no class: {remedy}, or decide again in review"
            for label, count in sorted(moved.items())
        ),
    ]
