import json
from pathlib import Path

import pytest

from collectors.sources.apis import openverse
from collectors.sources.base import SearchHit
from collectors.sources.html import results_page
from collectors.sources.html.images import LAZY_ATTRIBUTES, SRCSET_ATTRIBUTES, read_page
from workspace.errors import SourceFailed
from workspace.licenses import license_name

SHARED = Path(__file__).resolve().parents[3].parent / "shared"

ANSWER = {
    "result_count": 2,
    "page_count": 7,
    "results": [
        {
            "url": "https://pictures.example/1.jpg",
            "foreign_landing_url": "https://pictures.example/photo/1",
            "title": "Ein Käfer <b>",
            "creator": "Frau Ä",
            "license": "BY-SA",
            "license_version": "2.0",
            "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
            "attribution": '"Ein Käfer" by Frau Ä',
            "width": 1024,
            "height": 768,
        },
        {"url": None, "title": "no address"},
        {"url": "https://pictures.example/2.jpg", "title": None, "creator": None, "license": "", "width": None},
    ],
}


def test_openverse_keeps_licence_and_creator_and_leaves_unknown_things_empty() -> None:
    found, pages = openverse.parse(ANSWER)
    assert pages == 7
    assert found == (
        SearchHit(
            "https://pictures.example/1.jpg",
            "https://pictures.example/photo/1",
            "Ein Käfer <b>",
            "Frau Ä",
            "by-sa",
            "https://creativecommons.org/licenses/by-sa/2.0/",
            '"Ein Käfer" by Frau Ä',
            1024,
            768,
        ),
        SearchHit("https://pictures.example/2.jpg"),
    )


@pytest.mark.parametrize(
    "payload", [{}, [], None, "x", {"results": 3, "page_count": 1}, {"results": ["x"], "page_count": 1}]
)
def test_an_answer_of_another_shape_is_a_changed_source_and_not_no_results(payload: object) -> None:
    with pytest.raises(SourceFailed) as caught:
        openverse.parse(payload)
    assert caught.value.reason == "changed"


@pytest.mark.skipif(not (SHARED / "fixtures/openverse/search").is_dir(), reason="no recorded answers in ../shared")
def test_every_recorded_answer_of_openverse_is_read() -> None:
    pictures = 0
    for file in sorted((SHARED / "fixtures/openverse/search").glob("*.json")):
        answer = json.loads(file.read_text(encoding="utf-8"))
        found, _pages = openverse.parse(answer)
        assert len(found) == len(answer["results"])
        assert all(picture.license and picture.image_url.startswith("http") for picture in found)
        pictures += len(found)
    assert pictures > 300


PAGE = """<!doctype html><html><head><base href="https://site.example/search/"></head><body>
<header><a href="/"><img src="/logo.png" alt="logo"></a></header>
<figure><a href="/photo/1"><img src="/i/1-small.jpg" srcset="/i/1-640.jpg 640w, /i/1-1280.jpg 1280w"
  alt="One &lt;b&gt;"></a>
  <figcaption><span class="creator">Ada</span> <a rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/">CC</a>
  </figcaption></figure>
<figure><a href="/photo/2"><img src="data:image/gif;base64,R0lGOD" data-src="2.jpg" alt="둘"></a></figure>
<figure><a href="/photo/3"><picture><source srcset="/i/3.webp 900w"><img src="/i/3.jpg" alt="3"></picture></a></figure>
<figure><a href="/photo/1"><img src="/i/1-1280.jpg" alt="again"></a></figure>
<p><img src="/not-a-result.jpg" alt="not linked"></p>
<a rel="next" href="?q=x&amp;page=2">more</a></body></html>""".encode()


def test_a_results_page_gives_the_linked_pictures_in_their_largest_size() -> None:
    found, following = results_page.parse(PAGE, "https://site.example/search/?q=x&page=1")
    assert [(picture.image_url, picture.page_url, picture.title) for picture in found] == [
        ("https://site.example/i/1-1280.jpg", "https://site.example/photo/1", "One <b>"),
        ("https://site.example/search/2.jpg", "https://site.example/photo/2", "둘"),
        ("https://site.example/i/3.webp", "https://site.example/photo/3", "3"),
    ]
    assert (found[0].creator, found[0].license) == ("Ada", "by-sa")
    assert found[1].license == ""
    assert following == "https://site.example/search/?q=x&page=2"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://creativecommons.org/licenses/by-nc-nd/2.0/", "by-nc-nd"),
        ("http://www.creativecommons.org/licenses/by/4.0/deed.de", "by"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "pdm"),
        ("https://creativecommons.org.evil.example/licenses/by/4.0/", ""),
        ("https://creativecommons.org/licenses/by-nd-nc/1.0/", "by-nc-nd"),
        ("https://example.org/licenses/by/4.0/", ""),
        ("", ""),
    ],
)
def test_a_licence_is_known_by_its_address(url: str, name: str) -> None:
    assert license_name(url) == name


@pytest.mark.parametrize(
    "image",
    [
        *(f'<img src="grey.gif" {name}="large.jpg">' for name in LAZY_ATTRIBUTES),
        *(f'<img src="small.jpg" {name}="small.jpg 320w, large.jpg 1280w">' for name in SRCSET_ATTRIBUTES),
        *(f'<picture><source {name}="large.jpg 2x"><img src="small.jpg"></picture>' for name in SRCSET_ATTRIBUTES),
    ],
)
def test_a_results_page_and_a_website_find_the_same_lazy_images(image: str) -> None:
    html, url = f'<html><a href="/photo/1">{image}</a></html>'.encode(), "https://site.example/search/"
    assert [picture.image_url for picture in read_page(html, url).hits] == ["https://site.example/search/large.jpg"]
    found, _following = results_page.parse(html, url)
    assert [picture.image_url for picture in found] == ["https://site.example/search/large.jpg"]
