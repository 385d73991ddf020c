"""Downloads beside each other: each host is asked by one session at a time, and the outcomes are the same."""

import dataclasses
import itertools
import pickle
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import download
from collectors.fetch_shard import WantedUrl
from collectors.http.hosts import rate_limit
from collectors.http.hosts.circuit_breaker import HostFailures
from collectors.http.hosts.lane import LaneState
from collectors.http.hosts.rate_limit import RateLimiter
from collectors.http.urls import site_of
from collectors.lanes import KnownHosts
from tests.support.hosts import Hosts
from workspace.catalog.records import Download
from workspace.config.model import WorkspaceConfig
from workspace.errors import ShardLost
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

PAUSE_S = 0.1


def settings(**network: object) -> WorkspaceConfig:
    quick = {
        "allow_private_addresses": True,
        "per_host_pause_s": PAUSE_S,
        "attempts": 1,
        "reservations": False,
        "contact": "a@b.example",
    }
    limits = {"connections": 8, "per_host_connections": network.pop("per_host_connections", 2)}
    return WorkspaceConfig.model_validate(
        {"classes": {"a": "a", "b": "b"}, "network": quick | network, "download": limits}
    )


def rows(workspace: Workspace) -> list[Download]:
    with workspace.open_catalog() as catalog:
        return [dataclasses.replace(row, fetched_at="") for row in catalog.all(Download)]


class Grants:
    """When requests to each host were allowed, by its name: a busy machine sends and notes them later."""

    def __init__(self) -> None:
        self.at: list[tuple[str, float]] = []

    def keep_pause(self, hosts: Hosts, host: int, pause_s: float) -> bool:
        """Whether every request to a host was allowed, and each so long after the one before."""
        allowed = sorted(at for name, at in self.at if name == f"127.0.0.{host + 1}")
        gaps = [later - earlier for earlier, later in itertools.pairwise(allowed)]
        return len(allowed) == sum(one.host == host for one in hosts.asked) and min(gaps) > pause_s - 1e-6


@pytest.fixture
def grants(monkeypatch) -> Grants:
    """Notes what the limiters of all sessions of this process allow."""
    made, latest, wait = Grants(), threading.local(), RateLimiter._wait

    def monotonic() -> float:
        latest.now = time.monotonic()
        return latest.now

    def noted(limiter: RateLimiter, host: str) -> None:
        wait(limiter, host)
        made.at.append((host, latest.now))  # the look at the clock that let it pass

    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(RateLimiter, "_wait", noted)
    return made


@pytest.fixture
def alike(tmp_path, over_threads, grants) -> Callable[..., Download]:
    """Download here and over two workers, with equal rows and files; returns the rows and the spread."""

    def run(urls: list[str], config: WorkspaceConfig, shard: int = 6, between: Callable[[], object] = lambda: None):
        here, spread = Workspace(tmp_path / "here"), over_threads(places=2, shard=shard)
        download.run(here, config, urls=urls)
        between()
        grants.at.clear()
        there = Workspace(tmp_path / "there")
        download.run(there, config, urls=urls, spread=spread)
        assert rows(there) == rows(here)
        stored = [row.sha256 for row in rows(there) if row.status == "ok"]
        assert all(ImageStore(there).exists(sha) for sha in stored)
        return rows(there), spread

    return run


def test_pauses_and_connections_of_each_host_are_kept_over_two_workers(alike, grants) -> None:
    with Hosts(4, robots={3: "User-agent: *\nCrawl-delay: 0.2\n"}, answer_s=0.05) as hosts:
        urls = [hosts.url(number % 4, f"{number}.png") for number in range(32)]
        found, spread = alike(urls, settings(), between=hosts.asked.clear)
        assert {row.status for row in found} == {"ok"} and len(found) == 32
        assert max(spread.engine.submitted.values()) == 1
        assert len(spread.engine.submitted) == 12, "each host's 8 urls, 3 a shard"
        for host in range(4):
            assert grants.keep_pause(hosts, host, 0.2 if host == 3 else PAUSE_S), host
            assert hosts.most_at_once(host) <= 2
        began = [min(one.began for one in hosts.asked if one.host == host) for host in range(4)]
        ended = [max(one.ended for one in hosts.asked if one.host == host) for host in range(4)]
        assert any(began[a] < began[b] < ended[a] for a in range(4) for b in range(4) if a != b), "side by side"


