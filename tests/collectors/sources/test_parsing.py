"""Each source's `parse` against recorded answers of the real service, or answers of its documented shape."""

import json
from pathlib import Path

import pytest

from collectors.sources.apis import flickr, gbif, inaturalist, kakao, naver, openverse, wikimedia
from collectors.sources.base import SearchHit
from collectors.sources.html import bing
from collectors.sources.parsing import pixels, plain_text, read_json
from workspace.errors import SourceFailed
from workspace.licenses import license_from

FIXTURES = Path(__file__).resolve().parents[3].parent / "shared" / "fixtures"
recorded = pytest.mark.skipif(not FIXTURES.is_dir(), reason="no recorded answers in ../shared/fixtures")
BY_SA = "https://creativecommons.org/licenses/by-sa/4.0/"
LICENSES = {"0": "", "1": "https://creativecommons.org/licenses/by-nc-sa/2.0/", "4": BY_SA.replace("-sa/4", "/2")}


def load(name: str) -> object:
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


@recorded
def test_commons_of_2026_without_campaign_parameters_and_with_the_scaled_picture() -> None:
    found, following = wikimedia.parse(load("recorded_2026/commons_generator_search.json"))
    assert following == {"gsroffset": "3", "continue": "gsroffset||"}
    base = "https://upload.wikimedia.org/wikipedia/commons"
    assert [picture.image_url for picture in found] == [
        f"{base}/0/0c/Mitochondria%2C_mammalian_lung_-_TEM.jpg",  # 640 px wide: as it is
        f"{base}/thumb/9/95/Mitoc%C3%B4ndria_11.jpg/960px-Mitoc%C3%B4ndria_11.jpg",
        f"{base}/4/4b/Mitochondria_9_--_Smart-Servier.png",
    ]
    assert [(picture.license, picture.creator) for picture in found] == [
        ("pdm", "Louisa Howard"),
        ("by-sa", "Beatrizhnobrega"),
        ("", ""),
    ]
    assert (found[0].width, found[0].height) == (640, 480)
    assert found[1].title == "Mitocôndria 11"
    assert found[1].page_url == "https://commons.wikimedia.org/wiki/File:Mitoc%C3%B4ndria_11.jpg"


@recorded
def test_commons_pages_without_imageinfo_are_left_out_and_the_continuation_is_kept() -> None:
    assert wikimedia.parse(load("wikimedia/response_small_with_continue.json")) == (
        (),
        {"continue": "gaicontinue||", "gaicontinue": "next.jpg"},
    )
    assert wikimedia.parse(load("wikimedia/response_small_no_continue.json")) == ((), {})
    assert wikimedia.parse(load("wikimedia/response_small_missing_continue.json")) == ((), {})
    found, _ = wikimedia.parse(load("wikimedia/response_large_1.json"))
    assert found[0].creator == "Alice Bobby"


@recorded
@pytest.mark.parametrize(
    ("file", "creator"),
    [
        ("div", "Jona Lendering"),
        ("internal_link", "NotaRealUser"),
        ("link", "link text"),
        ("partial_link", "Jeff & Brian from Eastbourne"),
        ("string", "Artist Name"),
    ],
)
def test_commons_artists_are_text(file: str, creator: str) -> None:
    info = load(f"wikimedia/image_info_artist_{file}.json") | {"url": "https://upload.wikimedia.org/x.jpg"}
    found, _ = wikimedia.parse({"query": {"pages": [{"title": "File:X.jpg", "imageinfo": [info]}]}})
    assert found[0].creator == creator


def test_commons_keeps_only_pictures_in_the_order_of_the_search() -> None:
    def page(index: int, mime: str) -> dict[str, object]:
        info = {"url": f"https://u/{index}", "mime": mime, "width": 100, "height": 50, "user": "U"}
        return {"index": index, "title": f"File:T{index}.jpg", "imageinfo": [info]}

    pages = {"9": page(2, "image/jpeg"), "1": page(3, "image/svg+xml"), "5": page(1, "image/png")}
    found, _ = wikimedia.parse({"query": {"pages": pages}})
    assert [(picture.image_url, picture.title, picture.creator) for picture in found] == [
        ("https://u/1", "T1", "U"),
        ("https://u/2", "T2", "U"),
    ]


@pytest.mark.parametrize(("code", "reason"), [("ratelimited", "rate_limited"), ("badvalue", "changed")])
def test_commons_errors_are_no_empty_answers(code: str, reason: str) -> None:
    with pytest.raises(SourceFailed, match=code) as caught:
        wikimedia.parse({"error": {"code": code, "info": "…"}})
    assert caught.value.reason == reason


@recorded
def test_openverse_of_2026_with_a_picture_whose_licence_is_not_known() -> None:
    found, pages = openverse.parse(load("recorded_2026/openverse_images.json"))
    assert pages == 58
    assert [picture.license for picture in found] == ["by", "by", ""]


