"""Too few pictures: `collect` and `split` say at which stage they were lost, and what helps."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from flows.collect_and_train import collect_and_train
from flows.step_table import step_function
from workspace.errors import DatasetError
from workspace.progress import SILENT

SETTINGS = """\
[classes]
black = ["black"]
grizzly = ["{second}"]
[search]
per_class = 20
sources = ["{source}"]
[search.folder]
path = "{folder}/pics"
[search.url_list]
file = "{folder}/list.csv"
[network]
allow_private_addresses = true
per_host_pause_s = 0
robots = false
[split]
min_per_class = 4
"""


def _pictures(folder: Path, side_px: int = 200) -> None:
    rng = np.random.default_rng(0)
    for name in ("black", "grizzly"):
        (folder / "pics" / name).mkdir(parents=True)
        for number in range(5):
            noise = rng.integers(0, 256, (side_px, side_px, 3), np.uint8)
            Image.fromarray(noise).save(folder / "pics" / name / f"{number}.png")


def _small(folder: Path) -> None:
    _pictures(folder, 32)


def _all_the_same(folder: Path) -> None:
    _pictures(folder)
    for name in ("black", "grizzly"):
        for number in range(1, 5):
            shutil.copy(folder / "pics" / name / "0.png", folder / "pics" / name / f"{number}.png")


@pytest.fixture
def nothing_there() -> Iterator[str]:
    class Gone(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gone) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _said(folder: Path, source: str = "folder", second: str = "grizzly") -> tuple[str, str]:
    """What `collect` prints of the class black, and the lines of `split`'s error."""
    (folder / "workspace.toml").write_text(SETTINGS.format(folder=folder, source=source, second=second))
    collected = CliRunner().invoke(app, ["collect", "-w", str(folder)])
    assert collected.exit_code == 0, collected.exception
    error = CliRunner().invoke(app, ["split", "-w", str(folder)]).exception
    assert isinstance(error, DatasetError)
    return next(line for line in collected.output.splitlines() if line.startswith("black: ")), str(error)


@pytest.mark.parametrize(
    ("make", "second", "funnel", "remedy"),
    [
        (_small, "grizzly", "5 found, 5 dropped (too_small 5), 0 kept", "clean.min_side_px (now 64)"),
        (_all_the_same, "grizzly", "5 found, 4 the same file as another, 1 kept", "are one and the same file"),
        (_pictures, "black", "5 found, 5 dropped (two_labels 5), 0 kept", "share the keyword 'black'"),
    ],
)
def test_a_folder_whose_pictures_are_lost_in_cleaning(
    make: Callable[[Path], None], second: str, funnel: str, remedy: str, tmp_path: Path
) -> None:
    make(tmp_path)
    collected, error = _said(tmp_path, second=second)
    for text in (collected, error):
        assert funnel in text and remedy in text
    assert "more keywords" not in error


def test_a_list_whose_urls_are_all_gone(nothing_there: str, tmp_path: Path) -> None:
    rows = [f"{nothing_there}/{name}{number}.jpg,{name}" for name in ("black", "grizzly") for number in range(5)]
    (tmp_path / "list.csv").write_text("\n".join(["url,label", *rows]))
    for text in _said(tmp_path, source="url_list"):
        assert "5 found, 5 failed (http_404 5), 0 kept" in text and "take a newer list" in text


def test_pictures_that_a_person_dropped(tmp_path: Path) -> None:
    from workspace.catalog.overrides import Change, decide
    from workspace.storage.paths import Workspace

    _pictures(tmp_path)
    (tmp_path / "workspace.toml").write_text(SETTINGS.format(folder=tmp_path, source="folder", second="grizzly"))
    CliRunner().invoke(app, ["collect", "-w", str(tmp_path)])
    with Workspace(tmp_path).open_catalog() as catalog:
        decide(catalog, [Change(sha, "black", "drop") for sha, label in catalog.kept() if label == "black"])
    for text in _said(tmp_path):
        assert "5 found, 5 dropped (dropped by a person 5), 0 kept" in text and "collect-and-train review" in text


def test_run_says_so_before_weights_are_looked_for(tmp_path: Path, monkeypatch) -> None:
    _small(tmp_path)
    weights = '[train]\nweights_file = "/nowhere/resnet50.pth"\n'
    text = SETTINGS.format(source="folder", second="grizzly", folder=tmp_path) + weights
    (tmp_path / "workspace.toml").write_text(text)
    monkeypatch.setattr("training.network.backbone.check_weights", lambda train: None)  # as if they were there then
    monkeypatch.setattr("flows.collect_and_train.get_run_logger", logging.getLogger)
    monkeypatch.setattr(
        "flows.collect_and_train.step_task",
        lambda name, _number=1: lambda workspace, config: step_function(name)(workspace, config, SILENT),
    )
    with pytest.raises(DatasetError, match=r"5 dropped \(too_small 5\), 0 kept; .* clean.min_side_px"):
        collect_and_train.fn(str(tmp_path))