def test_a_redirect_to_another_lane_is_taken_up_there_and_asked_once(alike, grants) -> None:
    with Hosts(4) as hosts:
        urls = [hosts.url(number % 3, f"to/3/{number}.png") for number in range(9)]
        urls += [hosts.url(number % 3, f"to/1/to/2/{100 + number}.png") for number in range(3)]
        urls += [hosts.url(3, f"{number}.png") for number in range(200, 206)]
        found, _ = alike(urls, settings(), between=hosts.asked.clear)
        assert {row.status for row in found} == {"ok"} and len(found) == 18
        assert {row.final_url for row in found if row.image_url.endswith("to/3/4.png")} == {hosts.url(3, "4.png")}
        for host in range(4):
            assert grants.keep_pause(hosts, host, PAUSE_S), host
            assert hosts.most_at_once(host) <= 2
        assert [hosts.times_asked(number % 3, f"/to/3/{number}.png") for number in range(9)] == [1] * 9
        assert [hosts.times_asked(3, f"/{number}.png") for number in range(9)] == [1] * 9


def test_redirects_without_end_over_two_lanes_end_as_on_one_machine(alike) -> None:
    with Hosts(2) as hosts:
        around = "to/1/to/0/" * 3 + "1.png"
        found, _ = alike([hosts.url(0, around), hosts.url(1, "2.png")], settings(max_redirects=3), shard=2)
        assert sorted(row.reason for row in found) == ["", "too_many_redirects"]


def test_where_robots_txt_is_on_another_host_the_two_share_a_lane(alike, grants) -> None:
    with Hosts(2, robots={0: 1, 1: "User-agent: *\nDisallow: /4.png\n"}) as hosts:
        urls = [hosts.url(number % 2, f"{number}.png") for number in range(8)]
        found, _ = alike(urls, settings(), shard=8, between=hosts.asked.clear)
        assert sorted(row.reason for row in found) == [""] * 7 + ["robots"]
        assert grants.keep_pause(hosts, 0, PAUSE_S) and grants.keep_pause(hosts, 1, PAUSE_S)
        assert hosts.times_asked(0, "/robots.txt") == 2, "once in its own lane, once in the shared one"


def test_a_host_that_was_given_up_stays_so_in_its_lanes_next_shard(tmp_path, over_threads) -> None:
    workspace = Workspace(tmp_path)
    with Hosts(2, broken=(1,)) as hosts:
        urls = [hosts.url(1, f"{number}.png") for number in range(12)] + [hosts.url(0, "99.png")]
        config = settings(give_up_after=2, robots=False, per_host_connections=1)
        download.run(workspace, config, urls=urls, spread=over_threads(places=2, shard=6))
        assert sum(one.host == 1 for one in hosts.asked) <= 3
        given_up = [row for row in rows(workspace) if row.reason == "host_given_up"]
        assert len(given_up) >= 9 and {row.attempts for row in given_up} == {0}


@pytest.mark.parametrize("robots", [True, False])
def test_a_host_that_recovers_is_asked_again_by_the_later_shards_of_its_lane(
    robots: bool, tmp_path, over_threads, monkeypatch
) -> None:
    workspace, give_up_s, ended, keep = Workspace(tmp_path), 0.1, [], KnownHosts.keep
    with Hosts(1, broken=(0,)) as hosts:

        def keep_and_wait(known: KnownHosts, *state: object) -> None:
            """As while the shards of other lanes are fetched."""
            keep(known, *state)
            ended.append(state)
            time.sleep(1.2 * give_up_s)
            if len(ended) == 4:  # by now it was given up
                hosts.broken = ()

        monkeypatch.setattr(KnownHosts, "keep", keep_and_wait)
        urls = [hosts.url(0, f"{number}.png") for number in range(8)]
        config = settings(give_up_after=2, give_up_s=give_up_s, robots=robots, per_host_pause_s=0)
        download.run(workspace, config, urls=urls, spread=over_threads(places=1, shard=2))
        assert len(ended) == 8, "one url a shard"
        found = {row.image_url: row.reason for row in rows(workspace)}
        failed = "robots_unreachable" if robots else "http_503"
        assert [found[url] for url in urls] == [failed] * 4 + [""] * 4


def test_a_host_rests_before_a_lost_workers_urls_are_asked_again(tmp_path, over_threads, grants) -> None:
    lost = over_threads(places=2, shard=8, lose=lambda _shard, tries: tries == 1)
    with Hosts(2) as hosts:
        urls = [hosts.url(number % 2, f"{number}.png") for number in range(16)]
        download.run(Workspace(tmp_path), settings(), urls=urls, spread=lost)
        assert [row.status for row in rows(Workspace(tmp_path))] == ["ok"] * 16
        assert set(lost.engine.submitted.values()) == {2}
        assert grants.keep_pause(hosts, 0, PAUSE_S) and grants.keep_pause(hosts, 1, PAUSE_S)


