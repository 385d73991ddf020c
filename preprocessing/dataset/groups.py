"""Group images that must share a split and are never each other's evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from preprocessing.duplicates.group import connected_components
from workspace.catalog import curation
from workspace.catalog.catalog import Catalog
from workspace.catalog.counts import creators
from workspace.catalog.records import Sample, Verdict

# Not names of people: these would join the images of many.
_NOBODY = frozenset({"", "unknown", "unknown author", "anonymous", "n/a", "none"})


def groups_of(
    kept: Sequence[tuple[str, str]],
    found: Iterable[tuple[str, str, str]],
    verdicts: Iterable[Verdict],
    joined: Iterable[tuple[str, str]] = (),
) -> dict[str, str]:
    """Name the group of every file: copies and near-duplicates, and the images of one creator at one source.

    Args:
        kept: (sha256, label) of the images that stay.
        found: (sha256, source, creator) of the hits.
        verdicts: their `group` counts.
        joined: more pairs: a sha256, and a name that those of one group share.
    """
    files = {sha for sha, _ in kept}
    pairs = [*joined, *((verdict.sha256, verdict.group) for verdict in verdicts if verdict.group)]
    authors: dict[tuple[str, str], str] = {}
    for sha, source, creator in found:
        if sha in files and creator.strip().casefold() not in _NOBODY:
            pairs.append((sha, authors.setdefault((source, creator.strip()), sha)))
    others = sorted({item for pair in pairs for item in pair} - files)
    return connected_components([*sorted(files), *others], pairs)


def groups_today(catalog: Catalog, *frozen: Sequence[Sample]) -> dict[str, str]:
    """Name the group of every image of frozen datasets, whose own groups say nothing of each other's.

    Two images are of one group where one of the datasets had joined them, or names one creator of both, or the
    catalogue joins them now: also by way of an image that is in none of the datasets.
    """
    own = [(sample.sha256, sample.label) for samples in frozen for sample in samples]
    joined = [
        (sample.sha256, f"{number}:{sample.group}")
        for number, samples in enumerate(frozen)
        for sample in samples
        if sample.group
    ]
    named = ((sample.sha256, sample.source, sample.creator) for samples in frozen for sample in samples)
    kept = catalog.kept(ignoring=[curation.STAGE])
    return groups_of([*own, *kept], chain(creators(catalog), named), curation.grouped(catalog), joined)
