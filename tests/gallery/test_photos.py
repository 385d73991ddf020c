import json
import unicodedata
from pathlib import Path

import pytest
import requests
from PIL import Image

from gallery.site import Gallery

FIXTURES = Path(__file__).parents[2].parent / "shared" / "fixtures" / "openverse"


def search(gallery: Gallery, **parameters: object) -> dict[str, object]:
    answer = requests.get(gallery.openverse_url + "/images/", params=parameters, timeout=30)
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # As macOS stores it: decomposed. The keyword is typed composed.
    for label, colour in ((unicodedata.normalize("NFD", "고양이"), "red"), ("Red Panda", "blue")):
        (tmp_path / label).mkdir()
        for n in range(3):
            Image.new("RGB", (40 + n, 30), colour).save(tmp_path / label / f"{n}.jpg", "WEBP" if n == 1 else "JPEG")
    (tmp_path / "Red Panda" / "notes.txt").write_text("no picture")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "loose.jpg").write_bytes(b"")
    return tmp_path


def test_photos_are_found_by_their_folders_name_in_any_form(folder):
    with Gallery.photos(folder) as gallery:
        assert set(gallery.keywords) == {"고양이", "Red Panda"}
        for query in ("고양이", unicodedata.normalize("NFD", "고양이")):
            answer = search(gallery, q=query)
            assert answer["result_count"] == 3
            served = [requests.get(r["url"], timeout=30).content for r in answer["results"]]
            class_folder = folder / unicodedata.normalize("NFD", "고양이")
            assert served == [p.read_bytes() for p in sorted(class_folder.iterdir())]
            assert [r["width"] for r in answer["results"]] == [40, 41, 42]
        assert search(gallery, q="red panda")["result_count"] == 4
        assert {p.kind for p in gallery.truth()} == {"honest"}
        assert len(gallery.truth()) == 7
        page = requests.get(gallery.results_url.format(keyword="고양이", page=1), timeout=30)
        assert page.text.count("<figure") == 3


def test_nothing_is_invented_about_a_photos_maker_or_licence(folder):
    with Gallery.photos(folder) as gallery:
        result = search(gallery, q="Red Panda")["results"][0]
        assert [result[k] for k in ("creator", "license", "license_url", "attribution")] == [None] * 4


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no photos"):
        Gallery.photos(tmp_path)
    with pytest.raises(FileNotFoundError, match="no recorded answer"):
        Gallery.recorded(tmp_path)


def recorded(identity: str, licence: str) -> dict[str, object]:
    return {
        "id": identity,
        "title": f"Title {identity}",
        "creator": "Someone",
        "license": licence,
        "license_version": "2.0",
        "license_url": f"https://creativecommons.org/licenses/{licence}/2.0/",
        "foreign_landing_url": f"https://example.org/{identity}",
        "url": f"https://example.org/{identity}.jpg",
        "thumbnail": f"http://localhost:49153/v1/images/{identity}/thumb/",
        "fields_matched": ["title"],
    }


def write_answer(folder: Path, name: str, results: list[dict[str, object]]) -> None:
    (folder / "search").mkdir(exist_ok=True)
    answer = {"result_count": 999, "page_count": 50, "page_size": 20, "page": 1, "results": results}
    (folder / "search" / f"search_images_{name}.json").write_text(json.dumps(answer))


def test_recorded_pages_are_merged_paged_anew_and_keep_what_they_say(tmp_path):
    a, b, c, d = (recorded(i, licence) for i, licence in (("a", "by"), ("b", "cc0"), ("c", "by-nd"), ("d", "by")))
    write_answer(tmp_path, "q=cat&license=by_close", [d, a])
    write_answer(tmp_path, "q=cat_close", [b, a])
    write_answer(tmp_path, "q=cat_keep-alive", [b, a, c])
    write_answer(tmp_path, "q=nothing_close", [])
    write_answer(tmp_path, "extension=jpg_close", [recorded("z", "by")])
    (tmp_path / "thumbs").mkdir()
    for identity in "abd":
        Image.new("RGB", (60, 40), "green").save(tmp_path / "thumbs" / f"{identity}.jpg")
    with Gallery.recorded(tmp_path) as gallery:
        assert gallery.keywords == ("cat",)
        assert search(gallery, q="nothing")["result_count"] == 0
        first, second = (search(gallery, q="CAT", page=n, page_size=3) for n in (1, 2))
        assert (first["result_count"], first["page_count"]) == (4, 2)
        results = [*first["results"], *second["results"]]
        assert [r["id"] for r in results] == ["b", "a", "c", "d"]  # the plain query's first
        for result, original in zip(results, (b, a, c, d), strict=True):
            assert {k for k in original if result[k] != original[k]} == {"url", "thumbnail"}
            path = tmp_path / "thumbs" / f"{original['id']}.jpg"
            for address in (result["url"], result["thumbnail"]):
                assert address.startswith(gallery.base_url)
                answer = requests.get(address, timeout=30)
                assert answer.status_code == (200 if path.exists() else 404)
                assert not path.exists() or answer.content == path.read_bytes()
        assert search(gallery, q="cat", license="by-nd")["result_count"] == 1
        page = requests.get(gallery.results_url.format(keyword="cat", page=1), timeout=30)
        assert page.text.count("<figure") == 4


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no recorded Openverse answers at {FIXTURES}")
def test_the_real_recordings_are_served():
    with Gallery.recorded(FIXTURES) as gallery:
        assert gallery.keywords == ("birds", "cat", "dog", "galah", "honey")
        found, dead = 0, 0
        for keyword in gallery.keywords:
            pages = search(gallery, q=keyword)["page_count"]
            for page in range(1, pages + 1):
                for result in search(gallery, q=keyword, page=page)["results"]:
                    assert result["license"]
                    assert result["foreign_landing_url"].startswith("http")
                    found += 1
                    dead += requests.head(result["url"], timeout=30).status_code == 404
        assert found == len({(p.keyword, p.url_path) for p in gallery.truth()})
        assert (found, dead) == (220, 12)
        assert search(gallery, q="243f6a8885a308d3")["result_count"] == 0
