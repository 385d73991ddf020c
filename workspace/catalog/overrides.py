"""Decisions that people make about images: one row each; none silently replaces another person's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.records import Override
from workspace.clock import utc_now

KEEP, DROP, RELABEL, UNDECIDED = "keep", "drop", "relabel", ""

_TABLE = TABLES[Override]
_FEW = 100  # with more changes, reading the whole table is quicker than asking for each
_ONE_MOMENT = threading.Lock()  # `made_at` tells decisions apart, so no two of this process share one


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that a person wants to make on one image, under the label that found it.

    Attributes:
        sha256: the picture.
        label: the label that found it.
        action: KEEP, DROP, RELABEL, or UNDECIDED to take a decision back.
        new_label: for RELABEL.
        seen: `made_at` of the decision that the person saw when deciding; empty: there was none.
    """

    sha256: str
    label: str
    action: str
    new_label: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The result of a change: `made` tells whether it was written, `now` is the decision that counts after it."""

    change: Change
    made: bool
    now: Override | None


def decide(catalog: Catalog, changes: Sequence[Change]) -> list[ChangeResult]:
    """Write decisions in one transaction; those based on an outdated view are not written and are reported.

    Returns:
        One result per change, in their order.

    Raises:
        WorkspaceError: the database refused, for example because the disk is full.
    """
    with _ONE_MOMENT, catalog.transaction() as connection:
        moment = utc_now(timespec="microseconds")
        # Each statement looks and writes at once, so that no other process comes in between.
        for statement, wanted in _statements(catalog, changes):
            if wanted:
                connection.execute(statement, [_row(change, moment) for change in wanted])
        query = sa.select(_TABLE)
        if len(changes) < _FEW:
            query = query.where(_TABLE.c.sha256.in_([change.sha256 for change in changes]))
        rows = [Override(**row._mapping) for row in connection.execute(query)]
    now = {(row.sha256, row.label): row for row in rows}
    return [_result(change, now.get((change.sha256, change.label)), moment) for change in changes]


def _result(change: Change, now: Override | None, moment: str) -> ChangeResult:
    # Taking back what somebody else has just taken back comes to the same.
    if now is None or change.action == UNDECIDED:
        return ChangeResult(change, now is None and change.action == UNDECIDED, now)
    # Of two decisions on one image at once the first counts, and the other is not made.
    made = (now.made_at, now.action, now.new_label) == (moment, change.action, change.new_label)
    return ChangeResult(change, made, now)


def _statements(catalog: Catalog, changes: Sequence[Change]) -> list[tuple[sa.sql.dml.UpdateBase, list[Change]]]:
    key = sa.and_(_TABLE.c.sha256 == sa.bindparam("of_sha256"), _TABLE.c.label == sa.bindparam("of_label"))
    as_seen = sa.and_(key, _TABLE.c.made_at == sa.bindparam("seen"))
    values: dict[str, sa.BindParameter[str]] = {name: sa.bindparam(name) for name in ("action", "new_label", "made_at")}
    names: dict[str, sa.BindParameter[str]] = {"sha256": sa.bindparam("of_sha256"), "label": sa.bindparam("of_label")}
    insert = catalog.dialect.insert(_TABLE).values(**names, **values).on_conflict_do_nothing()
    deciding = [change for change in changes if change.action != UNDECIDED]
    return [
        (_TABLE.delete().where(as_seen), [change for change in changes if change.action == UNDECIDED]),
        (_TABLE.update().where(as_seen).values(values), [change for change in deciding if change.seen]),
        (insert, [change for change in deciding if not change.seen]),
    ]


def _row(change: Change, moment: str) -> dict[str, str]:
    return {
        "of_sha256": change.sha256,
        "of_label": change.label,
        "seen": change.seen,
        "action": change.action,
        "new_label": change.new_label,
        "made_at": moment,
    }