def test_what_ends_every_worker_is_named_the_rest_is_stored_and_the_next_run_goes_on(tmp_path, over_threads) -> None:
    workspace = Workspace(tmp_path)
    with Hosts(2) as hosts:
        urls = [hosts.url(number % 2, f"{number}.png") for number in range(16)]
        spread = over_threads(places=2, shard=8, lose=lambda shard, _tries: "/0.png" in str(shard))
        with pytest.raises(ShardLost, match=r"download: 3 worker processes ended over 4 addresses from .*/0\.png on"):
            download.run(workspace, settings(), urls=urls, spread=spread)
        assert len(rows(workspace)) == 12
        missing = sorted(set(urls) - {row.image_url for row in rows(workspace)})
        download.run(workspace, settings(), urls=missing, spread=over_threads())
        assert [row.status for row in rows(workspace)] == ["ok"] * 16


def test_no_key_travels_with_a_shard(tmp_path, over_threads, monkeypatch) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", "secret-of-the-environment")
    config = settings()
    search = config.search.model_validate({"credentials": {"FLICKR_API_KEY": "secret-of-the-settings"}})
    spread = over_threads()
    with Hosts(1) as hosts:
        download.run(
            Workspace(tmp_path),
            config.model_copy(update={"search": search}),
            urls=[hosts.url(0, "1.png")],
            spread=spread,
        )
    sent = b"".join(spread.engine.sent)
    assert b"1.png" in sent and b"secret-of-the" not in sent and b"sqlite" not in sent


SITES = st.integers(0, 12).map(lambda number: f"http://host{number}.example/")


@given(st.lists(SITES, max_size=60), st.integers(1, 20))
def test_a_host_is_in_one_lane_and_no_url_is_lost(sites, size) -> None:
    urls = [WantedUrl(f"{site}{number}.jpg", f"{site}{number}.jpg") for number, site in enumerate(sites)]
    lanes = KnownHosts().lanes(urls, size)
    assert sorted(url for lane in lanes for url in lane.urls) == sorted(urls)
    owners = [site for lane in lanes for site in lane.sites]
    assert len(owners) == len(set(owners))
    for lane in lanes:
        assert {site_of(wanted.at) for wanted in lane.urls} <= lane.sites
    assert all(len(lane.urls) >= size for lane in lanes[:-1])


def test_what_one_session_knows_of_its_hosts_the_next_one_is_told() -> None:
    hosts = KnownHosts()
    known = {"a.example:80": HostFailures(3, "http_500", 1000.0), "a.example:443": HostFailures(1, "timeout", None)}
    hosts.keep({"a.example", "b.example"}, LaneState({"www.a.example": 500.0, "b.example": 0.01}, known))
    time.sleep(0.02)
    state = hosts.state({"a.example", "b.example", "c.example"})
    assert state.rests_s.keys() == {"www.a.example"} and 400 < state.rests_s["www.a.example"] < 500
    assert state.failures["a.example:443"] == known["a.example:443"]
    assert 900 < (state.failures["a.example:80"].trial_in_s or 0) < 1000
    assert hosts.state({"b.example"}) == LaneState()
    hosts.keep({"a.example"}, pickle.loads(pickle.dumps(LaneState())))
    assert hosts.state({"a.example"}) == LaneState()


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://live.staticflickr.com/1.jpg", "staticflickr.com"),
        ("http://a.b.zoo.co.uk/", "zoo.co.uk"),
        ("http://zoo.de/", "zoo.de"),
        ("http://www.zoo.de./", "zoo.de"),
        ("http://10.0.0.7:8080/", "10.0.0.7"),
        ("http://[::1]:80/x", "::1"),
        ("http://localhost/", "localhost"),
        ("no url", ""),
        ("http://[broken/", ""),
    ],
)
def test_a_site_is_what_one_owner_has(url, site) -> None:
    assert site_of(url) == site


def test_sites_that_must_share_a_lane_do_so_along_a_chain() -> None:
    hosts = KnownHosts()
    hosts.put_together([("a.example", "b.example"), ("c.example", "d.example"), ("b.example", "c.example")])
    lanes = hosts.lanes([WantedUrl(f"http://{site}.example/", f"http://{site}.example/") for site in "axd"], 1)
    assert sorted(sorted(lane.sites) for lane in lanes) == [
        ["a.example", "b.example", "c.example", "d.example"],
        ["x.example"],
    ]