@recorded
def test_flickr_photo_list_has_owner_page_size_and_licence() -> None:
    answer = load("flickr/flickr_example_pretty.json")
    found, pages = flickr.parse(answer, LICENSES)
    assert (len(found), pages) == (len(answer["photos"]["photo"]), 1)
    assert found[0] == SearchHit(
        "https://live.staticflickr.com/65535/49514337848_bbdbb5f761_b.jpg",
        "https://www.flickr.com/photos/7478087@N06/49514337848",
        "Warsy (église) • 7433",
        "markustrois",
        "by-nc-sa",
        LICENSES["1"],
        "",
        660,
        1024,
    )


@recorded
def test_flickr_takes_the_largest_size_that_there_is() -> None:
    names = ("with_large_url_available", "with_med_url_available", "with_small_url_available", "no_image_url")
    photos = [load(f"flickr/image_data_{name}.json") for name in names]
    found, _ = flickr.parse({"stat": "ok", "photos": {"pages": 1, "photo": photos}}, LICENSES)
    assert [picture.image_url for picture in found] == [
        photo[key] for photo, key in zip(photos, ("url_l", "url_m", "url_s"), strict=False)
    ]
    assert all(picture.width and picture.height for picture in found)


@pytest.mark.parametrize(("code", "reason"), [(100, "needs_key"), (105, "unreachable"), (112, "changed")])
def test_flickr_errors_come_with_status_200_and_are_no_empty_answers(code: int, reason: str) -> None:
    with pytest.raises(SourceFailed) as caught:
        flickr.parse({"stat": "fail", "code": code, "message": "Invalid API Key"}, {})
    assert caught.value.reason == reason


@recorded
def test_naver_sizes_are_texts_and_titles_carry_markup() -> None:
    found, total = naver.parse(load("naver/image_search_response.json"))
    assert (len(found), total) == (10, 3815005)
    assert (found[0].width, found[0].height) == (500, 313)
    assert found[0].image_url.startswith("http://imgnews.naver.net/")
    assert not any("<" in picture.title or "&" in picture.title for picture in found)
    marked = {
        "items": [{"link": "https://p/1.jpg", "title": "<b>고양이</b> &amp; 개", "sizewidth": "", "sizeheight": "0"}]
    }
    assert naver.parse(marked | {"total": 1})[0][0] == SearchHit("https://p/1.jpg", title="고양이 & 개")


def test_kakao_gives_page_and_size() -> None:
    row = {
        "collection": "blog",
        "image_url": "https://p.example/1.jpg",
        "width": 640,
        "height": 480,
        "display_sitename": "네이버블로그",
        "doc_url": "https://blog.example/1",
    }
    answer = {
        "meta": {"total_count": 9, "pageable_count": 9, "is_end": False},
        "documents": [row, row | {"image_url": ""}],
    }
    assert kakao.parse(answer) == (
        (SearchHit("https://p.example/1.jpg", "https://blog.example/1", "네이버블로그", width=640, height=480),),
        False,
    )


def test_inaturalist_gives_the_medium_size_and_the_last_id() -> None:
    photo = {
        "id": 5,
        "license_code": "cc-by-nc",
        "url": "https://inaturalist-open-data.s3.amazonaws.com/photos/5/square.jpeg",
        "attribution": "(c) Ada, some rights reserved (CC BY-NC)",
        "original_dimensions": {"width": 2048, "height": 1536},
    }
    row = {
        "id": 77,
        "uri": "https://www.inaturalist.org/observations/77",
        "taxon": {"name": "Ailurus fulgens", "preferred_common_name": "Red Panda"},
        "user": {"login": "ada", "name": "Ada"},
        "photos": [photo, photo | {"license_code": None, "url": "https://static/photos/6/square.jpg"}],
    }
    found, last, total = inaturalist.parse({"total_results": 3, "results": [row]})
    assert (last, total) == (77, 3)
    assert found[0] == SearchHit(
        "https://inaturalist-open-data.s3.amazonaws.com/photos/5/medium.jpeg",
        "https://www.inaturalist.org/observations/77",
        "Red Panda",
        "Ada",
        "by-nc",
        "",
        "(c) Ada, some rights reserved (CC BY-NC)",
        500,
        375,
    )
    assert found[1].license == ""
    assert inaturalist.parse({"total_results": 1, "results": [row]})[1] is None


def test_gbif_gives_still_images_with_their_own_licence() -> None:
    media = [
        {
            "type": "StillImage",
            "format": "image/jpeg",
            "identifier": "https://m/1.jpg",
            "license": BY_SA,
            "creator": "A",
        },
        {"type": "Sound", "identifier": "https://m/2.mp3"},
        {"type": "StillImage", "format": "text/html", "identifier": "https://m/page"},
        {
            "identifier": "https://m/3.jpg",
            "license": "CC_BY_NC_4_0",
            "rightsHolder": "Museum",
            "references": "https://m/3",
        },
        {"type": "StillImage"},
    ]
    answer = {
        "offset": 0,
        "endOfRecords": False,
        "count": 800,
        "results": [{"key": 12, "scientificName": "Ailurus fulgens F. Cuvier", "media": media}, {"key": 13}],
    }
    found, total, at_end = gbif.parse(answer)
    assert (total, at_end) == (800, False)
    title = "Ailurus fulgens F. Cuvier"
    assert found == (
        SearchHit("https://m/1.jpg", "https://www.gbif.org/occurrence/12", title, "A", "by-sa", BY_SA),
        SearchHit("https://m/3.jpg", "https://m/3", title, "Museum", "by-nc"),
    )


