"""A lane: the hosts that one session asks, where several processes download beside each other.

Pauses, connections, robots.txt and the circuit breaker of a host are kept by one session. So each host belongs to one
lane, one session at a time works on a lane, and a redirect to a host of another lane is not followed here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from collectors.http.hosts.circuit_breaker import HostFailures
from collectors.http.urls import site_of


@dataclass(frozen=True, slots=True)
class LaneState:
    """What the next session of a lane must know: seconds by host name, and failures by host and port."""

    rests_s: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, HostFailures] = field(default_factory=dict)


class RedirectedElsewhere(Exception):
    """A url goes on at a host of another lane.

    Attributes:
        url: where.
        redirects: how many were followed, this one included.
        attempt: in which it was met, from 1.
        of_site: whether it is not the url itself that goes on there but its site's robots.txt or tdmrep.json, without
            which none of the site's urls may be asked: the two hosts need one lane.
    """

    def __init__(self, url: str, redirects: int, attempt: int, of_site: bool = False) -> None:
        super().__init__(url)
        self.url, self.redirects, self.attempt, self.of_site = url, redirects, attempt, of_site


class LaneOfHosts:
    """The hosts of one lane, and what is known of them.

    Args:
        sites: their registered domains; None: every host.
        state: as the session before has left it.
    """

    def __init__(self, sites: Collection[str] | None = None, state: LaneState | None = None) -> None:
        self._sites = sites
        self.state = state or LaneState()
        self._elsewhere: dict[str, RedirectedElsewhere] = {}

    def has(self, url: str) -> bool:
        """Return whether the host of a url is asked here."""
        return self._sites is None or site_of(url) in ("", *self._sites)

    @contextmanager
    def of_site(self, url: str) -> Iterator[None]:
        """Mark a redirect of a site's own file, and remember it: its other urls need not ask again."""
        if url in self._elsewhere:
            raise self._elsewhere[url]
        try:
            yield
        except RedirectedElsewhere as redirected:
            self._elsewhere[url] = RedirectedElsewhere(
                redirected.url, redirected.redirects, redirected.attempt, of_site=True
            )
            raise self._elsewhere[url] from redirected
