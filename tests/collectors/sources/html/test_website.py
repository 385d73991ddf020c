"""An ordinary website: what a page offers, and a crawl that ends, resumes and stays where it should."""

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from collectors.http.session import PoliteSession
from collectors.sources.html.images import read_page, read_srcset
from collectors.sources.html.website import Website
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.errors import ConfigError, SourceFailed

PAGE = """<!doctype html><html><head><title>Bears &amp; more</title><base href="/zoo/">
<meta property="og:image" content="//cdn.example/og.jpg">
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head><body>
<header><img src="/logo.png"></header><nav><a href="/home"><img src="nav.jpg"></a></nav>
<img src="plain.jpg" alt="A &lt;bear&gt;" width="640" height="480">
<img src="tiny.gif" width="16" height="16"><img src="data:image/gif;base64,R0lG" data-src="lazy.jpg">
<img src="s.jpg" srcset="s.jpg 320w,m.jpg 640w, l.jpg 1280w">
<picture><source data-srcset="p1.webp 1x, p2.webp 2x"><img src="p.jpg"></picture>
<noscript><img src="noscript.jpg"></noscript><img src="icon.svg"><img alt="no address"><img src="http://[broken">
<a href="big.JPG"><img src="thumb.jpg" alt="linked"></a><a href="other.png">a picture</a>
<a href="page2.html#part">on</a><a href="page2.html">again</a><a href="https://elsewhere.example/x">away</a>
<a href="mailto:a@b">mail</a><a href="javascript:void(0)">js</a><a href="guide.pdf">pdf</a><area href="map.html">
</body></html>"""


def test_a_page_gives_its_pictures_in_their_largest_size_and_its_links() -> None:
    content = read_page(PAGE.encode(), "https://site.example/start?x=1")
    zoo = "https://site.example/zoo/"
    assert [picture.image_url for picture in content.hits] == [
        "https://cdn.example/og.jpg",
        zoo + "plain.jpg",
        zoo + "lazy.jpg",
        zoo + "l.jpg",
        zoo + "p2.webp",
        zoo + "noscript.jpg",
        zoo + "big.JPG",
        zoo + "other.png",
    ]
    assert content.links == (
        "https://site.example/home",
        zoo + "page2.html",
        "https://elsewhere.example/x",
        zoo + "map.html",
    )
    plain = content.hits[1]
    assert (plain.title, plain.width, plain.height) == ("A <bear>", 640, 480)
    assert (plain.license, plain.page_url) == ("by", "https://site.example/start?x=1")
    assert (content.hits[0].title, content.hits[6].title) == ("Bears & more", "linked")


def test_a_page_that_wants_no_picture_or_no_link_of_it_used_is_obeyed() -> None:
    content = read_page(b'<meta name="Robots" content="NoImageIndex"><img src="a.jpg"><a href="b">b</a>', "https://s/")
    assert (content.hits, content.links) == ((), ("https://s/b",))
    closed = read_page(b'<meta name="robots" content="nofollow"><img src="a.jpg"><a href="b">b</a>', "https://s/")
    assert (len(closed.hits), closed.links) == (1, ())


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("a.jpg", [("a.jpg", 1)]),
        ("a.jpg 1x,b.jpg 2x", [("a.jpg", 1), ("b.jpg", 2)]),
        (" a,b.jpg 640w 480h , c.jpg 1280w", [("a,b.jpg", 640), ("c.jpg", 1280)]),
        ("a.jpg, b.jpg 1.5x", [("a.jpg", 1), ("b.jpg", 1.5)]),
        ("data:image/gif;base64,R0lG 1x, b.jpg 2x", [("b.jpg", 2)]),
        (", ,", []),
        ("", []),
    ],
)
def test_srcset_as_the_standard_reads_it(text: str, candidates: list[tuple[str, float]]) -> None:
    assert read_srcset(text) == candidates


class Site:
    """Pages by path; a text is html, a number a status, a path a redirect."""

    def __init__(self) -> None:
        self.pages: dict[str, str | int] = {}
        self.asked: list[str] = []
        self.url = ""
        self.ended = threading.Event()

    def respond(self, request) -> tuple[int, list[tuple[str, str]], bytes]:
        if request.path not in {"/robots.txt", "/.well-known/tdmrep.json"}:
            self.asked.append(request.path)
        page = self.pages.get(request.path, 404)
        html = [("Content-Type", "text/html; charset=utf-8")]
        if page == "hangs":
            self.ended.wait(60)
        if page in {"hangs", "garbled"}:
            return 200, [*html, ("Content-Encoding", "gzip")], b"no gzip"
        if isinstance(page, int):
            return page, html, b""
        if page.startswith("<"):
            return 200, html, page.encode()
        return 301, [("Location", page), *html], b""


@pytest.fixture
def site(answers) -> Iterator[Site]:
    made = Site()
    made.url = answers(made.respond)
    yield made
    made.ended.set()


def page(name: str, *links: str) -> str:
    return f'<html><img src="{name}.jpg">' + "".join(f'<a href="{link}">x</a>' for link in links) + "</html>"


def crawl(site: Site, session: PoliteSession, **more: object) -> list[str]:
    """Every picture's name, by a new source for each page, as after a restart each time."""
    values = {"website": {"start_pages": {"bear": [f"{site.url}/"]}} | more}
    cursor, names = None, []
    for _ in range(50):
        result = Website(SearchConfig.model_validate(values)).search(session, "Bear", cursor)
        names += [picture.image_url.removeprefix(site.url) for picture in result.hits]
        if (cursor := result.next_cursor) is None:
            return names
    raise AssertionError("the crawl does not end")


