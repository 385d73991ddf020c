import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import urljoin

import pytest
import requests
from bs4 import BeautifulSoup

from gallery.site import Gallery


@pytest.fixture(scope="module")
def gallery() -> Iterator[Gallery]:
    with Gallery.rendered(per_class=30, seed=3) as gallery:
        yield gallery


def search(gallery: Gallery, **parameters: object) -> requests.Response:
    return requests.get(gallery.openverse_url + "/images/", params=parameters, timeout=30)


def every_page(gallery: Gallery, keyword: str, page_size: int) -> list[dict[str, object]]:
    first = search(gallery, q=keyword, page_size=page_size).json()
    pages = [search(gallery, q=keyword, page=n + 1, page_size=page_size).json() for n in range(first["page_count"])]
    return [result for page in pages for result in page["results"]]


def test_addresses_exist_only_while_open():
    closed = Gallery.rendered(per_class=6)
    with pytest.raises(RuntimeError, match="before it is open"):
        _ = closed.base_url
    with closed as gallery:
        url = gallery.base_url
        assert requests.get(url + "/robots.txt", timeout=30).text == "User-agent: *\nAllow: /\n"
    with pytest.raises(requests.ConnectionError):
        requests.get(url + "/robots.txt", timeout=30)


def test_pages_of_any_size_add_up_to_the_same_listing(gallery):
    for keyword in gallery.keywords:
        by_20 = every_page(gallery, keyword, 20)
        assert [r["id"] for r in by_20] == [r["id"] for r in every_page(gallery, keyword, 7)]
        assert len({r["id"] for r in by_20}) == len(by_20)
        assert search(gallery, q=keyword).json()["result_count"] == len(by_20)


def test_a_result_has_openverse_fields_and_leads_to_the_picture(gallery):
    result = search(gallery, q="  Watering   CAN ", page_size=1).json()["results"][0]
    assert set(result) == set(
        [
            "id",
            "title",
            "foreign_landing_url",
            "url",
            "creator",
            "creator_url",
            "license",
            "license_version",
            "license_url",
            "attribution",
            "provider",
            "source",
            "category",
            "filesize",
            "filetype",
            "tags",
            "width",
            "height",
            "thumbnail",
            "detail_url",
        ]
    )
    assert result["license"] in {"by", "by-sa", "by-nc", "cc0", "pdm"}
    assert result["title"] in result["attribution"]
    assert result["license_url"] in result["attribution"]
    body = requests.get(result["url"], timeout=30)
    assert body.status_code == 200
    assert requests.get(result["thumbnail"], timeout=30).content == body.content
    assert requests.get(result["detail_url"], timeout=30).json() == result
    page = requests.get(result["foreign_landing_url"], timeout=30)
    assert unescape(page.text).count(result["title"]) >= 2


def test_limits_of_a_caller_without_a_key(gallery):
    too_large = search(gallery, q="teapot", page_size=21)
    assert too_large.status_code == 401
    assert "20" in too_large.json()["detail"]
    too_deep = search(gallery, q="teapot", page=13, page_size=20)
    assert too_deep.status_code == 401
    assert "240" in too_deep.json()["detail"]
    beyond = search(gallery, q="teapot", page=12, page_size=20)
    assert (beyond.status_code, beyond.json()["results"], beyond.json()["result_count"]) == (200, [], 0)
    assert search(gallery, q="teapot", page=0).status_code == 400
    assert search(gallery, q="teapot", page="two").status_code == 400


def test_an_unknown_query_finds_nothing(gallery):
    answer = search(gallery, q="zeppelin").json()
    assert (answer["result_count"], answer["page_count"], answer["results"]) == (0, 0, [])


def test_the_licence_filter_splits_the_listing(gallery):
    everything = every_page(gallery, "teapot", 20)
    free = search(gallery, q="teapot", license="cc0,PDM").json()
    rest = search(gallery, q="teapot", license="by,by-sa,by-nc").json()
    assert {r["license"] for r in free["results"]} <= {"cc0", "pdm"}
    assert free["result_count"] + rest["result_count"] == len(everything)
    assert 0 < free["result_count"] < len(everything)


