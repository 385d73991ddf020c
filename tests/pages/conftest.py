"""A reviewed workspace without a network, its page on loopback, and a headless Chromium to open it with."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pages.local_auth import served_page
from pages.review import review_app
from preprocessing.images.pixel_cache import PixelCache
from workspace.catalog.records import Cluster, Download, Hit, ImageFacts, Override, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.files.atomic import write_atomic
from workspace.storage.arrays import ArrayStore
from workspace.storage.paths import Workspace

expect.set_options(timeout=60_000)  # Playwright's own 5 s are not enough on a busy machine

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>{{ 7*7 }} \u202e\"'"


@dataclass
class Reviewed:
    """A workspace with `cat` (30 pictures), `dog` (6) and `<b>ox` (2); `cats` are the worst first."""

    workspace: Workspace
    config: WorkspaceConfig
    cats: list[str]

    def overrides(self) -> dict[tuple[str, str], tuple[str, str]]:
        with self.workspace.open_catalog() as catalog:
            return {(one.sha256, one.label): (one.action, one.new_label) for one in catalog.all(Override)}

    def kept(self) -> set[tuple[str, str]]:
        with self.workspace.open_catalog() as catalog:
            return set(catalog.kept())

    def add(self, label: str, count: int) -> list[str]:
        """Pictures of one colour each, from the most suspicious to the most typical; the first two are flagged."""
        shas = [hashlib.sha256(f"{label} {place}".encode()).hexdigest() for place in range(count)]
        cache = PixelCache(self.workspace, self.config.clean)
        hits, downloads, facts, verdicts, clusters = [], [], [], [], []
        for place, sha in enumerate(shas):
            url = f"https://pictures.test/{label}/{place}"
            title = HOSTILE if place == 0 else f"{label} number {place}"
            hits.append(Hit(label, label, "openverse", place, url, "javascript:alert(1)", title, HOSTILE, "by"))
            downloads.append(Download(url, "ok", sha256=sha))
            facts.append(ImageFacts(sha, width=640, height=480))
            score = 0.1 + 0.9 * place / count
            verdicts.append(Verdict(sha, label, "copy", "keep", group=shas[1] if place in (1, 2) else ""))
            flagged = place < 2
            verdicts.append(
                Verdict(sha, label, "curate", "flag" if flagged else "keep", "off_topic" if flagged else "", score)
            )
            clusters.append(Cluster(sha, label, 2 if place in (0, 3, 4) else 1))
            if place < 60:
                cache.write(sha, np.full((48, 64, 3), (place * 8 % 256, 90, len(label) * 9), np.uint8))
        with self.workspace.open_catalog() as catalog:
            catalog.add_new(hits)
            for rows in (downloads, facts, verdicts, clusters):
                catalog.put(rows)
        return shas


@pytest.fixture
def reviewed(tmp_path: Path) -> Reviewed:
    workspace = Workspace(tmp_path / "pets")
    classes = {"cat": ("cat",), "dog": ("dog",), "<b>ox": ("ox",)}
    made = Reviewed(workspace, WorkspaceConfig(classes=classes), [])
    made.cats = made.add("cat", 30)
    others = [*made.add("dog", 6), *made.add("<b>ox", 2)]
    with workspace.open_catalog() as catalog:  # one that cannot be shown
        catalog.put([ImageFacts("00" * 32, error="truncated", detail="cut off")])
        catalog.put([Verdict("00" * 32, "cat", "decode", "drop", "truncated", 0.0)])
    store = ArrayStore(workspace.cache / "features-test")
    rng = np.random.default_rng(0)
    store.add([*made.cats, *others], np.abs(rng.normal(size=(38, 8))).astype(np.float32))
    write_atomic(workspace.features_pointer, b"features-test\n")
    return made


@pytest.fixture
def address(reviewed: Reviewed) -> Iterator[str]:
    with (
        reviewed.workspace.open_catalog() as catalog,
        served_page(review_app(reviewed.workspace, reviewed.config, catalog)) as url,
    ):
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a file of tests: while Playwright is started its event loop counts as running in this thread."""
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        installed = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
        program = next(filter(None, installed), playwright.chromium.executable_path)
        if not Path(program).is_file():
            pytest.skip("there is no Chromium; `make setup-browser` installs one")
        browser = playwright.chromium.launch(executable_path=program, args=arguments, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open the review page in a tab of one browser window; any error on a page fails the test."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(60_000)
    errors: list[str] = []

    def open_tab(where: str = "") -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        page.goto(address + where)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_tab
    context.close()
    assert errors == []
