"""What people decide about pictures: each decision is one row, and none silently replaces another person's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from workspace.catalog import TABLES, Catalog
from workspace.errors import WorkspaceError
from workspace.records import Override

KEEP, DROP, RELABEL, UNDECIDED = "keep", "drop", "relabel", ""

_TABLE = TABLES[Override]


@dataclass(frozen=True, slots=True)
class Change:
    """A decision on one picture under the label that found it.

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
class Outcome:
    """What became of a change: `made` tells whether it counts, `now` what is decided on the picture after it."""

    change: Change
    made: bool
    now: Override | None


def decide(catalog: Catalog, changes: Sequence[Change]) -> list[Outcome]:
    """Write decisions, all in one transaction; one that was made on an outdated view is left out and told.

    Returns:
        One outcome per change, in their order.

    Raises:
        WorkspaceError: the database refused, for example because the disk is full.
    """
    moment = datetime.now(UTC).isoformat(timespec="microseconds")
    outcomes = []
    try:
        with catalog.engine.begin() as connection:
            for change in changes:
                made = connection.execute(_statement(catalog, change, moment)).rowcount == 1
                row = connection.execute(sa.select(_TABLE).where(_is(change))).one_or_none()
                now = Override(**row._mapping) if row else None
                # Taking back what somebody else has just taken back comes to the same.
                outcomes.append(Outcome(change, made or (now is None and change.action == UNDECIDED), now))
    except (sa.exc.OperationalError, sa.exc.DatabaseError) as error:
        raise WorkspaceError(
            f"the catalogue refused a decision: {error.orig}; free some space or make the folder writable, "
            "then decide again"
        ) from error
    return outcomes


def _statement(catalog: Catalog, change: Change, moment: str) -> sa.sql.dml.UpdateBase:
    # One statement each, so that no other writer comes between the look and the write.
    as_seen = sa.and_(_is(change), _TABLE.c.made_at == change.seen)
    if change.action == UNDECIDED:
        return _TABLE.delete().where(as_seen)
    values = {"action": change.action, "new_label": change.new_label, "made_at": moment}
    if change.seen:
        return _TABLE.update().where(as_seen).values(values)
    new: sa.sql.dml.UpdateBase = (
        catalog.dialect.insert(_TABLE)
        .values(sha256=change.sha256, label=change.label, **values)
        .on_conflict_do_nothing()
    )
    return new


def _is(change: Change) -> sa.ColumnElement[bool]:
    return sa.and_(_TABLE.c.sha256 == change.sha256, _TABLE.c.label == change.label)