def test_creators_have_several_pictures_and_one_keyword(gallery):
    keywords_of: dict[str, list[str]] = {}
    for planted in gallery.truth():
        picture = gallery.collection.by_name[planted.url_path.rpartition("/")[2]]
        assert picture.creator is not None
        keywords_of.setdefault(picture.creator, []).append(planted.keyword)
    assert all(len(set(keywords)) == 1 for keywords in keywords_of.values())
    for keyword in gallery.keywords:
        assert 12 <= sum(keywords[0] == keyword for keywords in keywords_of.values()) <= 20


def shown_on(gallery: Gallery, keyword: str) -> tuple[list[str], str]:
    """The full-size address in each tile, and the html, over all pages."""
    address, found, text = gallery.results_url.format(keyword=keyword, page=1), [], ""
    while True:
        answer = requests.get(address, timeout=30)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        text += answer.text
        soup = BeautifulSoup(answer.content, "html.parser")
        for tile in soup.select("figure"):
            assert tile.select_one('figcaption a[rel="license"]')["href"].startswith("https://creativecommons.org/")
            image, source = tile.find("img"), tile.find("source")
            full = image.get("data-src") or image["src"]
            if image.get("srcset"):
                full = max((c.split() for c in image["srcset"].split(", ")), key=lambda c: int(c[1][:-1]))[0]
            if source is not None:
                full = source["srcset"]
            found.append(urljoin(address, full))
        more = soup.find("a", rel="next")
        if more is None:
            return found, text
        address = urljoin(address, more["href"])


def test_the_results_page_shows_the_other_third_in_every_way_pages_do(gallery):
    for keyword in gallery.keywords:
        shown, text = shown_on(gallery, keyword)
        known = {str(r["url"]) for r in every_page(gallery, keyword, 20)}
        assert len(set(shown)) == len(shown)
        assert len(known & set(shown)) == 5
        assert {gallery.base_url + p.url_path for p in gallery.truth() if p.keyword == keyword} == known | set(shown)
        share = len(known) / len(known | set(shown))
        assert 0.64 < share < 0.70
        for way in ("data:image/gif", "data:image/svg", "srcset=", "<picture>", "<header>", "data-src="):
            assert way in text
        assert not any("/assets/" in address for address in shown)
    assert re.search(r"&lt;3|&amp;|&quot;|&#x27;", text)


def test_a_narrower_picture_is_the_same_one_smaller(gallery):
    planted = next(p for p in gallery.truth() if p.kind == "honest")
    full = requests.get(gallery.base_url + planted.url_path, timeout=30)
    small = requests.get(gallery.base_url + planted.url_path + "?w=120", timeout=30)
    assert 0 < len(small.content) < len(full.content)


def test_head_has_the_length_and_no_body_and_unknown_is_404(gallery):
    planted = next(p for p in gallery.truth() if p.kind == "honest")
    with requests.Session() as session:
        body = session.get(gallery.base_url + planted.url_path, timeout=30)
        head = session.head(gallery.base_url + planted.url_path, timeout=30)
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["Content-Length"]) == len(body.content)
        for path in ("/", "/images/", "/images/none.jpg", "/photo/none", "/v1/images/none/thumb/", "/fault/x"):
            assert session.get(gallery.base_url + path, timeout=30).status_code == 404


def test_requests_are_counted_by_kind():
    with Gallery.rendered(per_class=6) as gallery:
        result = search(gallery, q="teapot").json()["results"][0]
        requests.get(result["url"], timeout=30)
        requests.get(result["thumbnail"], timeout=30)
        requests.get(result["foreign_landing_url"], timeout=30)
        requests.get(gallery.results_url.format(keyword="teapot", page=1), timeout=30)
        requests.get(gallery.base_url + "/robots.txt", timeout=30)
        assert gallery.requests == {"search": 1, "image": 2, "landing": 1, "results": 1, "robots": 1}
