"""What becomes of the settings that a command is given: written into a new workspace, else for that command only."""

import hashlib
import re
import shlex

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from preprocessing import split
from workspace.catalog.records import Download, Hit, ImageFacts, Verdict
from workspace.clock import utc_now
from workspace.config.model import load_config
from workspace.resolve import open_workspace
from workspace.storage.champion import Decision, record_decision
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.storage.run import next_run


def ask(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def frozen(tmp_path) -> Workspace:
    """A workspace whose live model was frozen by `split --set train.epochs=5`."""
    workspace, _ = open_workspace(tmp_path / "ws", ["cat", "dog"])
    with workspace.open_catalog() as catalog:
        for label in ("cat", "dog"):
            for number in range(9):
                sha, url = hashlib.sha256(f"{label} {number}".encode()).hexdigest(), f"http://p/{label}/{number}"
                ImageStore(workspace).put(sha, ".jpg", b"bytes")
                catalog.add_new([Hit(label, label, "t", number, url)])
                catalog.put([Download(url, "ok", sha256=sha)])
                catalog.put([ImageFacts(sha, width=640, height=480)])
                catalog.put([Verdict(sha, label, "copy", "keep", "")])
    given = "For this command only: train.epochs=5. To keep it, write it into"
    assert given in ask("split", "-w", workspace.root, "--set", "train.epochs=5")
    run_id = workspace.latest_run().run_id
    record_decision(workspace, Decision(run_id, "published", run_id, "the first model", utc_now()))
    return workspace


def test_settings_given_with_a_new_workspace_are_written_and_later_ones_are_for_that_command(tmp_path) -> None:
    for label in ("ape", "bee"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        Image.effect_noise((90, 90), 80).save(tmp_path / "photos" / label / "1.png")
    folder = tmp_path / "ws"
    first = ask("collect", "--photos", tmp_path / "photos", "-w", folder, "--set", "train.epochs=3")
    (line,) = [line for line in first.splitlines() if line.startswith("Written into")]
    assert line.startswith(f"Written into {folder / 'workspace.toml'}: ") and line.endswith(", train.epochs.")
    text = (folder / "workspace.toml").read_text()
    assert "epochs = 3" in text
    words = ("collect", "-w", folder, "--set", "train.backbone=resnet18", "--set", "curate.apply=true")
    later = ask(*words)
    assert (
        f"For this command only: train.backbone=resnet18, curate.apply=true. To keep them, write them into "
        f"{folder / 'workspace.toml'}." in later
    )
    assert (folder / "workspace.toml").read_text() == text
    same = ask("collect", "-w", folder, "--set", "train.epochs=3", "--record", tmp_path / "tape")
    assert "For this command" not in same  # what is as written, and what is no setting of a workspace


def test_status_says_what_was_given_for_the_run_and_accuses_nobody(frozen) -> None:
    text = ask("status", "-w", frozen.root)
    assert "the live model was trained with --set train.epochs=5, given for its run alone" in text
    assert "nothing has changed" in text and "other settings" not in text
    file = frozen.config_file
    file.write_text(re.sub(r"\nepochs = .*", "\nepochs = 7", file.read_text()))
    assert load_config(file).train.epochs == 7
    text = ask("status", "-w", frozen.root)
    assert "since then      workspace.toml has other settings: train.epochs" in text
    assert "given for its run" not in text and "--set" not in next_run(frozen)


def test_the_next_command_keeps_the_settings_that_were_given(frozen) -> None:
    own = "--set train.epochs=5"
    last = ask("rename", "-w", frozen.root, "cat", "tiger").splitlines()[-1]
    assert last == f"Next: {frozen.command('run')} {own}"
    told = ask("estimate", "-w", frozen.root)
    assert f"with them: {frozen.command('estimate')} {own}" in told
    other = shlex.split(next_run(frozen, {"train.epochs": 9, "train.backbone": "resnet18", "curate.apply": True}))
    assert other[-6:] == ["--set", "train.epochs=9", "--set", "train.backbone=resnet18", "--set", "curate.apply=true"]


def test_the_next_command_is_told_even_where_the_file_was_broken_meanwhile(frozen) -> None:
    frozen.config_file.write_text("[classes")
    assert next_run(frozen) == frozen.command("run")


def test_split_notes_nothing_where_the_settings_are_those_of_the_file(frozen) -> None:
    split.run(frozen, load_config(frozen.config_file))
    assert not frozen.latest_run().own_settings_file.exists()
    assert ask("status", "-w", frozen.root).count("train.epochs=5") == 2  # the live model is still the first one
