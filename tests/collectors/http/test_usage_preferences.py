import json

import pytest

from collectors import download, retry_failed
from collectors.http.usage_preferences import header_opt_out, page_preferences, path_matches
from collectors.sources.fetch import fetch_page
from collectors.sources.html.website import Website
from workspace.catalog.records import Download, Hit
from workspace.config.collect import SearchConfig
from workspace.config.model import WorkspaceConfig
from workspace.errors import SourceFailed

TDMREP = "/.well-known/tdmrep.json"
OK, RESERVED = ("ok", ""), ("refused", "reserved")


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
    assert [(found.reason, found.text.rpartition(" ")[2]) for found in page_preferences(html)] == (
        [("opted_out", said)] if said else []
    )


def test_a_file_that_opts_out_is_refused_unless_that_is_switched_off(host) -> None:
    host.pages["/a.jpg"] = (200, {"X-Robots-Tag": "otherbot: noindex\nnoai"}, "")
    with host.session() as made:
        assert host.outcome(made, host.url + "/a.jpg") == ("refused", "opted_out")
        assert host.outcome(made, host.url + "/a.jpg", crawled=False) == ("ok", "")
    with host.session(opt_outs=False) as made:
        assert host.outcome(made, host.url + "/a.jpg") == ("ok", "")


