"""Group images that must share a split and are never each other's evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from preprocessing.duplicates.group import connected_components
from workspace.catalog.records import Verdict

# Not names of people: these would join the images of many.
_NOBODY = frozenset({"", "unknown", "unknown author", "anonymous", "n/a", "none"})


def groups_of(
    kept: Sequence[tuple[str, str]], creators: Iterable[tuple[str, str, str]], verdicts: Iterable[Verdict]
) -> dict[str, str]:
    """Name the group of every file: copies and near-duplicates, and the images of one creator at one source.

    Args:
        kept: (sha256, label) of the images that stay.
        creators: (sha256, source, creator) of the hits.
        verdicts: their `group` counts.
    """
    files = {sha for sha, _ in kept}
    pairs = [(verdict.sha256, verdict.group) for verdict in verdicts if verdict.group]
    authors: dict[tuple[str, str], str] = {}
    for sha, source, creator in creators:
        if sha in files and creator.strip().casefold() not in _NOBODY:
            pairs.append((sha, authors.setdefault((source, creator.strip()), sha)))
    others = sorted({item for pair in pairs for item in pair} - files)
    return connected_components([*sorted(files), *others], pairs)
