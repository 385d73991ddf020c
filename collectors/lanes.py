"""Divide urls into lanes, so that each host is asked by one session at a time, wherever that runs.

A lane has whole sites (registered domains): a large one alone, small ones together. Its shards run one after the other,
and what one knows of its hosts at its end (how long they rest, which of them fail) goes along with the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from collectors.fetch_shard import FetchBatch, FetchShard, Moved, WantedUrl, fetch_shard
from collectors.http.hosts.circuit_breaker import HostFailures
from collectors.http.hosts.lane import LaneState
from collectors.http.urls import site_of
from workspace.spread.shards import Spread, divide

URL_WEIGHT = 2.0
"""Half as many urls as pictures make a shard: a lost worker's hosts are asked again for what it had fetched."""


class Lane(NamedTuple):
    """The sites of a lane, and its urls in the order in which they were given."""

    sites: frozenset[str]
    urls: list[WantedUrl]


def fetch_in_lanes(
    urls: Iterable[str], shard: Callable[[Sequence[WantedUrl]], FetchShard], spread: Spread
) -> Iterator[FetchBatch]:
    """Fetch urls wherever shards are done; a redirect to a host of another lane is taken up in that lane.

    Args:
        urls: http and https.
        shard: makes a shard of urls that any site may be asked by.
        spread: where shards are done.

    Raises:
        WorkspaceError: bytes cannot be stored.
        ShardLost: urls ended every process that fetched them; the outcomes of all others were yielded.
    """
    size, hosts = spread.shard_size(URL_WEIGHT), KnownHosts()
    waiting = [WantedUrl(url, url) for url in urls]

    def shards_of(lane: Lane) -> Iterator[FetchShard]:
        for some in divide(lane.urls, size):
            yield replace(shard(some), sites=lane.sites, state=hosts.state(lane.sites))

    while waiting:
        moved: list[Moved] = []
        for batch in spread.run(fetch_shard, map(shards_of, hosts.lanes(waiting, size)), name="download"):
            if batch.state is not None:
                hosts.keep(batch.sites, batch.state)
            moved += batch.moved
            yield batch
        hosts.put_together(move.together for move in moved if move.together)
        waiting = [move.wanted for move in moved]


class KnownHosts:
    """What is known of all hosts: which sites share a lane, how long hosts rest, and which fail."""

    def __init__(self) -> None:
        self._together: dict[str, frozenset[str]] = {}
        self._rests: dict[str, dict[str, float]] = {}
        self._failures: dict[str, dict[str, HostFailures]] = {}
        self._noted: dict[str, float] = {}

    def lanes(self, urls: Iterable[WantedUrl], size: int) -> list[Lane]:
        """Make lanes of at least `size` urls each, where there are so many; the sites with most urls come first."""
        by_sites: dict[frozenset[str], list[WantedUrl]] = {}
        for wanted in urls:
            site = site_of(wanted.at)
            by_sites.setdefault(self._together.get(site, frozenset({site})), []).append(wanted)
        found: list[Lane] = []
        for sites, members in sorted(by_sites.items(), key=lambda entry: (-len(entry[1]), min(entry[0]))):
            if found and len(found[-1].urls) < size:
                found[-1] = Lane(found[-1].sites | sites, found[-1].urls + members)
            else:
                found.append(Lane(sites, members))
        return found

    def put_together(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Let the two sites of each pair share a lane from now on."""
        for one, other in pairs:
            both = self._together.get(one, frozenset({one})) | self._together.get(other, frozenset({other}))
            self._together |= dict.fromkeys(both, both)

    def keep(self, sites: Collection[str], state: LaneState) -> None:
        """Note how a session has left its sites."""
        now = time.monotonic()
        for site in sites:
            self._rests[site], self._failures[site], self._noted[site] = {}, {}, now
        for host, seconds in state.rests_s.items():
            self._rests.setdefault(_site(host), {})[host] = now + seconds
        for host, failures in state.failures.items():
            self._failures.setdefault(_site(host), {})[host] = failures

    def state(self, sites: Collection[str]) -> LaneState:
        """Return what the next session of these sites must know, as of now."""
        now = time.monotonic()
        rests = {host: until - now for site in sites for host, until in self._rests.get(site, {}).items()}
        failures = {}
        for site in sites:
            for host, known in self._failures.get(site, {}).items():
                trial_in_s = known.trial_in_s
                if trial_in_s is not None:
                    trial_in_s = max(0.0, trial_in_s - (now - self._noted[site]))
                failures[host] = replace(known, trial_in_s=trial_in_s)
        return LaneState({host: seconds for host, seconds in rests.items() if seconds > 0}, failures)


def _site(host: str) -> str:
    return site_of(f"http://{host}")
