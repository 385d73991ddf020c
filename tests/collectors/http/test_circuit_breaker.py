import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from collectors import download, search
from collectors.http.hosts import circuit_breaker
from collectors.http.hosts.circuit_breaker import CircuitBreaker, HostFailures
from collectors.http.hosts.lane import LaneOfHosts, LaneState
from collectors.http.session import PoliteSession
from collectors.http.transfer import AttemptFailed
from workspace.catalog.records import Download, Hit
from workspace.config.collect import NetworkConfig


def admitted(breaker: CircuitBreaker, host: str = "a") -> bool:
    try:
        breaker.admit(host)
    except AttemptFailed as failure:
        assert (failure.reason, failure.status, failure.retryable) == ("host_given_up", "failed", False)
        return False
    return True


def bad(breaker: CircuitBreaker, times: int, host: str = "a") -> None:
    for _ in range(times):
        breaker.record_failure(host, "timeout", time.monotonic())


def test_a_host_is_given_up_after_so_many_failures_in_a_row_and_no_other_with_it() -> None:
    breaker = CircuitBreaker(limit=3, pause_s=60)
    bad(breaker, 2)
    assert admitted(breaker)
    breaker.record_success("a")
    bad(breaker, 2)
    assert admitted(breaker)
    bad(breaker, 1)
    assert not admitted(breaker)
    assert admitted(breaker, "b")


