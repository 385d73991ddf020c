"""The review page's server, without a browser."""

import io
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests
from PIL import Image

from workspace.catalog.records import Hit, Override, Verdict


@pytest.fixture
def ask(address: str) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.get(address, timeout=30)
        session.base = address.partition("/?")[0]
        session.headers["origin"] = session.base
        yield session


def decide(ask, sha256: str, action: str, *, label: str = "cat", **more: str) -> requests.Response:
    change = {"sha256": sha256, "label": label, "action": action, **more}
    return ask.post(f"{ask.base}/api/decide", json={"changes": [change]}, timeout=30)


def pictures(ask, label: str) -> list[dict[str, object]]:
    return ask.get(f"{ask.base}/api/pictures", params={"label": label}, timeout=30).json()


def test_pictures_come_by_suspicion_and_the_dropped_last(ask, reviewed) -> None:
    got = pictures(ask, "cat")
    assert [one["sha256"] for one in got] == [*reviewed.cats, "00" * 32]
    assert (got[0]["reason"], got[-1]["reason"], got[-1]["picture"]) == ("off_topic", "truncated", False)


def test_a_decision_survives_a_re_crawl_and_beats_every_verdict(ask, reviewed) -> None:
    sha = reviewed.cats[0]
    assert decide(ask, sha, "keep").json()["results"][0]["made"]
    with reviewed.workspace.open_catalog() as catalog:
        catalog.replace_verdicts(["curate"], [Verdict(sha, "cat", "curate", "drop", "off_topic", 0.0)])
        catalog.add_new([Hit("cat", "cat", "openverse", 0, "https://pictures.test/cat/0", title="again")])
    assert (sha, "cat") in reviewed.kept()
    assert reviewed.overrides() == {(sha, "cat"): ("keep", "")}
    shown = next(one for one in pictures(ask, "cat") if one["sha256"] == sha)
    assert (shown["verdict"], shown["mine"]["action"]) == ("drop", "keep")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"sha256": "ab" * 32, "action": "drop"}, 404),
        ({"label": "no such class", "action": "drop"}, 404),
        ({"action": "relabel", "new_label": "no such class"}, 422),
        ({"action": "relabel", "new_label": "cat"}, 422),
        ({"action": "relabel"}, 422),
        ({"action": "drop", "new_label": "dog"}, 422),
        ({"action": "delete"}, 422),
        ({"sha256": "../../etc/passwd", "action": "drop"}, 422),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(ask, reviewed, change, status) -> None:
    answer = decide(ask, **({"sha256": reviewed.cats[0]} | change))
    assert answer.status_code == status
    assert reviewed.overrides() == {}


def test_thumbnails_are_jpegs_of_the_cache_that_browsers_may_keep_for_ever(ask, reviewed) -> None:
    answer = ask.get(f"{ask.base}/picture/small/{reviewed.cats[3]}.jpg", timeout=30)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(answer.content)).size == (64, 48)


@pytest.mark.parametrize(
    "path", ["small/" + "00" * 32, "small/..%2f..%2fcatalog", "huge/" + "00" * 32, "small/" + "AB" * 32]
)
def test_what_is_no_picture_is_not_found(ask, path) -> None:
    assert ask.get(f"{ask.base}/picture/{path}.jpg", timeout=30).status_code == 404


def test_details_tell_kin_neighbours_and_links_that_are_safe(ask, reviewed) -> None:
    sha = reviewed.cats[1]
    got = ask.get(f"{ask.base}/api/picture", params={"sha256": sha, "label": "cat"}, timeout=30).json()
    assert [one["sha256"] for one in got["group"]] == [reviewed.cats[2]]
    assert len(got["neighbours"]) == 8
    assert sha not in {one["sha256"] for one in got["neighbours"]}
    assert got["page"] == "https://pictures.test/cat/1"  # the other address is a script
    assert got["license"] == "CC BY"


def test_the_page_sees_what_a_step_has_written_since(ask, reviewed) -> None:
    assert len(pictures(ask, "dog")) == 6
    reviewed.add("dog", 9)
    assert len(pictures(ask, "dog")) == 9


def test_a_picture_moved_twice_is_where_it_was_put_last(ask, reviewed) -> None:
    sha = reviewed.cats[0]
    first = decide(ask, sha, "relabel", new_label="dog").json()["results"][0]["mine"]
    assert [one["label"] for one in pictures(ask, "dog") if one["sha256"] == sha] == ["cat"]
    decide(ask, sha, "relabel", new_label="<b>ox", seen=first["made_at"])
    assert sha not in {one["sha256"] for one in pictures(ask, "dog")}
    assert sha in {one["sha256"] for one in pictures(ask, "<b>ox")}
    with reviewed.workspace.open_catalog() as catalog:
        assert [(one.action, one.new_label) for one in catalog.all(Override)] == [("relabel", "<b>ox")]


def test_it_opens_on_the_class_with_most_to_look_at(ask, reviewed) -> None:
    def first() -> str:
        return ask.get(f"{ask.base}/api/classes", timeout=30).json()["first"]

    assert first() == "cat"
    assert decide(ask, reviewed.cats[0], "keep").json()["results"][0]["made"]
    assert first() == "dog"  # of two classes with as many, the larger


def test_the_page_loads_no_network_library() -> None:
    loaded = (
        "import sys, pages.review, pages.local_auth; print(*{'torch', 'timm', 'scipy', 'prefect'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
