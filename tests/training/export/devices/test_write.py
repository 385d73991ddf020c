"""A folder for a device is written whole, with its figures, and only where it answers as well as the model."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.export.devices.card import DeviceCard
from training.export.devices.device_format import VIEWS, DeviceFormat
from training.export.devices.write import export_for_device
from training.export.job import ExportJob
from training.stats.calibration import Calibration
from training.stats.ood import neighbour_distances
from workspace.errors import ExtraMissing, ModelError, WorkspaceError

Answers = dict[str, np.ndarray]


def own_answers(job: ExportJob, image: np.ndarray) -> Answers:
    outputs, calibration = job.model.outputs([image]), job.model.calibration
    distance = neighbour_distances(calibration.reference, outputs.features)
    return {"probabilities": calibration.probabilities(outputs.logits), "distance": distance}


def toy(change: Callable[[Answers], Answers] = lambda own: own, **changes: object) -> DeviceFormat:
    """A format whose file answers with what `change` makes of the model's own answers."""

    def convert(job: ExportJob, folder: Path) -> Calibration | None:
        (folder / "model.bin").write_bytes(b"x" * 1_500_000)
        return job.model.calibration

    def opened(job: ExportJob, folder: Path) -> Callable[[np.ndarray], Answers]:
        assert (folder / "model.bin").is_file()
        return lambda image: change(own_answers(job, image))

    made = DeviceFormat("toy", "Toy", "model.bin", ("numpy",), "toys", ("numpy",), VIEWS, convert, opened)
    return dataclasses.replace(made, **changes)


def test_a_faithful_file_is_written_with_its_figures_beside_those_of_the_model(job: ExportJob, tmp_path: Path) -> None:
    text = export_for_device(toy(), job, tmp_path / "out")
    folder = tmp_path / "out" / "toy"
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "card.json", "model.bin"]
    assert folder.stat().st_mode & 0o777 == tmp_path.joinpath("out").stat().st_mode & 0o777  # as the umask says
    card = DeviceCard.read(folder / "card.json")
    found, size = card.measured, job.model.card.input
    assert found.own.accuracy == found.exported.accuracy and found.own.answered == found.exported.answered > 0
    assert found.n == sum(sample.split == "test" for sample in job.samples)
    assert (found.agreement, found.fell, card.size_mb, card.classes) == (1.0, (), 1.5, job.model.classes)
    assert found.exported.ms_per_image > 0 and card.limits == job.model.calibration.limits
    assert 0.005 < found.limit < 0.3  # one standard error of so few pictures
    assert f"on {found.n} test pictures accuracy {found.exported.accuracy.value:.3f}" in text and "1.5 MB" in text
    readme = (folder / "README.md").read_text()
    assert "| expected calibration error |" in readme and f"shorter side is {size.resize_px}" in readme


def wrong(own: Answers) -> Answers:
    return own | {"probabilities": np.roll(own["probabilities"], 1, axis=1)}


def certain(own: Answers) -> Answers:
    return own | {"probabilities": np.eye(own["probabilities"].shape[1])[own["probabilities"].argmax(1)]}


def far(own: Answers) -> Answers:
    return own | {"distance": own["distance"] + 1}


def not_a_number(own: Answers) -> Answers:
    return own | {"probabilities": own["probabilities"] * np.nan}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (wrong, "its accuracy 0."),
        (certain, "its expected calibration error 0."),
        (far, "its share that gets a class 0.000"),
    ],
)
def test_a_file_that_is_worse_than_the_limit_leaves_nothing_behind(
    job: ExportJob, tmp_path: Path, change: Callable[[Answers], Answers], words: str
) -> None:
    with pytest.raises(ModelError, match="was not written: on .* test pictures") as caught:
        export_for_device(toy(change), job, tmp_path / "out" / "deep")
    assert words in str(caught.value) and "the limit is 0." in str(caught.value) and "--force" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_answers_that_are_no_numbers_are_not_written_even_by_force(job: ExportJob, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gives answers that are no numbers"):
        export_for_device(toy(not_a_number), dataclasses.replace(job, force=True), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_force_writes_it_and_the_card_says_so(job: ExportJob, tmp_path: Path) -> None:
    text = export_for_device(toy(far), dataclasses.replace(job, force=True), tmp_path)
    assert "written by --force" in text
    assert "share that gets a class 0.000" in DeviceCard.read(tmp_path / "toy" / "card.json").measured.fell[0]
    assert "Written by --force" in (tmp_path / "toy" / "README.md").read_text()


def test_the_limit_can_be_set(job: ExportJob, tmp_path: Path) -> None:
    assert "share that gets a class 0.000" in export_for_device(
        toy(far), dataclasses.replace(job, max_fall=1), tmp_path
    )
    with pytest.raises(ModelError, match="the limit is 0.000"):
        export_for_device(toy(certain), dataclasses.replace(job, max_fall=0), tmp_path)


def test_a_failed_export_keeps_the_one_that_is_there(job: ExportJob, tmp_path: Path) -> None:
    export_for_device(toy(), job, tmp_path)
    before = (tmp_path / "toy" / "card.json").read_bytes()
    (tmp_path / "toy" / "model.old").write_bytes(b"of an earlier version")
    (tmp_path / "toy" / "notes.txt").write_text("mine")

    def breaks(job: ExportJob, folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")

    with pytest.raises(WorkspaceError, match="No space left on device; free some space"):
        export_for_device(toy(convert=breaks), job, tmp_path)
    with pytest.raises(ModelError, match="was not written"):
        export_for_device(toy(wrong), job, tmp_path)
    assert [folder.name for folder in tmp_path.iterdir()] == ["toy"]
    assert (tmp_path / "toy" / "card.json").read_bytes() == before
    export_for_device(toy(), job, tmp_path)  # and a good one takes its place
    assert [folder.name for folder in tmp_path.iterdir()] == ["toy"]
    assert sorted(file.name for file in (tmp_path / "toy").iterdir()) == [
        *("README.md", "card.json", "model.bin", "notes.txt")
    ]


def test_what_cannot_be_run_here_is_written_unmeasured_by_force_alone(job: ExportJob, tmp_path: Path) -> None:
    elsewhere = toy(why_not_run=lambda: "Toys run on Mars only")
    with pytest.raises(ModelError, match="cannot be measured here: Toys run on Mars only. Run the same command there"):
        export_for_device(elsewhere, job, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    text = export_for_device(elsewhere, dataclasses.replace(job, force=True), tmp_path)
    assert "not measured: Toys run on Mars only" in text
    assert DeviceCard.read(tmp_path / "toy" / "card.json").measured is None
    assert "**Not measured: Toys run on Mars only.**" in (tmp_path / "toy" / "README.md").read_text()


def test_a_missing_package_is_named_with_its_extra(job: ExportJob, tmp_path: Path) -> None:
    with pytest.raises(ExtraMissing, match=r"--to toy needs no_such_runtime, which the extra `toys` brings: .*install"):
        export_for_device(toy(modules=("no_such_runtime",)), job, tmp_path / "out")
    assert not (tmp_path / "out").exists()
