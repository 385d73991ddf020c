"""Odd markup and odd addresses on a page cost what they stand on, and never the search."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.http.session import PoliteSession
from collectors.sources.apis import wikimedia
from collectors.sources.html import bing, results_page
from collectors.sources.html.images import read_page
from collectors.sources.html.website import Website
from collectors.sources.parsing import plain_text
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed
from workspace.licenses import license_name

URL = "https://site.example/"
ODD_ADDRESSES = [
    "http://localhost:PORT/",
    "http://x:99999/",
    "http://[site]/",
    "http://[broken",
    "//x:y/",
    "http://\u2100.example/",
]
ODD_SECTIONS = ["<![foo", "<![ endif]-->", "<![endif", "<![love] cats", "<![if", "<![CDATA[", "<![", "<![1]>", "<!["]


@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_an_odd_link_on_a_page_of_a_website_ends_no_crawl(address: str, answers, session: PoliteSession) -> None:
    pages = {
        "/": f'<a href="{address}">x</a><img src="{address}"><a href="/away">y</a><a href="/b">z</a><img src="a.jpg">',
        "/b": '<img src="b.jpg">',
    }

    def respond(request):
        if request.path == "/away":
            return 301, [("Location", address.encode().decode("latin-1"))], b""
        html = pages.get(request.path)
        return (200, [("Content-Type", "text/html")], html.encode()) if html else (404, [], b"")

    start = answers(respond)
    config = SearchConfig.model_validate({"website": {"start_pages": {"bear": [f"{start}/"]}}})
    names, cursor = [], None
    for _ in range(3):
        found = Website(config).search(session, "bear", cursor)
        names += [hit.image_url for hit in found.hits]
        cursor = found.next_cursor
    assert names == [f"{start}/a.jpg", f"{start}/b.jpg"] and cursor is None


@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_an_odd_address_on_a_page_of_results_costs_its_own_picture_at_most(address: str) -> None:
    tile = '<figure><a href="{}"><img src="{}"></a><a rel="license" href="{}">c</a></figure>'
    tiles = [(address, "/1.jpg", "/c"), ("/p", address, "/c"), ("/p", "/2.jpg", address), ("/p", "/3.jpg", "/c")]
    html = f'<base href="{address}">' + "".join(tile.format(*each) for each in tiles)
    hits, following = results_page.parse(f'{html}<a rel="next" href="{address}">n</a>'.encode(), URL)
    assert [hit.image_url for hit in hits] == [f"{URL}{n}.jpg" for n in (1, 2, 3)]
    assert [(hit.page_url, hit.license_url) for hit in hits] == [
        ("", f"{URL}c"),
        (f"{URL}p", ""),
        (f"{URL}p", f"{URL}c"),
    ]
    assert following is None
    assert license_name(address) == ""


def test_an_odd_address_in_an_answer_of_commons_costs_no_other_picture() -> None:
    info = {
        "mime": "image/jpeg",
        "url": "https://upload.example/1.jpg",
        "descriptionurl": "http://[broken?utm_source=x",
    }
    hits, _ = wikimedia.parse({"query": {"pages": [{"index": 1, "title": "File:1.jpg", "imageinfo": [info]}]}})
    assert [hit.image_url for hit in hits] == ["https://upload.example/1.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("section", ODD_SECTIONS)
def test_a_page_with_a_malformed_section_is_read(section: str, encoding: str) -> None:
    metadata = json.dumps({"murl": f"{URL}1.jpg"}).replace('"', "&quot;")
    html = (
        '<html><body>{}<p>></p><a class="iusc" m="{}" href="/p"><img src="/1.jpg" alt="ä"></a><a href="/q">q</a></body>'
    )
    page = html.format(section, metadata).encode(encoding)
    content = read_page(page, URL)
    assert [(hit.image_url, hit.title) for hit in content.hits] == [(f"{URL}1.jpg", "ä")]
    assert f"{URL}q" in content.links
    assert [hit.image_url for hit in results_page.parse(page, URL)[0]] == [f"{URL}1.jpg"]
    assert [hit.image_url for hit in bing.parse(page)] == [f"{URL}1.jpg"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I <![love] cats", "I <![love] cats"),
        ("<b>I</b> <![love] <i>red</i> cats", "I red cats"),
        ("A &lt; B <![ endif]--> &amp; C", "A < B & C"),
    ],
)
def test_a_title_with_a_malformed_section_keeps_its_other_words(text: str, words: str) -> None:
    read = plain_text(text)
    assert all(word in read.split() for word in words.split() if not word.startswith("<!"))
    assert "<b>" not in read and "<i>" not in read


PIECES = st.sampled_from(
    [*ODD_SECTIONS, *ODD_ADDRESSES]
    + ["<!", "<!-", "<!--", "-->", "<?", "?>", "<!DOCTYPE ", "[", "]", "]]>", ">", "<", "</", "&#", "&#x110000;", "%"]
    + ["<a href='", "<img src='", "<base href='", "<img srcset='", "<a rel=license href='", "<a rel=next href='", "'"]
    + ["<a class=iusc m='{}' href='", "<meta name=robots content=", "<script>", "<textarea>", "<title>", "<svg>", "\0"]
    + ["<!ELEMENT ", "<!ATTLIST ", "<!ENTITY ", " ", "/", "x", "١", "1x,", "\ud800", "<table>", "</p>"]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_page_and_no_title_raises_anything_but_a_failure_of_its_source(text: str) -> None:
    html = f"<p>{text}".encode("utf-8", "surrogatepass")  # what is only a url makes the parser warn
    for parse in (lambda: read_page(html, URL), lambda: results_page.parse(html, URL), lambda: bing.parse(html)):
        with contextlib.suppress(SourceFailed):
            parse()
    plain_text(text)