def test_a_page_that_opts_out_is_a_failure_with_its_reason_and_a_crawl_passes_over_it(host) -> None:
    closed = '<html><meta name="robots" content="noai"><img src="x.jpg"></html>'
    host.pages |= {"/": '<html><img src="a.jpg"><a href="/closed">x</a><a href="/b">x</a></html>', "/closed": closed}
    host.pages |= {"/b": '<html><img src="b.jpg"></html>', "/robots.txt": 404}
    with host.session() as made:
        with pytest.raises(SourceFailed, match='opted_out: .*/closed says <meta name="robots">: noai'):
            fetch_page(made, host.url + "/closed")
        source = Website(SearchConfig.model_validate({"website": {"start_pages": {"bear": [host.url + "/"]}}}))
        cursor, found = None, []
        for _ in range(3):
            page = source.search(made, "bear", cursor)
            found += [hit.image_url.removeprefix(host.url) for hit in page.hits]
            cursor = page.next_cursor
    assert (found, cursor) == (["/a.jpg", "/b.jpg"], None)
    with host.session(opt_outs=False) as made:
        assert fetch_page(made, host.url + "/closed")[0] == closed.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # As a large content network writes it for its customers.
        ("User-agent: *\nContent-Signal: search=yes,ai-train=no\nAllow: /\n", RESERVED),
        ("user-agent: *\ncontent-signal : AI-Train = NO # please\nAllow: /\n", RESERVED),
        ("User-Agent: *\nContent-Signal: ai-train=yes, search=yes, ai-input=no\n", OK),
        ("User-agent: *\nContent-Signal: search=yes; ai-train = no\n", RESERVED),  # a slip in the separators
        ("User-agent: *\nContent-Signal: search=yes ai-train=no\n", RESERVED),
        ("User-Agent: *\nContent-Signal: search=no, ai-input=no\n", OK),
        ("User-agent: otherbot\nContent-Signal: ai-train=no\n", OK),
        ("User-agent: collect-and-train\nContent-Signal: ai-train=no\nUser-agent: *\nAllow: /\n", RESERVED),
        ("User-agent: collect-and-train\nAllow: /\nUser-agent: *\nContent-Signal: ai-train=no\n", OK),
        ("Content-Signal: ai-train=no\n\nUser-agent: *\nAllow: /\n", RESERVED),  # before every group
        ("User-agent: *\nContent-Signal: /b/ ai-train=no\nAllow: /\n", OK),
        ("User-agent: *\nContent-Signal: ai-train=yes\nContent-Signal: ai-train=no\n", RESERVED),
        ("User-agent: *\nContent-Usage: train-ai=n\n", RESERVED),
        ("User-agent: *\nContent-Usage: / train-ai=n\nContent-Usage: /a/ train-ai=y\n", OK),
        ("User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: /a/*.jpg$ train-ai=n\n", RESERVED),
        ("User-agent: *\nContent-Usage: all=n, train-ai=y, train-genai=n\n", OK),
        ("User-agent: *\nContent-Usage: all=n, search=y\n", RESERVED),
        ("User-agent: *\nContent-Usage: train-genai=n\n", OK),  # a classifier generates nothing
        ('User-agent: *\nContent-Usage: train-ai="n", train-ai, train-ai=no\n', OK),  # no token y or n
        ("User-agent: *\nContent-Usage: train-ai=y\nContent-Signal: ai-train=no\n", RESERVED),
        ("User-agent: *\nContent-Signal:\nContent-Usage: /a/\n", OK),
    ],
)
def test_what_robots_txt_says_of_training_is_obeyed_for_the_paths_that_it_is_about(text, expected, host) -> None:
    host.pages["/robots.txt"] = text
    with host.session() as made:
        assert host.outcome(made, host.url + "/a/1.jpg") == expected
    assert ("/a/1.jpg" in host.asked) == (expected == OK)
    with host.session(reservations=False) as made:
        assert host.outcome(made, host.url + "/a/1.jpg") == OK
    with host.session(robots=False) as made:  # another rule, switched off by itself
        assert host.outcome(made, host.url + "/a/1.jpg") == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"tdm-reservation": "1"}, RESERVED),
        ({"TDM-Reservation": " 1 ", "tdm-policy": "https://a.example/p.json"}, RESERVED),
        ({"tdm-reservation": "0"}, OK),
        ({"tdm-reservation": "2"}, OK),  # "Other values are considered protocol errors": unset
        ({"Content-Usage": "train-ai=n"}, RESERVED),
        ({"Content-Usage": "search=y\ntrain-ai=n;x=1"}, RESERVED),  # two fields, and a parameter
        ({"Content-Usage": "train-ai=y"}, OK),
        ({"Content-Signal": "ai-train=no, search=yes"}, RESERVED),
        ({"X-Robots-Tag": "noindex"}, OK),
    ],
)
def test_what_a_header_says_of_training_is_obeyed(headers, expected, host) -> None:
    host.pages["/a.jpg"] = (200, headers, "")
    with host.session() as made:
        assert host.outcome(made, host.url + "/a.jpg") == expected
        assert host.outcome(made, host.url + "/a.jpg", crawled=False) == OK
    with host.session(reservations=False) as made:
        assert host.outcome(made, host.url + "/a.jpg") == OK


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"location": "/", "tdm-reservation": 1}], RESERVED),
        ([{"location": "/", "tdm-reservation": "1", "tdm-policy": "https://a.example/policy.json"}], RESERVED),
        ([{"location": "/", "tdm-reservation": 0}], OK),
        ([{"location": "/", "tdm-reservation": 2}], OK),
        ([{"location": "/b/", "tdm-reservation": 1}], OK),
        ([{"location": "/a/*.jpg", "tdm-reservation": 0}, {"location": "/", "tdm-reservation": 1}], OK),  # first match
        ([{"location": "/", "tdm-reservation": 1}, {"location": "/a/", "tdm-reservation": 0}], RESERVED),
        ([{"location": "/a/1.jpg$", "tdm-reservation": 1}], RESERVED),
        ([{"location": "/a$", "tdm-reservation": 1}], OK),
        ([{"location": "/%61/1.jpg", "tdm-reservation": 1}], RESERVED),
        ([{"location": "/A/", "tdm-reservation": 1}], OK),  # case counts
        ([None, {"location": 3}, {"tdm-reservation": 1}, {"location": "a/", "tdm-reservation": 1}], RESERVED),
        ({"location": "/", "tdm-reservation": 1}, OK),  # no array: no rules
        ([], OK),
    ],
)
def test_tdmrep_json_is_obeyed_by_path_and_requested_once(rules, expected, host) -> None:
    host.pages[TDMREP] = json.dumps(rules)
    with host.session() as made:
        assert [host.outcome(made, host.url + path) for path in ("/a/1.jpg", "/a/1.jpg")] == [expected] * 2
    assert host.asked.count(TDMREP) == 1
    assert ("/a/1.jpg" in host.asked) == (expected == OK)
    host.asked.clear()
    with host.session(reservations=False) as made:
        assert host.outcome(made, host.url + "/a/1.jpg") == OK
    assert TDMREP not in host.asked


@pytest.mark.parametrize(
    "answer", [404, 403, 410, 500, 503, 429, "hang", "<html>no such page</html>", "[" * 100_000, ""]
)
def test_a_tdmrep_json_that_cannot_be_read_reserves_nothing_and_is_not_asked_for_again(answer, host) -> None:
    host.pages[TDMREP] = answer
    with host.session(read_timeout_s=1.5 if answer == "hang" else 8, attempts=3) as made:
        assert [host.outcome(made, f"{host.url}/{n}.jpg") for n in range(3)] == [OK] * 3
    assert host.asked.count(TDMREP) == 1


def test_tdmrep_json_is_not_requested_where_robots_txt_disallows_it_or_everything_or_already_reserves(host) -> None:
    for text in ("Disallow: /.well-known/", "Disallow: /", "Content-Signal: ai-train=no"):
        host.pages["/robots.txt"] = f"User-agent: *\n{text}\n"
        with host.session() as made:
            host.outcome(made, host.url + "/a.jpg")
    assert TDMREP not in host.asked


