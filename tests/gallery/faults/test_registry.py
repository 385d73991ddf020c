import threading
import time
from collections.abc import Iterator

import pytest
import requests

from gallery.site import Gallery


@pytest.fixture(scope="module")
def gallery() -> Iterator[Gallery]:
    with Gallery.rendered(per_class=6) as gallery:
        gallery.hang_s, gallery.drip_s = 5.0, 0.05
        yield gallery


@pytest.fixture(scope="module")
def picture(gallery: Gallery) -> tuple[str, bytes]:
    """An honest picture's name and bytes."""
    path = next(p.url_path for p in gallery.truth() if p.kind == "honest")
    return path.rpartition("/")[2], requests.get(gallery.base_url + path, timeout=30).content


def meet(gallery: Gallery, kind: str, picture: tuple[str, bytes], **options: object) -> requests.Response:
    return requests.get(f"{gallery.base_url}/fault/{kind}/{picture[0]}", **{"timeout": 30, **options})


def test_hang_sends_nothing_for_a_while(gallery, picture):
    with pytest.raises(requests.ReadTimeout):
        meet(gallery, "hang", picture, timeout=0.3)


def test_drip_sends_a_byte_at_a_time(gallery, picture):
    start = time.monotonic()
    with meet(gallery, "drip", picture, stream=True) as answer:
        assert int(answer.headers["Content-Length"]) == len(picture[1])
        got = b"".join(answer.raw.read(1) for _ in range(4))
    assert got == picture[1][:4]
    assert time.monotonic() - start > 0.15


@pytest.mark.parametrize("kind", ["reset", "early_close"])
def test_a_broken_transfer_ends_before_its_promised_length(gallery, picture, kind):
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)) as error:
        meet(gallery, kind, picture)
    assert ("reset" in str(error.value).lower()) == (kind == "reset")


def test_busy_and_broken_servers_recover_after_the_first_request_if_asked_to(gallery, picture):
    first, second = (meet(gallery, "busy_once", picture) for _ in range(2))
    assert (first.status_code, first.headers["Retry-After"]) == (429, "1")
    assert (second.status_code, second.content) == (200, picture[1])
    first, second = (meet(gallery, "500_once", picture) for _ in range(2))
    assert (first.status_code, second.content) == (500, picture[1])
    for kind, status in (("429", 429), ("500", 500), ("403", 403)):
        assert [meet(gallery, kind, picture).status_code for _ in range(2)] == [status] * 2


def test_redirects_that_lead_nowhere(gallery, picture):
    with pytest.raises(requests.TooManyRedirects):
        meet(gallery, "redirect_loop", picture)
    private = meet(gallery, "redirect_private", picture, allow_redirects=False)
    assert (private.status_code, private.headers["Location"]) == (302, f"http://10.0.0.1/{picture[0]}")


def test_bodies_that_never_fit(gallery, picture):
    with meet(gallery, "gzip_bomb", picture, stream=True) as bomb:
        assert bomb.headers["Content-Encoding"] == "gzip"
        assert int(bomb.headers["Content-Length"]) < 4 << 20
        assert sum(len(block) for block, _ in zip(bomb.iter_content(1 << 20), range(20), strict=False)) == 20 << 20
    with meet(gallery, "endless", picture, stream=True) as endless:
        assert "Content-Length" not in endless.headers
        assert len(endless.raw.read(len(picture[1]) + 300_000)) == len(picture[1]) + 300_000


def test_svg_is_no_raster_picture(gallery, picture):
    answer = meet(gallery, "svg", picture)
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.content.startswith(b"<svg")


def test_misbehaviour_by_prefix_strikes_so_many_times(gallery, picture):
    gallery.misbehave("/images/", "500", times=2)
    gallery.misbehave("/v1/images/?q=teapot", "429")
    url = f"{gallery.base_url}/images/{picture[0]}"
    assert [requests.get(url, timeout=30).status_code for _ in range(3)] == [500, 500, 200]
    search = gallery.openverse_url + "/images/?q="
    assert [requests.get(search + q, timeout=30).status_code for q in ("sailboat", "teapot", "teapot")] == [
        200,
        429,
        200,
    ]
    with pytest.raises(ValueError, match="unknown fault 'sulk'; known: hang, hang_in_body, drip"):
        gallery.misbehave("/", "sulk")


def test_pictures_can_be_slow(gallery, picture):
    gallery.delay_s = 0.3
    start = time.monotonic()
    answer = requests.get(f"{gallery.base_url}/images/{picture[0]}", timeout=30)
    gallery.delay_s = 0.0
    assert answer.content == picture[1]
    assert time.monotonic() - start >= 0.3


def test_stopping_ends_every_request_under_way():
    before = set(threading.enumerate())
    with Gallery.rendered(per_class=6) as gallery:
        name = gallery.truth()[0].url_path.rpartition("/")[2]
        outcomes = []

        def ask(kind: str) -> None:
            try:
                requests.get(f"{gallery.base_url}/fault/{kind}/{name}", timeout=30)
            except requests.RequestException as error:
                outcomes.append(type(error).__name__)
            else:
                outcomes.append("answered")

        threads = [threading.Thread(target=ask, args=(kind,)) for kind in ("hang", "drip", "endless")]
        for thread in threads:
            thread.start()
        while gallery.requests["image"] < 3:
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert len(outcomes) == 3
    assert set(threading.enumerate()) <= before  # a fault that goes on keeps its thread


def test_serve_forever_needs_an_open_site_and_ends_with_it():
    gallery = Gallery.rendered(per_class=6)
    with pytest.raises(RuntimeError, match="before it is open"):
        gallery.serve_forever()
    with gallery:
        thread = threading.Thread(target=gallery.serve_forever)
        thread.start()
        assert thread.is_alive()
    thread.join(timeout=60)
    assert not thread.is_alive()
