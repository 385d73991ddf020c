"""The repository for the hub, made of a trained workspace (tests/fixtures/workspace_f6f4cc8)."""

import csv
import dataclasses
import tarfile
from pathlib import Path

import pytest
import timm
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from cli.main import app
from workspace.storage.dataset import dataset_bytes, read_dataset

FIXTURE = Path(__file__).parents[2] / "fixtures" / "workspace_f6f4cc8"
RUN = Path("workspace/runs/ca92016b5032")
CREATOR = "Ann [x](javascript:y)\n<script>"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the command printed, and the folder; one class has a licensed test picture, another one without licence.

    Its folders hold an example of an earlier export and files of a person.
    """
    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch, tarfile.open(FIXTURE / "workspace.tar.xz") as archive:
        archive.extractall(folder, filter="data")
        patch.chdir(folder)
        file = RUN / "dataset.parquet"
        rows = [
            dataclasses.replace(row, license="by" if row.label == "circle" else "", creator=CREATOR)
            for row in read_dataset(file)
        ]
        file.write_bytes(dataset_bytes(rows))
        assert CliRunner().invoke(app, ["report", "-w", "workspace"]).exit_code == 0
        for left in ("hub/examples/7.jpg", "hub/notes.txt", "timm/notes.txt"):
            Path("out", left).parent.mkdir(parents=True, exist_ok=True)
            Path("out", left).write_bytes(b"")
        words = ["export", "-w", "workspace", "--to", "timm", "--to", "hub", "--out", "out"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        return result.stdout, folder / "out" / "hub"


def test_the_command_says_what_the_network_costs_and_how_to_upload_it(exported) -> None:
    text, folder = exported
    assert "one test_convnext in place of the model, its last layer fitted to the model's logits: accuracy " in text
    assert "--to onnx writes the whole model" in text
    assert "To upload it: hf upload YOUR_NAME/workspace out/hub" in text
    assert sorted(path.name for path in folder.iterdir()) == [
        "ATTRIBUTION.csv",
        "README.md",
        "config.json",
        "examples",
        "model.safetensors",
        "notes.txt",
    ]
    assert sorted(path.name for path in (folder.parent / "timm").iterdir()) == [
        "config.json",
        "model.safetensors",
        "notes.txt",
    ]
    assert timm.create_model(f"local-dir:{folder}", pretrained=True).num_classes == 3


def test_the_card_has_metadata_that_the_hub_reads_and_scores_of_this_network(exported) -> None:
    text, folder = exported
    card = ModelCard.load(folder / "README.md")
    data = card.data
    assert (data.library_name, data.pipeline_tag, data.license) == ("timm", "image-classification", "other")
    assert {"timm", "transformers", "image-classification"} <= set(data.tags)
    assert [(result.metric_type, f"{result.metric_value:.3f}") for result in data.eval_results] == [
        ("accuracy", text.partition("accuracy ")[2][:5])
    ]
    assert "hf-hub:OWNER/NAME" in card.text and "FOLDER_OF_THIS_FILE" not in card.text
    assert "## Evaluation" in card.text and 'figures under "Evaluation" are those of the whole model' in card.text


def test_example_pictures_are_those_that_may_be_passed_on_with_their_credit(exported) -> None:
    _, folder = exported
    card = ModelCard.load(folder / "README.md")
    assert [(row["example_title"], (folder / row["src"]).is_file()) for row in card.data.widget] == [("circle", True)]
    assert len(list((folder / "examples").iterdir())) == 1
    credited = card.text.partition("## Credits")[2]
    assert "CC BY" in credited and "<script>" not in credited and "[x](" not in credited
    with (folder / "ATTRIBUTION.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 41


def test_without_a_report_the_command_names_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(FIXTURE / "workspace.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    (RUN / "model/README.md").unlink()
    result = CliRunner().invoke(app, ["export", "-w", "workspace", "--to", "hub", "--out", "out"])
    assert result.exit_code == 1 and "write it first: collect-and-train report -w workspace" in str(result.exception)
    assert not Path("out").exists()