def test_every_hop_of_a_redirect_is_asked_about(host) -> None:
    host.pages[TDMREP] = json.dumps([{"location": "/kept/", "tdm-reservation": 1}])
    host.pages["/a.jpg"] = (302, {"Location": "/kept/a.jpg"}, "")
    with host.session() as made:
        assert host.outcome(made, host.url + "/a.jpg") == RESERVED
    assert "/kept/a.jpg" not in host.asked


@pytest.mark.parametrize(
    ("html", "reserved"),
    [
        (b'<meta name="tdm-reservation" content="1">', True),
        (b"<META content='1' NAME='TDM-Reservation'><meta name='tdm-policy' content='https://a.example/p'>", True),
        ('<meta name="tdm-reservation" content="1">'.encode("utf-16"), True),
        (b'<meta name="tdm-reservation" content="0">', False),
        (b"<p>tdm-reservation 1</p>", False),
    ],
)
def test_a_page_that_reserves_itself_is_a_failure_with_its_reason(html, reserved, host) -> None:
    host.pages["/page"] = (200, {"Content-Type": "text/html"}, html)
    with host.session() as made:
        if reserved:
            with pytest.raises(SourceFailed, match='reserved: .*/page says <meta name="tdm-reservation">: 1'):
                fetch_page(made, host.url + "/page")
        else:
            assert fetch_page(made, host.url + "/page")[0] == html
    with host.session(reservations=False) as made:
        assert fetch_page(made, host.url + "/page")[0] == html


def test_the_row_of_a_download_says_which_rule_refused_it_and_what_else_was_said(host, workspace) -> None:
    host.pages["/robots.txt"] = "User-agent: *\nContent-Usage: train-ai=y\nContent-Usage: /b/ train-ai=n\n"
    host.pages[TDMREP] = json.dumps([{"location": "/c/", "tdm-reservation": 1, "tdm-policy": "https://a.example/p"}])
    host.pages["/d/1.jpg"] = (200, {"tdm-reservation": "1"}, "")
    with workspace.open_catalog() as catalog:
        catalog.add_new([Hit("x", "x", "folder", n, f"{host.url}/{d}/1.jpg") for n, d in enumerate("abcd")])
    network = {"private_hosts": ["127.0.0.1"], "per_host_pause_s": 0}
    download.run(workspace, WorkspaceConfig.model_validate({"classes": {"x": "x", "y": "y"}, "network": network}))
    with workspace.open_catalog() as catalog:
        rows = {row.image_url.removeprefix(host.url): row for row in catalog.all(Download)}
    config = {"classes": {"x": "x", "y": "y"}, "network": network | {"reservations": False}}
    retry_failed.run(workspace, WorkspaceConfig.model_validate(config), ["reserved"])
    with workspace.open_catalog() as catalog:
        recorded = {
            row.image_url.removeprefix(host.url): (row.status, row.preferences) for row in catalog.all(Download)
        }
    assert recorded == {
        "/a/1.jpg": ("ok", "robots.txt: Content-Usage: train-ai=y"),
        "/b/1.jpg": ("ok", "robots.txt: Content-Usage: /b/ train-ai=n"),
        "/c/1.jpg": ("ok", "robots.txt: Content-Usage: train-ai=y"),
        "/d/1.jpg": ("ok", "robots.txt: Content-Usage: train-ai=y; tdm-reservation: 1"),
    }
    said = "robots.txt: Content-Usage: train-ai=y"
    assert (rows["/a/1.jpg"].status, rows["/a/1.jpg"].preferences) == ("ok", said)
    assert {path: (row.status, row.reason, row.detail) for path, row in rows.items() if path != "/a/1.jpg"} == {
        "/b/1.jpg": (*RESERVED, "robots.txt: Content-Usage: /b/ train-ai=n"),
        "/c/1.jpg": (*RESERVED, "/.well-known/tdmrep.json: /c/ is reserved (licences: https://a.example/p)"),
        "/d/1.jpg": (*RESERVED, "tdm-reservation: 1"),
    }


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("", "/a", True),
        ("/", "/a", True),
        ("/fish", "/fish.html", True),
        ("/fish", "/Fish.asp", False),
        ("/fish/", "/fish", False),
        ("/*.php", "/folder/any.php?x=1", True),
        ("/*.php$", "/a.php?x=1", False),
        ("/fish*.php", "/fishheads/catfish.php?x", True),
        ("/a$", "/a", True),
        ("/a*a$", "/aa", True),
        ("/a*a$", "/a", False),
        ("*/b$", "/a/b", True),
        ("/foo-%24", "/foo-%24", True),
        ("/foo-%24", "/foo-", False),
        ("/é", "/%C3%A9", True),
        ("/" + "*a" * 2000 + "b", "/" + "a" * 20_000, False),  # and not for ever
    ],
)
def test_paths_match_as_in_robots_txt(pattern: str, path: str, expected: bool) -> None:
    assert path_matches(pattern, path) is expected
