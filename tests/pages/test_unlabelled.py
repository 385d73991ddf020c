"""Pictures that the service kept: shown as unlabelled, and one click puts one into the next training."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from collectors import inbox
from workspace.catalog.records import Download, Hit
from workspace.served.kept import KeptPicture, KeptPictures, Limits


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def keep(reviewed, number: int, data: bytes = b"", **values: object) -> str:
    data = data or _png(number)
    sha256 = hashlib.sha256(data).hexdigest()
    at = f"2026-01-02T03:04:{number:02}+00:00"
    facts = {"sha256": sha256, "suffix": ".png", "bytes": len(data), "kept_at": at, "run_id": "r1"}
    record = KeptPicture(version=1, **(facts | {"best": "dog", "probability": 0.4 + number / 100} | values))
    assert KeptPictures(reviewed.workspace).keep(record, data, Limits(100, 10**9))
    return sha256


@pytest.fixture
def session(address) -> tuple[requests.Session, str]:
    made = requests.Session()
    made.get(address, timeout=30)
    origin = address.split("/?")[0]
    made.headers["origin"] = origin
    return made, origin


def test_a_decision_puts_it_into_the_inbox_and_training_takes_it_from_there(reviewed, session) -> None:
    sha, other = keep(reviewed, 1, url="https://x.test/1.png"), keep(reviewed, 2, none="unsure: dog 0.42")
    made, origin = session
    assert "2 unlabelled pictures of the service" in made.get(origin, timeout=30).text
    listed = made.get(f"{origin}/api/unlabelled", timeout=30).json()
    assert listed["waiting"] == 2 and [one["sha256"] for one in listed["pictures"]] == [other, sha]
    jpeg = made.get(f"{origin}/unlabelled/{sha}.jpg", timeout=60)
    assert jpeg.headers["content-type"] == "image/jpeg" and jpeg.content.startswith(b"\xff\xd8")
    assert made.post(f"{origin}/api/unlabelled", json={"sha256": sha, "label": "cow"}, timeout=30).status_code == 422
    assert made.post(f"{origin}/api/unlabelled", json={"sha256": "../x", "label": "cat"}, timeout=30).status_code == 422
    done = made.post(f"{origin}/api/unlabelled", json={"sha256": sha, "label": "cat"}, timeout=30).json()
    assert done == {"done": True, "waiting": 1}
    again = made.post(f"{origin}/api/unlabelled", json={"sha256": sha, "label": "dog"}, timeout=30).json()
    assert again == {"done": False, "waiting": 1}
    gone = made.post(f"{origin}/api/unlabelled", json={"sha256": other, "label": ""}, timeout=30).json()
    assert gone == {"done": True, "waiting": 0}
    assert made.get(f"{origin}/unlabelled/{'0' * 64}.jpg", timeout=30).status_code == 404

    config = reviewed.config.model_copy(update={"retrain": reviewed.config.retrain.model_copy(update={"settle_s": 0})})
    assert inbox.run(reviewed.workspace, config).done == 1
    with reviewed.workspace.open_catalog() as catalog:
        (hit,) = [hit for hit in catalog.all(Hit) if hit.source == "inbox"]
        (row,) = [row for row in catalog.all(Download) if row.image_url == hit.image_url]
    assert (hit.label, hit.title) == ("cat", "served 2026-01-02T03:04:01+00:00")
    assert hit.page_url == "https://x.test/1.png" and (row.status, row.sha256) == ("ok", sha)


def test_a_picture_is_shown_when_it_is_there_and_no_more_once_it_is_withdrawn(reviewed, session) -> None:
    made, origin = session
    sha = hashlib.sha256(_png(4)).hexdigest()
    url = f"{origin}/unlabelled/{sha}.jpg"
    assert made.get(url, timeout=30).status_code == 404  # the page was open before the service kept it
    assert keep(reviewed, 4) == sha
    assert made.get(url, timeout=60).status_code == 200
    kept = KeptPictures(reviewed.workspace)  # another process, as `forget --file` is
    kept.delete(kept.matching({sha}, set()))
    assert made.get(url, timeout=30).status_code == 404
    assert made.get(f"{origin}/unlabelled/{'é' * 64}.jpg", timeout=30).status_code == 404


def test_strangers_are_not_let_in(reviewed, session) -> None:
    _, origin = session
    assert requests.get(f"{origin}/api/unlabelled", timeout=30).status_code == 403
    assert requests.post(f"{origin}/api/unlabelled", json={}, timeout=30).status_code == 403


def test_a_person_decides_with_one_click(reviewed, chromium, address, tmp_path: Path) -> None:
    first, second = keep(reviewed, 1), keep(reviewed, 2, best="<b>ox")
    broken = keep(reviewed, 3, b"\x89PNG\r\n\x1a\n cut off", probability=0.9)
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    page.goto(address)
    page.get_by_role("link", name="3 unlabelled pictures of the service").click()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.locator("figure").count() == 3
    page.locator(f'[data-sha="{broken}"] .nothing').wait_for()
    page.locator(f'[data-sha="{first}"] img').evaluate("image => image.decode()")
    assert page.locator(f'[data-sha="{second}"] button').first.inner_text() == "<b>ox"  # its guess comes first, as text
    page.locator(f'[data-sha="{second}"]').get_by_role("button", name="cat").click()
    page.get_by_text("Put into cat; the next training takes it in.").wait_for()
    page.locator(f'[data-sha="{first}"]').get_by_role("button", name="None of these").click()
    page.get_by_text("Deleted.").wait_for()
    page.locator(f'[data-sha="{broken}"]').get_by_role("button", name="None of these").click()
    page.get_by_text("Nothing is waiting.").wait_for()
    page.close()
    assert errors == []
    assert [file.name for file in (reviewed.workspace.inbox / "cat").iterdir()] == [f"served-{second}.png"]
    assert KeptPictures(reviewed.workspace).undecided() == []