def test_a_crawl_reads_every_page_once_to_its_depth_within_the_site(site: Site, session: PoliteSession) -> None:
    port = urlsplit(site.url).port
    site.pages |= {
        "/": page("home", "/a", "/b#x", "/", f"http://localhost:{port}/away", "/gone", "https://other.example/"),
        "/a": page("a", "/deep", "/a", "/"),
        "/b": "/b/",
        "/b/": page("b", "c"),
        "/deep": page("deep", "/deeper"),
        "/b/c": page("c"),
        "/gone": 404,
        "/away": page("away"),
    }
    assert crawl(site, session, depth=1) == ["/home.jpg", "/a.jpg", "/b/b.jpg"]
    assert site.asked == ["/", "/a", "/b", "/b/", "/gone"]
    site.asked.clear()
    assert crawl(site, session, depth=2) == ["/home.jpg", "/a.jpg", "/b/b.jpg", "/deep.jpg", "/b/c.jpg"]
    assert len(site.asked) == len(set(site.asked))


def test_an_endless_calendar_ends_at_the_page_limit(site: Site, session: PoliteSession) -> None:
    site.pages |= {"/": page("0", "/?day=1")} | {
        f"/?day={n}": page(str(n), f"/?day={n + 1}", "/") for n in range(1, 60)
    }
    names = crawl(site, session, depth=10, pages=7)
    assert names == [f"/{n}.jpg" for n in range(7)]
    assert len(site.asked) == 7


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(403, "blocked"), (404, "http_404"), (429, "rate_limited"), ("<html>Please solve this captcha</html>", "captcha")],
)
def test_a_start_page_that_cannot_be_read_is_a_failure(
    answer: str | int, reason: str, site: Site, session: PoliteSession
) -> None:
    site.pages["/"] = answer
    with pytest.raises(SourceFailed) as caught:
        crawl(site, session)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "answer", [400, 405, 408, 451, 500, 502, "/a", "http://[broken", "/hangs", "/garbled", "//busy"]
)
def test_a_page_that_always_fails_hides_none_that_follow(answer: str | int, site: Site) -> None:
    """By its status, a loop of redirects, an address that is none, silence, nonsense, or a busy host that it names."""
    port = urlsplit(site.url).port
    special = {"//busy": f"http://localhost:{port}/busy"}
    site.pages |= {"/": page("home", "/a", "/b"), "/a": special.get(str(answer), answer), "/busy": 429, "/b": page("b")}
    site.pages |= {"/hangs": "hangs", "/garbled": "garbled"}
    read_timeout_s = 1.5 if answer == "/hangs" else 8
    network = NetworkConfig(allow_private_addresses=True, per_host_pause_s=0, attempts=1, read_timeout_s=read_timeout_s)
    with PoliteSession(network) as session:
        assert crawl(site, session) == ["/home.jpg", "/b.jpg"]


@pytest.mark.parametrize(("answer", "note"), [(451, "answered 451"), (500, "500"), (404, ""), ("/a.pdf", "")])
def test_a_page_that_is_passed_over_is_named_unless_it_is_no_page(
    answer: str | int, note: str, site: Site, session: PoliteSession
) -> None:
    site.pages |= {"/": page("home", "/a", "/b"), "/a": answer, "/b": page("b")}
    source = Website(SearchConfig.model_validate({"website": {"start_pages": {"bear": [f"{site.url}/"]}}}))
    found = source.search(session, "bear", source.search(session, "bear", None).next_cursor)
    assert found.next_cursor is not None and bool(found.notes) == bool(note)
    assert all(f"{site.url}/a" in line and note in line for line in found.notes)


def test_a_busy_site_stops_the_crawl_and_the_next_run_goes_on_there(site: Site, session: PoliteSession) -> None:
    site.pages |= {"/": page("home", "/a", "/b"), "/a": 429, "/b": page("b")}
    source = Website(SearchConfig.model_validate({"website": {"start_pages": {"bear": [f"{site.url}/"]}}}))
    first = source.search(session, "bear", None)
    with pytest.raises(SourceFailed, match="rate_limited"):
        source.search(session, "bear", first.next_cursor)
    site.pages["/a"] = page("a")
    second = source.search(session, "bear", first.next_cursor)
    assert [picture.image_url for picture in second.hits] == [f"{site.url}/a.jpg"]
    assert site.asked == ["/", "/a", "/a"]


def test_start_pages_by_keyword_or_for_every_keyword(site: Site, session: PoliteSession) -> None:
    site.pages |= {"/tag/red%20panda": page("panda")}
    config = SearchConfig.model_validate({"website": {"start_pages": {"*": [f"{site.url}/tag/{{keyword}}"]}}})
    assert len(Website(config).search(session, "red panda", None).hits) == 1
    for_bears = Website(SearchConfig.model_validate({"website": {"start_pages": {"bear": [f"{site.url}/"]}}}))
    assert for_bears.search(session, "fox", None).next_cursor is None
    with pytest.raises(ConfigError, match="needs start pages"):
        Website(SearchConfig())


def test_xhtml_is_read_too() -> None:
    root = b"<body xmlns='http://www.w3.org/1999/xhtml'>"  # without html, the parser takes it for XML and warns
    xhtml = b"<?xml version='1.0'?>\n" + root + b"<img src='a.jpg' width='99999999999'/></body>"
    assert [picture.image_url for picture in read_page(xhtml, "https://s/").hits] == ["https://s/a.jpg"]


def test_a_hostile_page_does_not_hang() -> None:
    deep = b"<div>" * 3000 + b'<img srcset="' + b"a" * 200_000 + b' 1q 2q"><img src="b.jpg">'
    content = read_page(deep, "https://s/")
    assert [len(picture.image_url) for picture in content.hits] == [
        200_000 + len("https://s/"),
        len("https://s/b.jpg"),
    ]