def test_one_url_tries_a_given_up_host_after_a_pause_and_its_answer_opens_it(monkeypatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(circuit_breaker, "time", SimpleNamespace(monotonic=lambda: now[0]))
    breaker = CircuitBreaker(limit=1, pause_s=50)
    breaker.record_failure("a", "timeout", now[0])
    now[0] += 49
    assert not admitted(breaker)
    now[0] += 1
    assert breaker.admit("a") is True  # the trial
    assert not admitted(breaker)
    breaker.record_failure("a", "timeout", now[0])
    now[0] += 49
    assert not admitted(breaker)
    now[0] += 1
    assert breaker.admit("a") is True
    breaker.record_success("a")
    assert breaker.admit("a") is False
    assert admitted(breaker)


def test_a_failure_that_began_before_the_latest_answer_says_nothing() -> None:
    breaker = CircuitBreaker(limit=2, pause_s=60)
    began = time.monotonic()
    breaker.record_success("a")
    for _ in range(10):  # transfers that hung while others were answered
        breaker.record_failure("a", "timeout", began)
    assert admitted(breaker)


def test_threads_that_mix_good_and_bad_give_nothing_up_and_lose_no_count() -> None:
    breaker = CircuitBreaker(limit=2000, pause_s=60)

    def work() -> None:
        for _ in range(200):
            bad(breaker, 1, "dead")
            bad(breaker, 1, "alive")
            breaker.record_success("alive")

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not admitted(breaker, "dead")  # 10 × 200 failures, none of them lost
    assert admitted(breaker, "alive")


@pytest.fixture
def prepared(site, workspace, configure):
    """Settings, and the paths of the pictures that were found."""
    quick = {"attempts": 1, "give_up_after": 3, "give_up_s": 300}
    config = configure(site, network=quick, download={"connections": 1})
    search.run(workspace, config)
    with workspace.open_catalog() as catalog:
        return config, sorted({hit.image_url.removeprefix(site.base_url) for hit in catalog.all(Hit)})


def test_the_urls_of_a_given_up_host_are_rows_that_were_not_tried_and_the_summary_says_so(
    site, workspace, prepared
) -> None:
    config, _ = prepared
    site.misbehave("/images/", "503", times=1000)
    counts = download.run(workspace, config)
    assert dict(counts.by_reason) == {"ok": 0, "failed: host_given_up": 9, "failed: http_503": 3}
    assert site.requests["image"] == 3
    assert counts.notes == (
        "127.0.0.1 kept failing and was given up: 9 of its urls were not tried; `collect-and-train retry` tries them "
        "again",
    )
    with workspace.open_catalog() as catalog:
        skipped = [row for row in catalog.all(Download) if row.reason == "host_given_up"]
    assert {row.attempts for row in skipped} == {0}
    assert "3 times in a row, last with http_503" in skipped[0].detail


def test_they_are_tried_again_by_a_later_run_once_the_host_was_left_alone(site, workspace, prepared) -> None:
    config, _ = prepared
    site.misbehave("/images/", "503", times=3)
    assert download.run(workspace, config).by_reason["failed: host_given_up"] == 9
    assert download.run(workspace, config).done == 0  # too soon
    with workspace.open_catalog() as catalog:
        earlier = (datetime.now(UTC) - timedelta(seconds=301)).isoformat(timespec="seconds")
        old = [Download(row.image_url, row.status, row.reason, fetched_at=earlier) for row in catalog.all(Download)]
        catalog.put([row for row in old if row.reason == "host_given_up"])
    counts = download.run(workspace, config)
    assert (counts.done, dict(counts.by_reason)) == (9, {"ok": 9, "failed: http_503": 3})
    assert counts.notes == ()


def test_bad_files_among_good_ones_do_not_cost_the_host(site, workspace, prepared) -> None:
    config, paths = prepared
    config = config.model_copy(update={"download": config.download.model_copy(update={"connections": 8})})
    for path in paths[::2]:
        site.misbehave(path, "404")
    for path in paths[1:4:2]:
        site.misbehave(path, "500")
    counts = download.run(workspace, config)
    assert dict(counts.by_reason) == {"ok": 4, "failed: http_404": 6, "failed: http_500": 2}


@pytest.mark.parametrize("robots", [True, False], ids=["robots", "reservations alone"])
def test_the_trial_of_a_host_reads_the_files_of_its_site_first(robots: bool, host) -> None:
    known = {urlsplit(host.url).netloc: HostFailures(2, "http_503", 0.0)}
    network = NetworkConfig.model_validate(
        {"private_hosts": ["127.0.0.1"], "per_host_pause_s": 0, "attempts": 1, "give_up_s": 60, "robots": robots}
    )
    with PoliteSession(network, lane=LaneOfHosts(state=LaneState(failures=known))) as session:
        assert host.outcome(session, f"{host.url}/1.jpg") == ("ok", "")
        assert host.outcome(session, f"{host.url}/2.jpg") == ("ok", "")
        assert session.lane_state().failures == {}
    assert host.asked == ["/robots.txt", "/.well-known/tdmrep.json", "/1.jpg", "/2.jpg"]


def test_a_trial_whose_robots_txt_fails_ends_there_and_the_host_stays_given_up(host) -> None:
    host.pages["/robots.txt"] = 503
    known = {urlsplit(host.url).netloc: HostFailures(2, "http_503", 0.0)}
    network = NetworkConfig.model_validate(
        {"private_hosts": ["127.0.0.1"], "per_host_pause_s": 0, "attempts": 1, "give_up_after": 2, "give_up_s": 60}
    )
    with PoliteSession(network, lane=LaneOfHosts(state=LaneState(failures=known))) as session:
        assert host.outcome(session, f"{host.url}/1.jpg") == ("failed", "robots_unreachable")
        assert host.outcome(session, f"{host.url}/2.jpg") == ("failed", "host_given_up")
    assert host.asked == ["/robots.txt"]


def test_a_url_that_the_known_robots_txt_refuses_leaves_the_trial_to_the_next(host) -> None:
    host.pages |= {"/robots.txt": "User-agent: *\nDisallow: /private/", "/1.jpg": 503, "/2.jpg": 503}
    with host.session(give_up_after=2, give_up_s=1, reservations=False) as session:
        failed = [host.outcome(session, f"{host.url}/{name}.jpg")[1] for name in (1, 2, 3)]
        assert failed == ["http_503", "http_503", "host_given_up"]
        time.sleep(1.1)
        assert host.outcome(session, f"{host.url}/private/4.jpg") == ("refused", "robots")
        assert host.outcome(session, f"{host.url}/5.jpg") == ("ok", "")
    assert host.asked == ["/robots.txt", "/1.jpg", "/2.jpg", "/5.jpg"]


def test_a_trial_in_which_robots_txt_was_asked_for_is_used_up_whatever_it_answers(host) -> None:
    host.pages["/robots.txt"] = 429  # which is no failure of the host
    known = {urlsplit(host.url).netloc: HostFailures(2, "http_503", 0.0)}
    network = NetworkConfig.model_validate(
        {"private_hosts": ["127.0.0.1"], "per_host_pause_s": 0, "attempts": 1, "give_up_after": 2, "give_up_s": 60}
    )
    with PoliteSession(network, lane=LaneOfHosts(state=LaneState(failures=known))) as session:
        assert host.outcome(session, f"{host.url}/1.jpg") == ("failed", "robots_unreachable")
        assert host.outcome(session, f"{host.url}/2.jpg") == ("failed", "host_given_up")
    assert host.asked == ["/robots.txt"]


def test_a_trial_lets_its_own_thread_pass_and_no_other() -> None:
    breaker = CircuitBreaker(limit=1, pause_s=60, known={"a": HostFailures(1, "timeout", 0.0)})
    assert breaker.admit("a") is True
    assert not admitted(breaker)
    others: list[bool] = []
    with breaker.trial("a"):
        assert breaker.admit("a") is True
        bad(breaker, 1, "b")
        assert not admitted(breaker, "b")
        thread = threading.Thread(target=lambda: others.append(admitted(breaker)))
        thread.start()
        thread.join()
    assert others == [False]
    assert not admitted(breaker)
