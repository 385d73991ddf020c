from __future__ import annotations

import doctest
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import training.inference.classifier
from preprocessing.images.decode import decode, shrink
from training.inference.classifier import Classifier
from training.inference.predict import ImageInput, image_files, predict, predict_files
from training.stats.calibration import Calibration
from training.stats.ood import OodLimits
from workspace.config.clean import CleanConfig
from workspace.errors import ConfigError, ModelError, TransferFailed


@pytest.fixture
def model(tmp_path, save_model) -> Path:
    return save_model(tmp_path / "model")


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(("b.jpg", "a.png", "deep/c.webp")):
        noise = np.random.default_rng(number).integers(0, 256, (300 + 40 * number, 280, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((500, 420)).save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "b.jpg").read_bytes()[:2000])
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_files_and_folders_in_order_and_one_bad_file_stops_no_other(model, pictures):
    classifier = Classifier.load(model, "cpu")
    assert classifier.classes == ("ape", "bee")
    paths = [pictures / "deep" / "c.webp", pictures, pictures / "notes.txt", pictures / "gone.jpg"]
    found = list(predict_files(classifier, paths, batch_size=2))
    names = [Path(one.name).relative_to(pictures).as_posix() for one in found]
    assert names == ["deep/c.webp", "a.png", "b.jpg", "broken.jpg", "notes.txt", "gone.jpg"]
    errors = {Path(one.name).name: one.error.split(":")[0] for one in found if one.error}
    assert errors == {"broken.jpg": "truncated", "notes.txt": "not_an_image", "gone.jpg": "unreadable"}
    for one in found:
        assert (one.answer is None) == bool(one.error)
        if one.answer is None:
            continue
        chances = one.answer.probabilities
        assert one.answer.label == one.answer.best == max(chances, key=chances.__getitem__)
        assert one.answer.probability == chances[one.answer.best] and one.answer.why_none == ""
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        alone = classifier.probabilities([decode(Path(one.name).read_bytes()).pixels])[0]
        assert list(chances.values()) == pytest.approx(alone.tolist(), abs=1e-5)


def test_pictures_are_taken_as_they_are_needed_and_a_failed_transfer_is_that_pictures_error(model, pictures):
    taken = []

    def stream():
        for number in range(40):
            taken.append(number)
            yield ImageInput(f"http://a.test/{number}", fail if number == 1 else (pictures / "a.png").read_bytes)

    def fail() -> bytes:
        raise TransferFailed("failed", "http_404", "gone")

    answers = predict(Classifier.load(model, "cpu"), stream(), batch_size=4)
    first, second = next(answers), next(answers)
    assert first.name == "http://a.test/0" and first.answer and second.error == "http_404: gone"
    assert len(taken) <= 16
    assert len(list(answers)) == 38


def test_a_picture_that_passes_a_limit_of_decoding_has_it_as_its_error_and_stops_no_other(model, pictures):
    Image.new("RGBA", (6000, 6000)).save(pictures / "large.png")
    classifier = Classifier.load(model, "cpu")
    found = list(predict_files(classifier, [pictures], clean=CleanConfig(decoder_memory_mb=200, workers=2)))
    errors = {Path(one.name).name: one.error for one in found if one.error}
    assert errors.keys() == {"broken.jpg", "large.png"} and len(found) == 5
    assert errors["large.png"] == "decoder_memory: it took more than 200 MB (decoder_memory_mb)"
    few_pixels = CleanConfig(max_megapixels=0.0001, workers=2)
    assert "limit is 0.0001 megapixels" in next(predict_files(classifier, [pictures], clean=few_pixels)).error


def _calibrated(model: Path, min_probability: float, max_distance: float | None) -> Classifier:
    probes = np.random.default_rng(0).normal(size=(6, 1280)).astype(np.float16)
    limits = (OodLimits(0.95, min_probability, max_distance), OodLimits(0.5, 0.0, 2.0))
    Calibration(1.3, limits, probes, 30).write(model)
    return Classifier.load(model, "cpu")


