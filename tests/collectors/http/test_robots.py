import threading
import time
from urllib.parse import urlsplit

import pytest

from collectors.sources.fetch import fetch_json
from collectors.sources.html.website import Website
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed


def test_what_is_disallowed_is_not_asked_for_and_the_rules_are_asked_once(host) -> None:
    host.pages["/robots.txt"] = "User-agent: *\nDisallow: /private/\nDisallow: /*.gif$\nAllow: /private/open.jpg\n"
    paths = ["/a.jpg", "/private/b.jpg", "/private/open.jpg", "/c.gif", "/c.gif?x=1"] * 4
    with host.session() as made:
        results: dict[int, tuple[str, str]] = {}
        threads = [
            threading.Thread(target=lambda n=n, p=path: results.update({n: host.outcome(made, host.url + p)}))
            for n, path in enumerate(paths)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    refused, ok = ("refused", "robots"), ("ok", "")
    assert [results[n] for n in range(5)] == [ok, refused, ok, refused, ok]
    assert host.asked.count("/robots.txt") == 1
    assert sorted(set(host.asked) - {"/.well-known/tdmrep.json"}) == [
        "/a.jpg",
        "/c.gif?x=1",
        "/private/open.jpg",
        "/robots.txt",
    ]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("User-agent: *\nDisallow: /\n", False),
        ("User-agent: *\nDisallow: /\nUser-agent: collect-and-train\nDisallow:\n", True),
        ("User-agent: collect-and-train\nDisallow: /\n", False),
        ("User-agent: Collect-And-Train/0.1\nDisallow: /\n", False),
        ("useragent *\n\n# everybody\ndisallow: /\n", False),
        ("User-agent: *\nSitemap: /s\nUser-agent: b\n\nSitemap: /s\nDisallow: /\n", False),
        ("User-agent: *\nAllow: /\nUser-agent: a\nDisallow: /\n", True),
        ("User-agent: *\nAllow: /\nUser-agent: a\nUser-agent: collect-and-train\nDisallow: /\n", False),
        ("".join(f"User-agent: x{n}\n" for n in range(15_000)) + "Disallow: /\n" * 5_000, True),  # and not for ever
        ("User-agent: googlebot\nDisallow: /\n", True),
        ("\ufeffUser-agent: *\r\nDisallow: /\r\n", False),
        ("<html>there is no such page</html>", True),
        ("\x00\x01\x02: \x7f\n" * 50, True),
        ("User-agent: *\nDisallow: /\n#" + "x" * 700_000, False),
        ("#" + "x" * 700_000 + "\nUser-agent: *\nDisallow: /\n", True),  # past what is read
    ],
)
def test_rules_are_read_as_rfc_9309_says(text: str, allowed: bool, host) -> None:
    host.pages["/robots.txt"] = text
    with host.session() as made:
        assert host.outcome(made, host.url + "/a.jpg") == (("ok", "") if allowed else ("refused", "robots"))


@pytest.mark.parametrize("status", [204, 401, 403, 404, 410])
def test_without_rules_everything_is_allowed(status: int, host) -> None:
    host.pages["/robots.txt"] = status
    with host.session() as made:
        assert host.outcome(made, host.url + "/a.jpg") == ("ok", "")


@pytest.mark.parametrize("answer", [500, 503, 429, "hang"])
def test_rules_that_cannot_be_read_allow_nothing_for_now(answer: int | str, host) -> None:
    host.pages["/robots.txt"] = answer
    with host.session(read_timeout_s=0.3 if answer == "hang" else 8) as made:
        outcomes = {host.outcome(made, f"{host.url}/{n}.jpg") for n in range(3)}
    assert outcomes == {("failed", "robots_unreachable")}
    assert host.asked == ["/robots.txt"]
    host.pages["/robots.txt"] = 404
    with host.session() as made:
        assert host.outcome(made, host.url + "/a.jpg") == ("ok", "")


def test_rules_are_asked_for_again_after_a_while(host) -> None:
    host.pages["/robots.txt"] = 503
    with host.session(give_up_s=0.1) as made:
        assert host.outcome(made, host.url + "/a.jpg") == ("failed", "robots_unreachable")
        host.pages["/robots.txt"] = 404
        time.sleep(0.12)
        assert host.outcome(made, host.url + "/a.jpg") == ("ok", "")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/rules.txt", ("refused", "robots")),
        ("http://127.0.0.1:{port}/rules.txt", ("refused", "robots")),
        ("/robots.txt", ("ok", "")),  # in circles: as if there were none
        ("http://10.0.0.1/robots.txt", ("failed", "robots_unreachable")),
        ("file:///etc/passwd", ("failed", "robots_unreachable")),
    ],
)
def test_the_rules_own_redirects_are_guarded_too(location: str, expected: tuple[str, str], host) -> None:
    host.pages["/robots.txt"] = (301, {"Location": location.replace("{port}", str(urlsplit(host.url).port))}, "")
    host.pages["/rules.txt"] = "User-agent: *\nDisallow: /\n"
    with host.session() as made:
        assert host.outcome(made, host.url + "/a.jpg") == expected


def test_every_hop_is_asked_about(host) -> None:
    host.pages["/robots.txt"] = "User-agent: *\nDisallow: /hidden/\n"
    host.pages["/a.jpg"] = (302, {"Location": "/hidden/a.jpg"}, "")
    with host.session() as made:
        assert host.outcome(made, host.url + "/a.jpg") == ("refused", "robots")
    assert "/hidden/a.jpg" not in host.asked


def test_an_api_is_asked_by_its_own_terms_and_the_rule_can_be_switched_off(host) -> None:
    host.pages["/robots.txt"] = "User-agent: *\nDisallow: /\n"
    host.pages["/api"] = "[1]"
    with host.session() as made:
        assert fetch_json(made, host.url + "/api") == [1]
    with host.session(robots=False, reservations=False) as made:
        assert host.outcome(made, host.url + "/a.jpg") == ("ok", "")
    assert "/robots.txt" not in host.asked


def test_a_crawl_delay_is_kept_to_within_reason(host) -> None:
    host.pages["/robots.txt"] = "User-agent: *\nCrawl-delay: 0.2\n"
    with host.session() as made:
        began = time.monotonic()
        assert [host.outcome(made, f"{host.url}/{n}.jpg")[0] for n in range(3)] == ["ok"] * 3
        assert time.monotonic() - began >= 0.6  # after robots.txt too
    host.pages["/robots.txt"] = "User-agent: *\nCrawl-delay: 3600\n"
    with host.session(longest_crawl_delay_s=0.1) as made:
        began = time.monotonic()
        host.outcome(made, host.url + "/a.jpg")
        assert 0.1 <= time.monotonic() - began < 60


def test_a_site_that_disallows_its_start_page_is_a_failed_search_and_no_empty_one(host) -> None:
    host.pages["/robots.txt"] = "User-agent: *\nDisallow: /\n"
    source = Website(SearchConfig.model_validate({"website": {"start_pages": {"bear": [host.url + "/"]}}}))
    with host.session() as made, pytest.raises(SourceFailed) as caught:
        source.search(made, "bear", None)
    assert caught.value.reason == "robots"
