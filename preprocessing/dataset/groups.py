"""Group images that must share a split and are never each other's evidence."""

from __future__ import annotations

from collections.abc import Sequence

from preprocessing.duplicates.group import connected_components
from workspace.catalog.records import Hit, Verdict

# Not names of people: these would join the images of many.
_NOBODY = frozenset({"", "unknown", "unknown author", "anonymous", "n/a", "none"})


def groups_of(
    kept: Sequence[tuple[str, str]], hits: Sequence[tuple[str, Hit]], verdicts: Sequence[Verdict]
) -> dict[str, str]:
    """Name the group of every file: copies and near-duplicates, and the images of one creator at one source."""
    files = {sha for sha, _ in kept}
    pairs = [(verdict.sha256, verdict.group) for verdict in verdicts if verdict.group]
    authors: dict[tuple[str, str], str] = {}
    for sha, hit in hits:
        if sha in files and hit.creator.strip().casefold() not in _NOBODY:
            pairs.append((sha, authors.setdefault((hit.source, hit.creator.strip()), sha)))
    others = sorted({item for pair in pairs for item in pair} - files)
    return connected_components([*sorted(files), *others], pairs)
