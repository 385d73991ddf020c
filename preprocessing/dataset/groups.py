"""Which pictures belong together: no split parts them, and none of them vouches for another."""

from __future__ import annotations

from collections.abc import Sequence

from preprocessing.duplicates.group import connected_components
from workspace.catalog.records import Hit, Verdict

# Not names of people: these would join the pictures of many.
_NOBODY = frozenset({"", "unknown", "unknown author", "anonymous", "n/a", "none"})


def groups_of(
    kept: Sequence[tuple[str, str]], hits: Sequence[tuple[str, Hit]], verdicts: Sequence[Verdict]
) -> dict[str, str]:
    """Name what must not be parted, for every file: copies and kin, and what one creator made at one source."""
    files = {sha for sha, _ in kept}
    pairs = [(one.sha256, one.group) for one in verdicts if one.group]
    authors: dict[tuple[str, str], str] = {}
    for sha, hit in hits:
        if sha in files and hit.creator.strip().casefold() not in _NOBODY:
            pairs.append((sha, authors.setdefault((hit.source, hit.creator.strip()), sha)))
    others = sorted({item for pair in pairs for item in pair} - files)
    return connected_components([*sorted(files), *others], pairs)
