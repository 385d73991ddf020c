"""Choose the negatives of a run, and divide them: some set the limits of "none", the others measure them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from workspace.catalog import curation
from workspace.catalog.catalog import Catalog
from workspace.config.model import WorkspaceConfig
from workspace.digest import digest
from workspace.names import NO_CLASS
from workspace.reasons import COPY_OF_CLASS

SET, MEASURE = "val", "test"
"""The two parts, by the names of the splits that play the same part for the classes."""


def choose_negatives(catalog: Catalog, config: WorkspaceConfig) -> list[tuple[str, str]]:
    """List (sha256, "none") of the clean negatives, without those that are a picture of a class too.

    A person who keeps such a copy decides that it is a negative; the next `clean` takes its class from it, as it does
    where a search found a picture that lies in a person's own folder of negatives (preprocessing/verdicts.py).
    """
    if not config.negatives.wanted:
        return []
    copies = curation.open_flags(catalog, COPY_OF_CLASS)
    stays = catalog.kept(ignoring=[curation.STAGE])
    return [pair for pair in stays if pair[1] == NO_CLASS and pair not in copies]


def divide(groups: Mapping[str, int], seed: int, earlier: Mapping[str, str]) -> dict[str, str]:
    """Assign every group of negatives to a part, so that each gets half of the images, the odd one MEASURE.

    The largest groups go first, equal ones in an order drawn from the seed. Negatives are few, and a rate needs as many
    as a limit does, so the halves are equal.

    Args:
        groups: number of images by the group's name.
        seed: for the order.
        earlier: the parts of groups in runs that were decided on; they keep them.
    """
    parts = {name: part for name, part in earlier.items() if name in groups}
    counts = Counter({SET: 0, MEASURE: 0})
    for name, part in parts.items():
        counts[part] += groups[name]
    for name in sorted(groups.keys() - parts.keys(), key=lambda name: (-groups[name], digest(seed, name))):
        parts[name] = MEASURE if counts[MEASURE] <= counts[SET] else SET
        counts[parts[name]] += groups[name]
    return parts
