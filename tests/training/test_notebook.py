"""The classifier of notebooks: what it loads, what it is asked with; fit itself is in the notebook of the docs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import Classifier
from workspace.config.template import render_config
from workspace.errors import ConfigError, ImageRefused, ModelError
from workspace.storage.paths import Workspace


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, save_model) -> Classifier:
    return Classifier.load(save_model(tmp_path_factory.mktemp("model"), crop_px=64, resize_px=64), "cpu")


@pytest.fixture
def photograph(tmp_path) -> Path:
    """Taller than wide, and turned by its EXIF, so that a reader who forgets that sees another picture."""
    noise = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image, exif = Image.fromarray(noise).resize((400, 300), Image.Resampling.BICUBIC), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    return tmp_path / "turned.png"


def test_one_image_gives_one_answer_whatever_it_comes_as(classifier, photograph, monkeypatch) -> None:
    by_path = classifier.predict(photograph)
    assert by_path.label in {"ape", "bee"}
    with Image.open(photograph) as image:
        assert classifier.predict(image) == by_path
    upright = np.asarray(Image.open(photograph).transpose(Image.Transpose.ROTATE_270))
    assert classifier.predict(upright) == by_path
    assert classifier.predict(str(photograph)) == by_path
    monkeypatch.setenv("HOME", str(photograph.parent))
    assert classifier.predict("~/turned.png") == by_path


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 4)])
def test_grey_and_transparent_arrays_are_images_too(classifier, shape) -> None:
    array = np.full(shape, 200, np.uint8)
    assert classifier.predict(array).best == classifier.predict(Image.fromarray(np.squeeze(array))).best


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_an_image_of_any_mode_of_pillow_is_taken(classifier, mode) -> None:
    assert classifier.predict(
        Image.new("L", (60, 50), 90).convert(mode) if mode != "I;16" else Image.new(mode, (60, 50))
    )


def test_several_give_a_prediction_each_in_order_and_one_that_fails_stops_no_other(classifier, photograph) -> None:
    broken, folder = photograph.parent / "b.jpg", photograph.parent / "more"
    broken.write_bytes(b"\xff\xd8\xff\xe0 cut off")
    folder.mkdir()
    Image.new("RGB", (50, 50)).save(folder / "inside.png")
    asked = [photograph, broken, folder, Image.new("RGB", (9, 9)), np.zeros((4, 4)), "gone.jpg", "\0"]
    found = classifier.predict(asked)
    assert [Path(one.name).name for one in found[:3]] == ["turned.png", "b.jpg", "inside.png"]
    assert [one.name for one in found[3:5]] == ["image 4", "image 5"]
    assert [one.answer is not None for one in found] == [True, False, True, True, False, False, False]
    assert "(255 * x).round()" in found[4].error
    assert found[5].error.startswith("unreadable: No such file")
    assert classifier.predict(iter(asked[:1]))[0].answer == classifier.predict(photograph)
    assert classifier.predict([]) == []
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)).save(folder / "damaged.png")
    good = (folder / "damaged.png").read_bytes()
    second = good.index(b"IDAT", good.index(b"IDAT") + 4)
    (folder / "damaged.png").write_bytes(good[:second] + b"\1\2\3\4" + good[second + 4 :])  # no part has such a name
    with Image.open(folder / "damaged.png") as opened:
        found = classifier.predict([photograph, opened])
    assert found[0].answer is not None and "damaged" in found[1].error
    for file in folder.iterdir():
        file.unlink()
    assert classifier.predict([folder])[0].error.startswith("unreadable: Is a directory")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 40, 50, 3), np.uint8), r"several images: list\(x\)"),
        (np.zeros((40, 50, 2), np.uint8), "is no image"),
        (np.zeros((0, 0, 3), np.uint8), "is no image"),
        ("gone.jpg", r"No such file or directory \(gone.jpg\)"),
        (".", r"Is a directory|directory"),
    ],
)
def test_one_that_cannot_be_read_is_an_error_that_says_why(classifier, image, words) -> None:
    with pytest.raises(ImageRefused, match=words):
        classifier.predict(image)


def test_a_workspace_a_run_and_a_model_folder_are_loaded_alike(tmp_path, save_model, settings) -> None:
    workspace = Workspace(tmp_path / "w")
    run = workspace.run("r1")
    save_model(run.model, crop_px=64, resize_px=64)
    for file in (workspace.config_file, run.config_file):
        file.write_text(render_config(settings()))
    workspace.point_to("r1")
    run.report_file.write_text("<html>")
    for folder in (workspace.root, str(workspace.root), run.root, run.model):
        loaded = Classifier.load(folder, "cpu")
        assert loaded.classes == ("ape", "bee")
        assert (loaded.report, loaded.metrics) == (run.report_file, None)
    assert Classifier.load(workspace.root, "cpu", run="r1").run == run
    with pytest.raises(ConfigError, match="there are: r1"):
        Classifier.load(workspace.root, run="r2")
    copied = run.model.rename(tmp_path / "copied")
    assert Classifier.load(copied, "cpu").run is None
    assert repr(Classifier.load(copied, "cpu")) == "Classifier(ape, bee; not evaluated)"


def test_a_folder_that_is_neither_says_what_would_be(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"no workspace \(it has no workspace.toml\).*Classifier.fit"):
        Classifier.load(tmp_path)


def test_importing_the_package_loads_neither_torch_nor_prefect() -> None:
    code = "import sys, training; print({'torch', 'prefect', 'albumentations'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"


def test_another_name_is_missing_as_ever() -> None:
    import training

    with pytest.raises(AttributeError, match="no attribute 'Classifer'"):
        training.Classifer  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.cluster
def test_the_notebook_of_the_docs_runs_in_a_kernel_and_its_workspace_stays(tmp_path) -> None:
    """A kernel has a running event loop; `fit` must go through there, with every step and no server."""
    nbformat = pytest.importorskip("nbformat", reason="the extra dev is not installed")
    from nbclient import NotebookClient

    checkout = Path(__file__).resolve().parents[2]
    notebook = nbformat.read(checkout / "docs" / "howto" / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=150, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert "test accuracy" in shown and "broken.jpg" in shown and "publish: 1 done" in shown
    loaded = Classifier.load(tmp_path / "data" / "drawn", "cpu")
    metrics = loaded.metrics
    assert metrics is not None and loaded.report is not None
    assert set(metrics.classes) == {"lighthouse", "teapot", "watering can"}
    assert metrics.test.n == 9