def test_a_picture_that_misses_a_limit_is_none_of_the_classes(model):
    picture = np.random.default_rng(0).integers(0, 256, (300, 280, 3), dtype=np.uint8)
    before = Classifier.load(model, "cpu").answers([picture])[0]
    with pytest.raises(ModelError, match=r"not calibrated, so that every picture gets a class, and no share of 0\.5"):
        Classifier.load(model, "cpu").answers([picture], accept=0.5)
    unsure = _calibrated(model, 1.01, None).answers([picture])[0]
    assert unsure.label == "none" and unsure.best == before.best and unsure.why_none.startswith("unsure: ")
    assert 0.5 < unsure.probability < before.probability  # by the temperature
    unlike = _calibrated(model, 0.0, 0.01).answers([picture])[0]
    assert unlike.label == "none" and "unlike the training pictures" in unlike.why_none and unlike.distance > 0.01
    assert _calibrated(model, 1.01, 0.01).answers([picture], accept=0.5)[0].label == before.best
    with pytest.raises(ModelError, match=r"not for 0\.6"):
        _calibrated(model, 1.01, 0.01).answers([picture], accept=0.6)


def test_a_full_picture_and_the_cached_one_answer_the_same(model):
    classifier = Classifier.load(model, "cpu")
    full = np.random.default_rng(0).integers(0, 256, (900, 700, 3), dtype=np.uint8)
    one, two = classifier.probabilities([full, shrink(full, 256)])
    assert np.array_equal(one, two)


def test_answers_do_not_depend_on_the_company(model):
    classifier = Classifier.load(model, "cpu")
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (256, 260 + n, 3), dtype=np.uint8) for n in range(5)]
    together = classifier.probabilities(pictures, batch_size=4)
    alone = np.concatenate([classifier.probabilities([one]) for one in pictures])
    assert together.dtype == np.float32
    assert np.abs(together - alone).max() < 1e-5
    assert classifier.probabilities([]).shape == (0, 2)


def test_a_named_file_comes_once_and_a_folder_gives_pictures_only(pictures):
    names = [path.name for path in image_files([pictures / "a.png", pictures, pictures / "a.png"])]
    assert names == ["a.png", "b.jpg", "broken.jpg", "c.webp"]


def _no_card(folder: Path) -> None:
    (folder / "card.json").unlink()


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100_000])


def _damaged_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(bytes([1, 2, 3]) + path.read_bytes()[3:])


def _torn_card(folder: Path) -> None:
    (folder / "card.json").write_text('{"format": 2, "classes": [', encoding="utf-8")


def _change(**values: object):
    def change(folder: Path) -> None:
        path = folder / "card.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_card, "no card.json"),
        (_no_weights, "no model.safetensors"),
        (_cut_weights, r"cannot be used \(model.safetensors is cut off\)"),
        (_damaged_weights, r"cannot be used \(model.safetensors is (damaged|cut off)\)"),
        (_torn_card, r"cannot be used \(it is no JSON: cut off or damaged\)"),
        (_change(format=7), "format 7"),
        (_change(classes=["a", "b", "c"]), "size mismatch"),
        (_change(backbone="vgg"), "no backbone 'vgg'"),
        (_change(backbone="resnet50"), "cannot be used"),
        (_change(input=None), "input: it must be a section of names and values"),
    ],
)
def test_a_model_that_does_not_serve_is_a_model_error(model, damage, says):
    damage(model)
    with pytest.raises(ModelError, match=says):
        Classifier.load(model, "cpu")


def test_a_device_that_is_not_there_is_the_settings_fault(model, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError):
        Classifier.load(model, "cuda")


def test_the_example_of_the_class_runs_as_written(tmp_path, save_model, pictures, monkeypatch):
    save_model(tmp_path / "model")
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(pictures / "a.png", folder / "1.png")
    shutil.copy(pictures / "broken.jpg", folder)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(training.inference.classifier, optionflags=doctest.ELLIPSIS)
    assert (result.failed, result.attempted > 0) == (0, True)
