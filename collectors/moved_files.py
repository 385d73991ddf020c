"""Find own files that a person moved to the folder of another class, so that their earlier label no longer counts."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import sqlalchemy as sa

from collectors.intake import INBOX_SCHEME
from collectors.sources.local.folder import listed_urls, place_url
from workspace.catalog.catalog import TABLES, Catalog
from workspace.catalog.hits.label_ranks import GIVEN_SOURCES
from workspace.catalog.records import Download, Hit, Override
from workspace.config.model import WorkspaceConfig
from workspace.image_files import version_of
from workspace.storage.paths import Workspace

NEGATIVES = f"{INBOX_SCHEME}/negatives/"
"""What the urls of the files of `negatives.folder` begin with."""


def drop_moved_files(workspace: Workspace, config: WorkspaceConfig, catalog: Catalog) -> tuple[str, ...]:
    """Delete the hits of own files that are gone and whose bytes now lie under another class.

    A file that is only gone keeps its label, since people empty their folders, and files that lie under two classes at
    once keep both. Files of another folder than today's, and of one that cannot be read, are neither gone nor there.

    Returns:
        A sentence on the number of those that no person has decided on; nothing where there are none.
    """
    present = _Present(workspace, config)
    moved: list[tuple[str, Hit]] = []
    for sha, rows in itertools.groupby(_under_two_classes(catalog, config.collected), key=operator.itemgetter(0)):
        is_there = {hit: present.has(hit, place) for _, hit, place in rows}
        there = {hit.label for hit, found in is_there.items() if found}
        moved += ((sha, hit) for hit, found in is_there.items() if found is False and there - {hit.label})
    if not moved:
        return ()
    table = TABLES[Hit]
    with catalog.transaction() as connection:
        for _, hit in moved:
            key = table.c.label == hit.label, table.c.source == hit.source, table.c.image_url == hit.image_url
            connection.execute(table.delete().where(*key))
    count = len({sha for sha, _ in moved} - {row.sha256 for row in catalog.all(Override)})
    one, several = "1 own file that was moved to another class is", "own files that were moved to another class are"
    return (f"{one if count == 1 else f'{count:,} {several}'} now of that class alone",) if count else ()


def _under_two_classes(catalog: Catalog, labels: Mapping[str, object]) -> Iterator[tuple[str, Hit, str]]:
    """Yield (sha256, hit, final_url) of every own file that has more than one of these labels, by sha256."""
    hits, downloads = TABLES[Hit], TABLES[Download]
    joined = hits.join(downloads, hits.c.image_url == downloads.c.image_url)
    own = sa.and_(hits.c.source.in_(GIVEN_SOURCES), hits.c.label.in_(list(labels)), downloads.c.status == "ok")
    several = sa.select(downloads.c.sha256).select_from(joined).where(own).group_by(downloads.c.sha256)
    several = several.having(sa.func.min(hits.c.label) < sa.func.max(hits.c.label))
    columns = downloads.c.sha256, downloads.c.final_url, *hits.c
    query = sa.select(*columns).select_from(joined).where(own, downloads.c.sha256.in_(several))
    with catalog.engine.connect() as connection:
        for sha, place, *of_hit in connection.execute(query.order_by(downloads.c.sha256)):
            yield str(sha), Hit(*of_hit), str(place)


class _Present:
    """Tells which own files still lie where they were found; folders are listed once, when the first is asked for."""

    def __init__(self, workspace: Workspace, config: WorkspaceConfig) -> None:
        self._inbox, self._search = workspace.inbox, config.search
        self._photos = place_url(config.search.folder.place) if config.search.folder.path else ""
        self._negatives = config.negatives.place if config.negatives.folder else None
        self._listed: dict[str, frozenset[str] | None] = {}

    def has(self, hit: Hit, place: str) -> bool | None:
        """Return whether the file of a hit lies where it was found, or in today's folder; None: that cannot be told.

        It is gone only from the place that it was read from: another folder never had it.
        """
        address, _, version = hit.image_url.rpartition("?")
        if hit.source != "inbox":
            listed = self._urls(hit.keyword)
            is_there, its_place = None if listed is None else hit.image_url in listed, self._photos
        elif not address.startswith(NEGATIVES):
            return _lies_in(self._inbox, address.removeprefix(INBOX_SCHEME), version)
        elif self._negatives is None:
            return None
        else:
            is_there = _lies_in(self._negatives, address.removeprefix(NEGATIVES), version)
            its_place = place_url(self._negatives)
        return is_there if is_there or place == its_place else None

    def _urls(self, keyword: str) -> frozenset[str] | None:
        if keyword not in self._listed:
            self._listed[keyword] = listed_urls(self._search, keyword)
        return self._listed[keyword]


def _lies_in(folder: Path, quoted: str, version: str) -> bool | None:
    try:
        return version_of(folder / unquote(quoted, errors="surrogateescape")) == version
    except OSError:
        return None
