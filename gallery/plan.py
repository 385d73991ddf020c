"""The plan of the rendered site: its pictures, their kinds, and the rank at which each keyword finds them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gallery.collection import LICENCES, Collection, SitePicture
from gallery.drawing.encode import ENCODINGS, encoding_deck
from gallery.drawing.render import Spec, body_of
from gallery.wording import KEYWORDS, Creator, creators_of, title_of

FAULTS_PER_60 = {
    "exact_copy": 3,
    "resized": 3,
    "recompressed": 3,
    "mirrored": 3,
    "truncated": 2,
    "html": 1,
    "tiny": 2,
    "blank": 2,
    "off_topic": 2,
    "missing": 2,
}
TWINS_PER_60 = 2  # pictures of another keyword that this one finds as well
COPIES = ("exact_copy", "resized", "recompressed", "mirrored")
OPENVERSE_SHARE = 2 / 3
FOUND_BY_BOTH = 5  # addresses that Openverse and the results page both list

# (rank of the original, rank of the twin), as fractions of a listing: the first is clearly at home in its own keyword,
# the second clearly in the other, the third in neither.
TWIN_RANKS = ((0.04, 0.85), (0.85, 0.04), (0.40, 0.40))


@dataclass(frozen=True)
class Entry:
    """A planned picture: its search metadata, and how it is made."""

    picture: SitePicture
    spec: Spec


def share(per_60: int, per_class: int) -> int:
    """Scale a number given for 60 honest pictures per keyword to ``per_class``; at least 1."""
    return max(1, round(per_60 * per_class / 60))


def rendered_collection(*, per_class: int, seed: int) -> Collection:
    """Plan the whole rendered site; pictures are drawn when asked for.

    Raises:
        ValueError: ``per_class`` is below 6, too few for a copy of each kind to have an original of its own.
    """
    if per_class < 6:
        raise ValueError(f"per_class is {per_class}; the gallery needs at least 6 honest pictures of each thing")
    planners = {keyword: _Planner(keyword, seed, per_class) for keyword in KEYWORDS}
    own = {keyword: planner.own_entries() for keyword, planner in planners.items()}
    pinned: dict[str, list[tuple[float, Entry]]] = {keyword: [] for keyword in KEYWORDS}
    count = 0
    for position, keyword in enumerate(KEYWORDS):
        for nth in range(share(TWINS_PER_60, per_class)):
            home = KEYWORDS[(position + 1 + nth % (len(KEYWORDS) - 1)) % len(KEYWORDS)]
            original = planners[home].take_original(own[home])
            home_rank, twin_rank = TWIN_RANKS[count % len(TWIN_RANKS)]
            own[home].remove(original)
            pinned[home].append((home_rank, original))
            pinned[keyword].append((twin_rank, planners[keyword].twin(original, recompressed=count % 2 == 1)))
            count += 1
    listings = {k: planners[k].rank(own[k], pinned[k]) for k in KEYWORDS}
    specs = {e.picture.id: e.spec for both in listings.values() for listing in both for e in listing}
    return Collection(
        openverse={k: tuple(e.picture for e in both[0]) for k, both in listings.items()},
        results={k: tuple(e.picture for e in both[1]) for k, both in listings.items()},
        body=partial(_body, specs),
    )


def _body(specs: dict[str, Spec], picture: SitePicture) -> bytes | None:
    return body_of(specs[picture.id])


class _Planner:
    """Plans one keyword, drawing every choice from one generator in a fixed order."""

    def __init__(self, keyword: str, seed: int, per_class: int) -> None:
        self.keyword = keyword
        self.seed = seed
        self.per_class = per_class
        self.rng = np.random.default_rng([seed, KEYWORDS.index(keyword), 1])
        self.creators = creators_of(keyword, int(self.rng.integers(12, 21)), self.rng)
        self.deck = encoding_deck(self.rng)
        self.number = 0
        self.unused: list[Entry] = []  # honest pictures that nothing has copied yet

    def own_entries(self) -> list[Entry]:
        """Plan the honest pictures, their copies and the broken ones, in no order yet."""
        honest = [self._entry("honest", self.deck[n % len(self.deck)]) for n in range(self.per_class)]
        self.unused = [honest[i] for i in self.rng.permutation(len(honest))]
        entries = list(honest)
        for kind, per_60 in FAULTS_PER_60.items():
            for _ in range(share(per_60, self.per_class)):
                if kind in COPIES:
                    entries.append(self._copy(kind, self.unused.pop()))
                else:
                    encoding = {"tiny": "png", "off_topic": "jpeg"}.get(kind, "jpeg")
                    entries.append(self._entry(kind, encoding))
        return entries

    def take_original(self, entries: Sequence[Entry]) -> Entry:
        """Take an honest picture for another keyword to find too; preferably one without a copy."""
        if self.unused:
            return self.unused.pop()
        honest = [e for e in entries if e.spec.kind == "honest"]
        return honest[int(self.rng.integers(len(honest)))]

    def twin(self, original: Entry, *, recompressed: bool) -> Entry:
        """Plan another keyword's picture under this one: the same bytes, or recompressed."""
        return self._copy("two_keywords", original, quality=45 if recompressed else None)

    def rank(self, entries: Sequence[Entry], pinned: Sequence[tuple[float, Entry]]) -> tuple[list[Entry], list[Entry]]:
        """Order the pictures for Openverse and for the results page."""
        floating = [entries[i] for i in self.rng.permutation(len(entries))]
        total = len(floating) + len(pinned)
        cut = round(total * OPENVERSE_SHARE) - len(pinned)
        openverse, results = floating[:cut], floating[cut:]
        both = [openverse[i] for i in sorted(self.rng.permutation(cut)[: min(FOUND_BY_BOTH, cut)])]
        for entry in both:
            results.insert(int(self.rng.integers(len(results) + 1)), entry)
        # Twins and their originals are all Openverse's: ranks compare only within one source.
        for fraction, entry in sorted(pinned, key=lambda item: (item[0], item[1].picture.id)):
            openverse.insert(round(fraction * (cut + len(pinned))), entry)
        return openverse, results

    def _copy(self, kind: str, original: Entry, quality: int | None = None) -> Entry:
        width, height = original.spec.size
        strength, encoding, name = 1.0, original.spec.encoding, kind
        if kind == "resized":
            strength = float(self.rng.uniform(0.4, 0.7))
            width, height = round(width * strength), round(height * strength)
            encoding = str(self.rng.choice(["jpeg", "jpeg", "webp"]))
        elif kind == "recompressed":
            strength, encoding = float(self.rng.integers(30, 51)), "jpeg"
        elif kind == "mirrored":
            encoding = str(self.rng.choice(["jpeg", "jpeg", "png"]))
        elif quality is not None:
            strength, encoding, name = float(quality), "jpeg", "recompressed"
        elif kind == "two_keywords":
            name = "exact_copy"
        entry = self._entry(kind, encoding, size=(width, height))
        spec = replace(entry.spec, kind=name, original=original.spec, strength=strength)
        return Entry(replace(entry.picture, of=original.picture.id), spec)

    def _entry(self, kind: str, encoding: str, size: tuple[int, int] | None = None) -> Entry:
        rng, number = self.rng, self.number
        self.number += 1
        size = size or _size(kind, encoding, rng)
        extension, content_type = ENCODINGS[encoding]
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"gallery/{self.seed}/{self.keyword}/{number}"))
        creator: Creator = self.creators[int(rng.integers(len(self.creators)))]
        licence = creator.license
        picture = SitePicture(
            id=identity,
            name=f"{self.keyword.replace(' ', '-')}-{identity[:8]}.{extension}",
            keyword=self.keyword,
            title=title_of(self.keyword, rng),
            content_type=content_type,
            kind=kind,
            creator=creator.name,
            creator_url=creator.url,
            license=licence,
            license_version=LICENCES[licence][0],
            license_url=LICENCES[licence][1],
            width=size[0],
            height=size[1],
        )
        return Entry(picture, Spec(self.seed, self.keyword, number, kind, encoding, size))


def _size(kind: str, encoding: str, rng: np.random.Generator) -> tuple[int, int]:
    """Draw width and height in pixels, between 240 and 1100 but for icons."""
    if kind == "tiny":
        side = int(rng.choice([16, 20, 24, 32]))
        return side, side
    aspect = float(rng.choice([4 / 3, 3 / 2, 16 / 9, 1.0, 3 / 4, 2 / 3, rng.uniform(0.6, 1.9)]))
    # Formats that are slow to write stay small, so that no picture takes long.
    longest = 760 if encoding.startswith(("png", "gif", "bmp", "tiff")) else 1100
    area = rng.uniform(0.15, 1.0) * (longest * 0.85) ** 2
    width, height = (area * aspect) ** 0.5, (area / aspect) ** 0.5
    scale = min(1.0, longest / max(width, height))
    return max(240, round(width * scale)), max(240, round(height * scale))
