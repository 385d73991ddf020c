"""Texts of the rendered site: keywords, titles in several scripts, and creators."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from gallery.collection import LICENCES

KEYWORDS = ("lighthouse", "windmill", "sailboat", "teapot", "watering can")
"""Two towers, two vessels with a spout, and white triangles that can pass for a mill's sails: no toy to tell apart."""

_NAMES: dict[str, tuple[str, ...]] = {
    "lighthouse": ("lighthouse", "Leuchtturm", "phare", "등대", "маяк", "灯台", "faro"),
    "windmill": ("windmill", "Windmühle", "moulin à vent", "풍차", "мельница", "風車", "molino"),
    "sailboat": ("sailboat", "Segelboot", "voilier", "돛단배", "парусник", "ヨット", "velero"),
    "teapot": ("teapot", "Teekanne", "théière", "찻주전자", "чайник", "急須", "tetera"),
    "watering can": ("watering can", "Gießkanne", "arrosoir", "물뿌리개", "лейка", "じょうろ", "regadera"),
}
_TITLES = (
    "{name}",
    "The {name}",
    "{name} no. {n}",
    "My {name} & me",
    'A "{name}" in the evening',
    "{name} <3",
    "IMG_{n} – {name}",
    "{name}, détail",
    "Study of a {name} ({n})",
    "That {name} I can't forget",
)
_FIRST = ("Ana", "Björn", "Chidi", "Dóra", "Emil", "Fatima", "Goran", "Hye-jin", "Ines", "Jun", "Kofi", "Lena")
_LAST = ("O'Neill", "Sørensen", "Kowalska", "김", "Петрова", "García & Sons", "田中", "Haddad", "Okafor", "Nagy")


@dataclass(frozen=True)
class Creator:
    """A creator of several pictures, always under one licence."""

    name: str
    url: str
    license: str


def creators_of(keyword: str, number: int, rng: np.random.Generator) -> list[Creator]:
    """Return ``number`` creators who have pictures of this keyword only."""
    # Each keyword owns every fifth combination of names, so that no two keywords share a creator.
    combinations = [f"{first} {last}" for first in _FIRST for last in _LAST]
    own = combinations[KEYWORDS.index(keyword) :: len(KEYWORDS)]
    chosen = rng.permutation(len(own))[:number]
    codes = list(LICENCES)
    return [
        Creator(own[i], "https://example.org/people/" + quote(own[i]), codes[int(rng.integers(len(codes)))])
        for i in chosen
    ]


def title_of(keyword: str, rng: np.random.Generator) -> str:
    """Return a title as people write them: any language, HTML's special characters, numbers."""
    names = _NAMES[keyword]
    # Half of the titles are in the keyword's own words.
    name = names[0] if rng.random() < 0.5 else names[int(rng.integers(len(names)))]
    template = _TITLES[int(rng.integers(len(_TITLES)))]
    return template.format(name=name, n=int(rng.integers(1, 10000)))
