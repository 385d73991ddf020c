import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.url_identity import canonical_url, image_key


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("HTTP://Pics.Example:80/A.jpg#top", "http://pics.example/A.jpg"),
        ("https://pics.example:443/a.jpg?utm_source=x&w=3&utm_medium=y", "https://pics.example/a.jpg?w=3"),
        ("https://pics.example?utm_source=x", "https://pics.example/"),
        ("https://pics.example/a.jpg?b=2&a=%7E1&&c", "https://pics.example/a.jpg?b=2&a=%7E1&&c"),
        ("https://pics.example/a.jpg?", "https://pics.example/a.jpg?"),
        ("https://pics.example:8443/한글.jpg", "https://pics.example:8443/한글.jpg"),
    ],
)
def test_one_address_has_one_spelling(url: str, same: str) -> None:
    assert canonical_url(url) == same


@pytest.mark.parametrize(
    "url",
    [
        "folder:Cat/A#1.jpg",
        "http://user:pass@Pics.example/a",
        "http://Pics.example\\@other/a",
        "http://Pics.example/a b",
        "ht\ntp://Pics.example/",
        "http://[::1]:80/",
        "http:///Pics",
        "javascript:alert(1)",
        "http://Pics.example:808080/",
        "",
    ],
)
def test_what_may_be_read_in_two_ways_stays_to_the_letter(url: str) -> None:
    assert canonical_url(url) == url


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-zA-Z.]{1,9}(:(80|443))?(/|\?)[ -~]{0,30}", fullmatch=True))
def test_a_spelling_is_final(url: str) -> None:
    assert canonical_url(canonical_url(url)) == canonical_url(url)


@pytest.mark.parametrize(
    "urls",
    [
        (
            "https://live.staticflickr.com/7872/40450892043_4fe244e8a1_b.jpg",
            "https://live.staticflickr.com/7872/40450892043_4fe244e8a1.jpg",
            "http://farm8.staticflickr.com/7872/40450892043_0123456789_o.png",
        ),
        (
            "https://upload.wikimedia.org/wikipedia/commons/3/3d/Bear_%28x%29.jpg",
            "https://upload.wikimedia.org/wikipedia/commons/thumb/3/3d/Bear_%28x%29.jpg/960px-Bear_%28x%29.jpg",
        ),
        (
            "https://inaturalist-open-data.s3.amazonaws.com/photos/12/medium.jpg",
            "https://inaturalist-open-data.s3.amazonaws.com/photos/12/original.jpeg",
            "https://static.inaturalist.org/photos/12/square.jpg",
        ),
    ],
)
def test_sizes_of_one_picture_are_one_picture(urls) -> None:
    assert len({image_key(url) for url in urls}) == 1


def test_other_pictures_are_others() -> None:
    urls = [
        "https://live.staticflickr.com/7872/40450892043_4fe244e8a1_b.jpg",
        "https://live.staticflickr.com/7872/40450892044_4fe244e8a1_b.jpg",
        "https://live.staticflickr.com.evil.example/7872/40450892043_4fe244e8a1_b.jpg",
        "https://upload.wikimedia.org/wikipedia/commons/3/3d/Bear.jpg",
        "https://upload.wikimedia.org/wikipedia/en/3/3d/Bear.jpg",
        "https://inaturalist-open-data.s3.amazonaws.com/photos/12/medium.jpg",
        "https://inaturalist-open-data.s3.amazonaws.com/photos/13/medium.jpg",
    ]
    assert len({image_key(url) for url in urls}) == len(urls)
