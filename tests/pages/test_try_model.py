"""The page answers a dropped picture, says none with its reason, refuses what is no picture, and keeps nothing."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser
from safetensors.torch import save_file
from torch import nn

from pages.local_auth import served_page
from pages.try_model import try_app
from training.inference.classifier import Classifier
from training.network.backbone import Backbone, Network
from training.network.registry import BACKBONES, build_network
from training.stats.calibration import Calibration
from training.stats.ood import OodLimits

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
SPEC = BACKBONES["efficientnet_lite0"]


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    folder = tmp_path_factory.mktemp("model")
    head = nn.Linear(SPEC.feature_dim, 2)
    save_file(Network(Backbone(SPEC, build_network(SPEC, 3)), head).state_dict(), folder / "model.safetensors")
    card = {
        "format": 2,
        "classes": ["ape", HOSTILE],
        "backbone": SPEC.name,
        "cache_side_px": 256,
        "trained_on": {"train": 2, "val": 1},
        "input": {"resize_px": 64, "crop_px": 64, "mean": list(SPEC.mean), "std": list(SPEC.std)},
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return Classifier.load(folder, "cpu")


@pytest.fixture
def limits(classifier: Classifier) -> Iterator[Callable[[float], None]]:
    """Set the largest distance to training pictures that all lie far away."""

    def far(limit: float) -> None:
        reference = -np.ones((6, SPEC.feature_dim), np.float16)
        classifier.calibration = Calibration(1.0, (OodLimits(0.95, 0.0, limit),), reference, 9)

    yield far
    classifier.calibration = None


def _session(address: str) -> tuple[requests.Session, str]:
    session = requests.Session()
    session.get(address, timeout=5)
    origin = address.split("/?")[0]
    session.headers["origin"] = origin
    return session, origin


def test_an_answer_has_every_class_and_none_has_its_reason(classifier, limits):
    with served_page(try_app(classifier, "apes")) as address:
        session, origin = _session(address)
        found = session.post(f"{origin}/answer", data=_png(1), timeout=20).json()
        assert found["none"] is False and found["label"] == found["best"] == found["probabilities"][0][0]
        assert sum(share for _, share in found["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert found["size"] == "90 × 80 px, PNG"
        limits(0.01)
        none = session.post(f"{origin}/answer", data=_png(1), timeout=20).json()
        assert none["none"] and none["reason"].startswith("unlike the training pictures")


def test_what_is_no_picture_or_too_large_is_refused_and_strangers_are_not_let_in(classifier):
    with served_page(try_app(classifier, "apes", max_mb=0.05)) as address:
        session, origin = _session(address)
        assert session.post(f"{origin}/answer", data=b"%PDF-1.7", timeout=5).status_code == 400
        too_large = session.post(f"{origin}/answer", data=b"\x89PNG" + bytes(60_000), timeout=5)
        assert too_large.status_code == 413 and "0.05 MB" in too_large.json()["detail"]
        assert requests.post(f"{origin}/answer", data=_png(1), timeout=5).status_code == 403


def test_a_person_chooses_a_picture_and_sees_the_answer(chromium: Browser, classifier, limits, tmp_path: Path):
    limits(2.0)
    file = tmp_path / "ape.png"
    file.write_bytes(_png(2))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    with served_page(try_app(classifier, "apes", ("Only a test.",))) as address:
        page = chromium.new_page()
        page.set_default_timeout(8_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        page.goto(address)
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.get_by_text("Only a test.").is_visible() and page.title() == "apes: what is this?"
        page.set_input_files("#file", file)
        page.wait_for_selector(".answer")
        assert page.locator(".answer progress").count() == 2 and page.locator(".answer.none").count() == 0
        assert page.locator(".answer img").evaluate("image => image.naturalWidth") == 90
        limits(0.01)
        page.set_input_files("#file", file)
        page.wait_for_selector(".answer.none")
        assert "None of these" in page.locator(".answer").first.inner_text()
        page.set_input_files("#file", tmp_path / "broken.jpg")
        page.get_by_text("cannot be read").wait_for()
        assert page.title() == "apes: what is this?" and errors == []  # no class's name became markup
        page.close()
