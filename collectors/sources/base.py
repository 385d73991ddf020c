"""Define a source: it answers a keyword with pages of search hits, or fails with a reason."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from collectors.http.session import PoliteSession
from workspace.config.collect import SearchConfig
from workspace.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SearchHit:
    """An image as a source describes it; `width` and `height` in px or None, texts empty where unknown.

    `license` is a short lower-case name (`by`, `by-sa`, `cc0`, `pdm`), without version.
    """

    image_url: str
    page_url: str = ""
    title: str = ""
    creator: str = ""
    license: str = ""
    license_url: str = ""
    attribution: str = ""
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page of search hits, best first.

    `next_cursor` requests the page after it, None at the end; `notes` say in sentences what was passed over.
    """

    hits: tuple[SearchHit, ...]
    next_cursor: str | None
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """A service or a folder that is searched for images.

    Example:
        A source needs one method. This one knows a single image, and no second page:

        >>> class Zoo:
        ...     def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        ...         hit = SearchHit(f"https://zoo.example/{keyword}.jpg", license="by")
        ...         return ResultPage((hit,), next_cursor=None)
        >>> zoo: Source = Zoo()
        >>> from workspace.config.collect import NetworkConfig
        >>> with PoliteSession(NetworkConfig()) as session:
        ...     page = zoo.search(session, "raccoon", None)
        >>> [(hit.image_url, hit.license) for hit in page.hits], page.next_cursor
        ([('https://zoo.example/raccoon.jpg', 'by')], None)
    """

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request one page of hits.

        Args:
            session: sends every request.
            keyword: the search term, in any script.
            cursor: None for the first page, else `next_cursor` of the page before; never holds a key.

        Raises:
            SourceFailed: the request failed; holds the reason.
        """


@runtime_checkable
class Scoped(Protocol):
    """A source whose answers depend on more than its base URL: on settings, or on files."""

    def scope(self, keyword: str) -> object:
        """Return what the answers for a keyword depend on, as values of JSON: settings, and sizes and times of files.

        A search that is exhausted or half done begins anew when it has changed.
        """


@runtime_checkable
class Labelled(Protocol):
    """A source of a person's own pictures, which are labelled already."""

    def left_out(self, keywords: Iterable[str]) -> tuple[str, ...]:
        """Say what a search for all these keywords passes over, in sentences; none where it passes nothing over."""


def _default_probe(_search: SearchConfig) -> str:
    return "cat"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """The description of a source, and its factory.

    Attributes:
        name: its name in the settings and the catalogue; also the name of its module.
        factory: makes it from the settings.
        summary: one sentence.
        limits: page sizes, depth and rate limits in words, as the service's own documentation states them.
        licenses: whether it gives the licence of each image.
        keys: sets of environment variables; one whole set is needed, the first complete one is used.
        keys_optional: whether it works without a key, with narrower limits.
        settings: the keys of its table [search.NAME] that it requires.
        url: base URL of its API, which `url` of its table [search.NAME] overrides; empty when it has none.
        pause_s: minimum seconds between two requests to the host of `url`, where the service asks for it.
        image_urls: matches whole URLs of its image host; group 1 identifies the image, whatever its size.
        crawled: whether it reads pages, so that the network settings on robots.txt, opt-outs and reservations hold.
        opt_in: why it needs a conscious choice; empty when it does not.
        probe: a keyword that must have hits, given the settings.
    """

    name: str
    factory: Callable[[SearchConfig], Source]
    summary: str
    limits: str
    licenses: bool
    keys: tuple[tuple[str, ...], ...] = ()
    keys_optional: bool = False
    settings: tuple[str, ...] = ()
    url: str = ""
    pause_s: float = 0.0
    image_urls: re.Pattern[str] | None = None
    crawled: bool = False
    opt_in: str = ""
    probe: Callable[[SearchConfig], str] = _default_probe

    def base_url(self, search: SearchConfig) -> str:
        """Return the base URL: that of the settings, else the service's own."""
        return search.base_url(self.name, self.url)

    def find_keys(self, search: SearchConfig) -> dict[str, str]:
        """Find the first complete set of keys: their values by the name of their environment variable.

        Raises:
            ConfigError: no set is complete, although the source needs one, or a value cannot be a key.
        """
        for names in self.keys:
            if values := find_keys(search, names):
                return dict(zip(names, values, strict=True))
        if self.keys and not self.keys_optional:
            sets = ", or ".join(" and ".join(names) for names in self.keys)
            raise ConfigError(f"the source {self.name} needs a key: set {sets} in the environment")
        return {}


def find_keys(search: SearchConfig, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Read one set of keys from the environment, else from [search.credentials]; None when one is missing.

    Raises:
        ConfigError: a value cannot be a key; names the variable and never shows the value.
    """
    values = []
    for name in names:
        secret = search.credentials.get(name)
        value = (_environment(search, name) or (secret.get_secret_value() if secret else "")).strip()
        if not value:
            return None
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(f"the value of {name} cannot be a key: it has spaces, line breaks or special characters")
        values.append(value)
    return tuple(values)


def _environment(search: SearchConfig, name: str) -> str:
    return os.environ.get(name, "") if search.keys_from_environment else ""
