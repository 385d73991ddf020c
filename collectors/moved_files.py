"""Find own files that a person moved to the folder of another class, so that their earlier label no longer counts."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import sqlalchemy as sa

from collectors.intake import INBOX_SCHEME
from collectors.sources.local.folder import listed_urls
from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.hits.label_ranks import GIVEN_SOURCES
from workspace.catalog.records import Download, Hit
from workspace.config.model import WorkspaceConfig
from workspace.image_files import version_of
from workspace.storage.paths import Workspace
from workspace.text.counts import counted

NEGATIVES = f"{INBOX_SCHEME}/negatives/"
"""What the urls of the files of `negatives.folder` begin with."""


def drop_moved_files(workspace: Workspace, config: WorkspaceConfig, catalog: Catalog) -> tuple[str, ...]:
    """Delete the hits of own files that are gone and whose bytes now lie under another class.

    A file that is only gone keeps its label, since people empty their folders, and files that lie under two classes at
    once keep both. Where a folder cannot be read, its files count as being there.

    Returns:
        A sentence on their number; nothing where there are none.
    """
    present = _Present(workspace, config)
    moved: list[Hit] = []
    for _, rows in itertools.groupby(_under_two_classes(catalog, config.collected), key=operator.itemgetter(0)):
        hits = [hit for _, hit in rows]
        there = {hit.label for hit in hits if present.has(hit)}
        moved += (hit for hit in hits if there - {hit.label} and not present.has(hit))
    if not moved:
        return ()
    table = TABLES[Hit]
    with catalog.transaction() as connection:
        for hit in moved:
            key = table.c.label == hit.label, table.c.source == hit.source, table.c.image_url == hit.image_url
            connection.execute(table.delete().where(*key))
    number = (
        "1 own file that was moved to another class is"
        if len(moved) == 1
        else (f"{counted(len(moved), 'own file')} that were moved to another class are")
    )
    return (f"{number} now of that class alone",)


def _under_two_classes(catalog: Catalog, labels: Mapping[str, object]) -> Iterator[tuple[str, Hit]]:
    """Yield (sha256, hit) of every own file that has more than one of these labels, by sha256."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    joined = hits.join(downloads, hits.c.image_url == downloads.c.image_url)
    own = sa.and_(hits.c.source.in_(GIVEN_SOURCES), hits.c.label.in_(list(labels)), downloads.c.status == "ok")
    several = sa.select(downloads.c.sha256).select_from(joined).where(own).group_by(downloads.c.sha256)
    several = several.having(sa.func.min(hits.c.label) < sa.func.max(hits.c.label))
    query = sa.select(downloads.c.sha256, *hits.c).select_from(joined).where(own, downloads.c.sha256.in_(several))
    with catalog.engine.connect() as connection:
        for sha, *columns in connection.execute(query.order_by(downloads.c.sha256)):
            yield str(sha), Hit(*columns)


class _Present:
    """Tells which own files still lie where they were found; folders are listed once, when the first is asked for."""

    def __init__(self, workspace: Workspace, config: WorkspaceConfig) -> None:
        self._workspace, self._config = workspace, config
        self._listed: dict[str, frozenset[str] | None] = {}

    def has(self, hit: Hit) -> bool:
        if hit.source != "inbox":
            if hit.keyword not in self._listed:
                self._listed[hit.keyword] = listed_urls(self._config.search, hit.keyword)
            listed = self._listed[hit.keyword]
            return listed is None or hit.image_url in listed
        address, _, version = hit.image_url.rpartition("?")
        if address.startswith(NEGATIVES):
            if not self._config.negatives.folder:
                return False
            return version_of(_file(self._config.negatives.place, address.removeprefix(NEGATIVES))) == version
        return version_of(_file(self._workspace.inbox, address.removeprefix(INBOX_SCHEME))) == version


def _file(folder: Path, quoted: str) -> Path:
    return folder / unquote(quoted, errors="surrogateescape")
