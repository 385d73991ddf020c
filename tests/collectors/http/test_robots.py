import io
import threading
import time
from urllib.parse import urlsplit

import pytest

from collectors.http.robots import header_opt_out, page_opt_out
from collectors.http.session import PoliteSession
from collectors.sources.fetch import fetch_json, fetch_page
from collectors.sources.html.website import Website
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.errors import SourceFailed, TransferFailed

PICTURE = b"\xff\xd8\xff picture"


class Site:
    """Answers everything with a picture, but for `pages`: a status, a body, or (status, headers, body)."""

    def __init__(self) -> None:
        self.pages: dict[str, int | str | tuple[int, dict[str, str], str]] = {"/robots.txt": 404}
        self.asked: list[str] = []
        self.url = ""

    def respond(self, request) -> tuple[int, list[tuple[str, str]], bytes]:
        self.asked.append(request.path)
        page = self.pages.get(request.path, (200, {}, ""))
        if page == "hang":
            time.sleep(0.6)
        if not isinstance(page, tuple):
            page = (page, {}, "") if isinstance(page, int) else (200, {}, page)
        status, headers, text = page
        lines = [(name, line) for name, value in headers.items() for line in value.split("\n")]
        return status, lines, text.encode() or PICTURE


@pytest.fixture
def site(answers) -> Site:
    made = Site()
    made.url = answers(made.respond)
    return made


def session(**more: object) -> PoliteSession:
    values = {"private_hosts": ["127.0.0.1"], "per_host_pause_s": 0, "attempts": 1, "read_timeout_s": 5} | more
    return PoliteSession(NetworkConfig.model_validate(values), connections=8, per_host_connections=8)


def outcome(made: PoliteSession, url: str, **more: object) -> tuple[str, str]:
    body = io.BytesIO()
    try:
        made.fetch(url, body, max_bytes=100_000, **({"crawled": True} | more))  # type: ignore[arg-type]
    except TransferFailed as error:
        return error.status, error.reason
    assert body.getvalue()
    return "ok", ""


def test_what_is_disallowed_is_not_asked_for_and_the_rules_are_asked_once(site: Site) -> None:
    site.pages["/robots.txt"] = "User-agent: *\nDisallow: /private/\nDisallow: /*.gif$\nAllow: /private/open.jpg\n"
    paths = ["/a.jpg", "/private/b.jpg", "/private/open.jpg", "/c.gif", "/c.gif?x=1"] * 4
    with session() as made:
        results: dict[int, tuple[str, str]] = {}
        threads = [
            threading.Thread(target=lambda n=n, p=path: results.update({n: outcome(made, site.url + p)}))
            for n, path in enumerate(paths)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    refused, ok = ("refused", "robots"), ("ok", "")
    assert [results[n] for n in range(5)] == [ok, refused, ok, refused, ok]
    assert site.asked.count("/robots.txt") == 1
    assert sorted(set(site.asked)) == ["/a.jpg", "/c.gif?x=1", "/private/open.jpg", "/robots.txt"]


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
def test_rules_are_read_as_rfc_9309_says(text: str, allowed: bool, site: Site) -> None:
    site.pages["/robots.txt"] = text
    with session() as made:
        assert outcome(made, site.url + "/a.jpg") == (("ok", "") if allowed else ("refused", "robots"))


@pytest.mark.parametrize("status", [204, 401, 403, 404, 410])
def test_without_rules_everything_is_allowed(status: int, site: Site) -> None:
    site.pages["/robots.txt"] = status
    with session() as made:
        assert outcome(made, site.url + "/a.jpg") == ("ok", "")


@pytest.mark.parametrize("answer", [500, 503, 429, "hang"])
def test_rules_that_cannot_be_read_allow_nothing_for_now(answer: int | str, site: Site) -> None:
    site.pages["/robots.txt"] = answer
    with session(read_timeout_s=0.3) as made:
        outcomes = {outcome(made, f"{site.url}/{n}.jpg") for n in range(3)}
    assert outcomes == {("failed", "robots_unreachable")}
    assert site.asked == ["/robots.txt"]
    site.pages["/robots.txt"] = 404
    with session() as made:
        assert outcome(made, site.url + "/a.jpg") == ("ok", "")


def test_rules_are_asked_for_again_after_a_while(site: Site) -> None:
    site.pages["/robots.txt"] = 503
    with session(give_up_s=0.1) as made:
        assert outcome(made, site.url + "/a.jpg") == ("failed", "robots_unreachable")
        site.pages["/robots.txt"] = 404
        time.sleep(0.12)
        assert outcome(made, site.url + "/a.jpg") == ("ok", "")


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
def test_the_rules_own_redirects_are_guarded_too(location: str, expected: tuple[str, str], site: Site) -> None:
    site.pages["/robots.txt"] = (301, {"Location": location.replace("{port}", str(urlsplit(site.url).port))}, "")
    site.pages["/rules.txt"] = "User-agent: *\nDisallow: /\n"
    with session() as made:
        assert outcome(made, site.url + "/a.jpg") == expected


def test_every_hop_is_asked_about(site: Site) -> None:
    site.pages["/robots.txt"] = "User-agent: *\nDisallow: /hidden/\n"
    site.pages["/a.jpg"] = (302, {"Location": "/hidden/a.jpg"}, "")
    with session() as made:
        assert outcome(made, site.url + "/a.jpg") == ("refused", "robots")
    assert "/hidden/a.jpg" not in site.asked


def test_an_api_is_asked_by_its_own_terms_and_the_rule_can_be_switched_off(site: Site) -> None:
    site.pages["/robots.txt"] = "User-agent: *\nDisallow: /\n"
    site.pages["/api"] = "[1]"
    with session() as made:
        assert fetch_json(made, site.url + "/api") == [1]
    with session(robots=False) as made:
        assert outcome(made, site.url + "/a.jpg") == ("ok", "")
    assert "/robots.txt" not in site.asked


def test_a_crawl_delay_is_kept_to_within_reason(site: Site) -> None:
    site.pages["/robots.txt"] = "User-agent: *\nCrawl-delay: 0.2\n"
    with session() as made:
        began = time.monotonic()
        assert [outcome(made, f"{site.url}/{n}.jpg")[0] for n in range(3)] == ["ok"] * 3
        assert time.monotonic() - began >= 0.6  # after robots.txt too
    site.pages["/robots.txt"] = "User-agent: *\nCrawl-delay: 3600\n"
    with session(longest_crawl_delay_s=0.1) as made:
        began = time.monotonic()
        outcome(made, site.url + "/a.jpg")
        assert 0.1 <= time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["noai"], "noai"),
        (["noindex, NoImageAI"], "noimageai"),
        (["noindex", "nofollow, noai"], "noai"),
        (["collect-and-train: noai"], "noai"),
        (["*: noimageai"], "noimageai"),
        (["max-image-preview: large, noai"], "noai"),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], "noai"),
        (["googlebot: noindex", "noai"], "noai"),
        (["googlebot: noindex, noai"], None),
        (["otherbot: noai", "noindex"], None),
        (["noindex, noimageindex, noaiming"], None),
        ([""], None),
        ([], None),
    ],
)
def test_an_opt_out_in_a_header_is_for_everybody_or_for_us(values: list[str], said: str | None) -> None:
    assert header_opt_out(values) == said


