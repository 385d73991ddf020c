"""The site's pictures, in the order in which each keyword finds them, and the source of their bytes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

KINDS = (
    "honest",
    "exact_copy",
    "resized",
    "recompressed",
    "mirrored",
    "two_keywords",
    "truncated",
    "html",
    "tiny",
    "blank",
    "off_topic",
    "missing",
)
"""Everything that a served picture can be. ``missing`` is listed by the search and answers 404."""

LICENCES: dict[str, tuple[str, str, str]] = {
    "by": ("4.0", "https://creativecommons.org/licenses/by/4.0/", "CC BY 4.0"),
    "by-sa": ("4.0", "https://creativecommons.org/licenses/by-sa/4.0/", "CC BY-SA 4.0"),
    "by-nc": ("2.0", "https://creativecommons.org/licenses/by-nc/2.0/", "CC BY-NC 2.0"),
    "cc0": ("1.0", "https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
    "pdm": ("1.0", "https://creativecommons.org/publicdomain/mark/1.0/", "Public Domain Mark 1.0"),
}
"""Openverse's code of a licence → (version, address, name)."""


@dataclass(frozen=True)
class Planted:
    """Ground truth of one served picture.

    Attributes:
        url_path: Its path on the site, such as ``/images/teapot-1b2c3d4e.jpg``; unique.
        keyword: The keyword that finds it.
        kind: One of KINDS.
        of: The ``url_path`` of the original, for copies; None otherwise.
    """

    url_path: str
    keyword: str
    kind: str
    of: str | None


@dataclass(frozen=True)
class SitePicture:
    """One served picture and its search metadata. Sizes are in pixels, None where unknown."""

    id: str
    name: str
    keyword: str
    title: str
    content_type: str
    kind: str = "honest"
    of: str | None = None  # the id of the original
    creator: str | None = None
    creator_url: str | None = None
    license: str | None = None
    license_version: str | None = None
    license_url: str | None = None
    landing_url: str | None = None  # None: this site's own page
    width: int | None = None
    height: int | None = None
    recorded: Mapping[str, object] | None = None  # a recorded answer, given back with our addresses in it

    @property
    def url_path(self) -> str:
        """The path of the picture's bytes."""
        return f"/images/{self.name}"


def same_keyword(text: str) -> str:
    """Normalise a keyword for comparison: NFC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


@dataclass
class Collection:
    """Pictures by keyword and by address.

    Attributes:
        openverse: keyword → pictures by rank, as the JSON search finds them.
        results: keyword → pictures by rank, as the html results page shows them.
        body: The bytes of a picture; None where the site answers 404.
    """

    openverse: Mapping[str, Sequence[SitePicture]]
    results: Mapping[str, Sequence[SitePicture]]
    body: Callable[[SitePicture], bytes | None]
    by_name: dict[str, SitePicture] = field(init=False, default_factory=dict)
    by_id: dict[str, SitePicture] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for listing in (self.openverse, self.results):
            for pictures in listing.values():
                for picture in pictures:
                    self.by_name.setdefault(picture.name, picture)
                    self.by_id.setdefault(picture.id, picture)

    @property
    def keywords(self) -> tuple[str, ...]:
        """The keywords that find something, in the collection's order."""
        return tuple(k for k in self.openverse if self.openverse[k] or self.results.get(k))

    def find(self, listing: Mapping[str, Sequence[SitePicture]], query: str) -> Sequence[SitePicture]:
        """Return the pictures of ``listing`` for a query as typed; empty for an unknown one."""
        wanted = same_keyword(query)
        return next((found for keyword, found in listing.items() if same_keyword(keyword) == wanted), ())

    def truth(self) -> list[Planted]:
        """List the ground truth of every picture, in the order of keyword, then rank."""
        paths = {picture.id: picture.url_path for picture in self.by_id.values()}
        return [Planted(p.url_path, p.keyword, p.kind, paths[p.of] if p.of else None) for p in self.by_id.values()]