@recorded
def test_bing_tiles_as_recorded() -> None:
    found = bing.parse((FIXTURES / "bing/iusc_two_cards.html").read_bytes())
    assert [picture.image_url for picture in found] == [
        "http://wenhui.whb.cn/u/cms/www/202211/03155700yjdk.jpg",
        "https://x0.ifengimg.com/res/2024/84F0A598897E0953577D43138C1D2E5CFE56371E_size303_w1879_h1280.jpg",
    ]
    assert found[1].title == "从《繁花》看上海出品"
    assert found[0].page_url == "https://wenhui.whb.cn/zhuzhan/yingshi/20221103/493588.html"


def test_a_broken_bing_tile_costs_only_itself_and_sizes_come_from_its_link() -> None:
    good = '{"murl":"https://p/1.jpg","purl":"https://s/1","t":"A &amp; B"}'.replace('"', "&quot;")
    html = (
        f'<a class="iusc" m="{good}" href="/images/search?view=detailV2&amp;exph=480&amp;expw=640"></a>'
        '<a class="iusc" m="{broken"></a><a class="iusc"></a><a class="iusc" m="{}"></a><a class="iusc" m="[]"></a>'
    )
    assert bing.parse(html.encode()) == (SearchHit("https://p/1.jpg", "https://s/1", "A & B", width=640, height=480),)


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        (b"<html><div class='newtile' data-m='{}'></div></html>", "changed"),
        (b'<a class="iusc" m="{}"></a>', "changed"),
        (b"", "changed"),
        (b"<html><form id='captcha'>Please solve the challenge</form></html>", "captcha"),
    ],
)
def test_a_page_of_bing_without_tiles_is_no_empty_answer_unless_it_says_so(html: bytes, reason: str) -> None:
    with pytest.raises(SourceFailed) as caught:
        bing.parse(html)
    assert caught.value.reason == reason
    assert bing.parse(b"<html><h2>There are no results for <b>xqzw</b></h2></html>") == ()


PARSERS = [wikimedia.parse, gbif.parse, inaturalist.parse, kakao.parse, naver.parse, flickr.parse_licenses]
STRANGE = [
    {},
    [],
    None,
    "x",
    3,
    {"results": 3},
    {"items": "x", "total": 1},
    {"documents": [1], "meta": {}},
    {"query": 3},
]


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__module__)
@pytest.mark.parametrize("payload", STRANGE, ids=str)
def test_an_answer_of_another_shape_is_a_changed_source(parse, payload: object) -> None:
    with pytest.raises(SourceFailed) as caught:
        parse(payload)
    assert caught.value.reason == "changed"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CC BY-SA 4.0", "by-sa"),
        ("cc-by-nc", "by-nc"),
        ("CC_BY_NC_4_0", "by-nc"),
        ("cc-by-nd-nc-1.0", "by-nc-nd"),
        ("CC BY 2.0", "by"),
        ("CC0", "cc0"),
        ("cc-zero", "cc0"),
        ("CC0_1_0", "cc0"),
        ("Public domain", "pdm"),
        ("pd", "pdm"),
        ("PD-old-100", "pdm"),
        ("Creative Commons Attribution Non Commercial 4.0", "by-nc"),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported", "by-sa"),
        ("https://creativecommons.org/licenses/by-sa/4.0", "by-sa"),
        ("https://www.gnu.org/copyleft/fdl.html", ""),
        ("GFDL", ""),
        ("© by the museum", ""),
        ("byline required", ""),
        ("All rights reserved", ""),
        ("", ""),
    ],
)
def test_licences_by_their_many_names(text: str, name: str) -> None:
    assert license_from(text) == name


def test_text_of_strangers_can_be_stored() -> None:
    assert read_json(b'{"t": "\\ud83d x \\ud83d\\ude00"}') == {"t": "? x 😀"}
    assert read_json(b'{"t\\u0000": ["a\\u0000\\u0000b", "\\u0000", "a\\\\u0000", "\\\\\\u0000c"]}') == {
        "t": ["ab", "", r"a\u0000", "\\c"]
    }
    with pytest.raises(ValueError, match="nested"):
        read_json(b"[" * 200_000)
    assert license_from("http://[by/") == ""
    assert pixels("9" * 5000) is None


def test_fields_are_text_and_sizes_are_numbers() -> None:
    assert plain_text('<span style="display:none">x</span>A&nbsp;<b>B</b>\n &amp; C') == "A B & C"
    assert plain_text("https://looks.like/a/file.html") == "https://looks.like/a/file.html"
    assert plain_text(None) == ""
    assert plain_text("<i>a\0</i> b\0") == "a b"
    assert [pixels(value) for value in (640, "480", "0", "", None, "x", -3, 1.5, "٣")] == [640, 480] + [None] * 7