@pytest.mark.parametrize(
    ("html", "said"),
    [
        (b'<meta name="robots" content="noai">', "noai"),
        (b"<META CONTENT='index, NoImageAI' NAME='Robots'>", "noimageai"),
        (b"<meta name=collect-and-train content=noai>", "noai"),
        ('<meta name="robots" content="noai">'.encode("utf-16"), "noai"),
        (b'<?xml version="1.0"?><html xmlns="x"><meta name="robots" content="noai"/></html>', "noai"),
        (b'<meta name="googlebot" content="noai">', None),
        (b'<meta name="no-robots" content="noai">', None),
        (b'<meta name="robots" content="noindex, nofollow">', None),
        (b'<meta name="description" content="noai explained"><p>noai</p>', None),
        (b"", None),
    ],
)
def test_an_opt_out_in_a_page_is_for_everybody_or_for_us(html: bytes, said: str | None) -> None:
    assert page_opt_out(html) == said


def test_a_file_that_opts_out_is_refused_unless_that_is_switched_off(site: Site) -> None:
    site.pages["/a.jpg"] = (200, {"X-Robots-Tag": "otherbot: noindex\nnoai"}, "")
    with session() as made:
        assert outcome(made, site.url + "/a.jpg") == ("refused", "opted_out")
        assert outcome(made, site.url + "/a.jpg", crawled=False) == ("ok", "")
    with session(opt_outs=False) as made:
        assert outcome(made, site.url + "/a.jpg") == ("ok", "")


def test_a_page_that_opts_out_is_a_failure_with_its_reason_and_a_crawl_passes_over_it(site: Site) -> None:
    closed = '<html><meta name="robots" content="noai"><img src="x.jpg"></html>'
    site.pages |= {"/": '<html><img src="a.jpg"><a href="/closed">x</a><a href="/b">x</a></html>', "/closed": closed}
    site.pages |= {"/b": '<html><img src="b.jpg"></html>', "/robots.txt": 404}
    with session() as made:
        with pytest.raises(SourceFailed, match="opted_out: .*/closed says noai in its robots tag"):
            fetch_page(made, site.url + "/closed")
        source = Website(SearchConfig.model_validate({"website": {"start_pages": {"bear": [site.url + "/"]}}}))
        cursor, found = None, []
        for _ in range(3):
            page = source.search(made, "bear", cursor)
            found += [hit.image_url.removeprefix(site.url) for hit in page.hits]
            cursor = page.next_cursor
    assert (found, cursor) == (["/a.jpg", "/b.jpg"], None)
    with session(opt_outs=False) as made:
        assert fetch_page(made, site.url + "/closed")[0] == closed.encode()


def test_a_site_that_disallows_its_start_page_is_a_failed_search_and_no_empty_one(site: Site) -> None:
    site.pages["/robots.txt"] = "User-agent: *\nDisallow: /\n"
    source = Website(SearchConfig.model_validate({"website": {"start_pages": {"bear": [site.url + "/"]}}}))
    with session() as made, pytest.raises(SourceFailed) as caught:
        source.search(made, "bear", None)
    assert caught.value.reason == "robots"
