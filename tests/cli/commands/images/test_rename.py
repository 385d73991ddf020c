"""A class gets another name: in workspace.toml by hand, or with the command; nobody's work is lost."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from cli.status import read_status, status_text
from workspace.catalog.overrides import Change, decide
from workspace.catalog.records import Override, Sample
from workspace.config.edit import with_renamed_class
from workspace.errors import ConfigError
from workspace.files.atomic import write_atomic
from workspace.resolve import open_workspace
from workspace.storage.champion import Decision, record_decision
from workspace.storage.dataset import dataset_bytes
from workspace.storage.lock import hold

BEARS = """\
# my bears
[classes]
black = ["black"]  # the small ones
 "grizzly"  =  ["grizzly", "Ursus arctos"] # grizzly = "grizzly"
[search]
per_class = 20
sources = ["folder"]
[search.folder]
path = "PATH"
"""


@pytest.fixture
def bears(tmp_path: Path) -> Path:
    """A collected workspace of two classes with four pictures each, three of which a person dropped from grizzly."""
    rng = np.random.default_rng(0)
    for name in ("black", "grizzly"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for number in range(4):
            noise = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((200, 200))
            noise.save(tmp_path / "pics" / name / f"{number}.png")
    root = tmp_path / "bears"
    root.mkdir()
    (root / "workspace.toml").write_text(BEARS.replace("PATH", str(tmp_path / "pics")), encoding="utf-8")
    assert _run("collect", root).exit_code == 0
    with open_workspace(root)[0].open_catalog() as catalog:
        shas = [sha for sha, label in catalog.kept() if label == "grizzly"]
        decide(catalog, [Change(sha, "grizzly", "drop") for sha in shas[:3]])
    return root


def _run(command: str, root: Path, *words: str):
    return CliRunner().invoke(app, [command, "-w", str(root), *words])


def _dropped(root: Path) -> list[str]:
    with open_workspace(root)[0].open_catalog() as catalog:
        return [row.label for row in catalog.all(Override)]


def _edit(root: Path, old: str, new: str) -> None:
    file = root / "workspace.toml"
    file.write_text(file.read_text().replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("command", ["collect", "search", "clean"])
def test_decisions_survive_a_new_name_in_workspace_toml_and_it_is_said(bears: Path, command: str, caplog) -> None:
    _edit(bears, '"grizzly"  =', '"brown bear"  =')
    sentence = "the class 'grizzly' is now 'brown bear': 4 pictures and 3 decisions go with it"
    before = status_text(read_status(*open_workspace(bears)))
    assert sentence in before
    assert _run(command, bears).exit_code == 0
    assert sentence in caplog.text
    assert _dropped(bears) == ["brown bear"] * 3
    after = status_text(read_status(*open_workspace(bears)))
    row = next(line for line in after.splitlines() if line.startswith("brown bear")).split("│")
    found, clean, kept, _to_review, decided = (int(cell) for cell in row[1:6])
    assert (found, clean, kept, decided) == (4, 1, 1, 3) and sentence not in after


def test_decisions_of_a_class_without_a_successor_are_named_by_collect_and_status(bears: Path) -> None:
    _edit(bears, '"grizzly"  =  ["grizzly", "Ursus arctos"]', 'teddy = ["teddy"]')
    said = "3 decisions under 'grizzly', which is no class now, wait"
    assert said in _run("collect", bears).output and said in status_text(read_status(*open_workspace(bears)))
    renamed = _run("rename", bears, "Grizzly ", "teddy")
    assert renamed.exit_code == 0 and "'grizzly' is now 'teddy': 4 pictures and 3 decisions" in renamed.output
    assert _dropped(bears) == ["teddy"] * 3 and said not in status_text(read_status(*open_workspace(bears)))


def test_the_command_edits_workspace_toml_and_leaves_all_else_in_it(bears: Path) -> None:
    before = (bears / "workspace.toml").read_text()
    result = _run("rename", bears, "grizzly", 'brown "bear"')
    assert result.exit_code == 0, result.exception
    after = (bears / "workspace.toml").read_text()
    assert after == before.replace(' "grizzly"  =  [', ' "brown \\"bear\\""  =  [')
    assert list(open_workspace(bears)[1].classes) == ["black", 'brown "bear"']
    assert _dropped(bears) == ['brown "bear"'] * 3


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("grizzly", "black", "both classes; to make them one"),
        ("polar", "ice", "neither 'polar' nor 'ice' is a class"),
        ("grizzly", "none", "cannot name a class"),
        ("grizzly", "Black", "have the same name"),
    ],
)
def test_a_rename_that_cannot_be_names_the_reason_and_changes_nothing(
    bears: Path, old: str, new: str, why: str
) -> None:
    before = (bears / "workspace.toml").read_text()
    error = _run("rename", bears, old, new).exception
    assert isinstance(error, ConfigError) and why in str(error)
    assert (bears / "workspace.toml").read_text() == before and _dropped(bears) == ["grizzly"] * 3


def test_classes_in_a_form_without_lines_of_their_own_are_left_to_the_person() -> None:
    with pytest.raises(ConfigError, match="rename it there by hand"):
        with_renamed_class('classes = {cat = "cat", dog = "dog"}\n', "here", "cat", "lion")


def test_status_tells_a_class_with_another_name_from_pictures_that_were_dropped(bears: Path) -> None:
    workspace, config = open_workspace(bears)
    with workspace.open_catalog() as catalog:
        samples = [
            Sample(sha, label, "train", sha, "", "folder", label, *[""] * 6, "", 9, 9) for sha, label in catalog.kept()
        ]
    write_atomic(workspace.run("one").dataset_file, dataset_bytes(samples))
    write_atomic(workspace.run("one").config_file, (bears / "workspace.toml").read_bytes())
    workspace.point_to("one")
    record_decision(workspace, Decision("one", "published", "one", "the first", "now"))
    _edit(bears, '"grizzly"  =', '"brown bear"  =')
    _run("clean", bears)
    text = status_text(read_status(*open_workspace(bears)))
    assert "the class 'grizzly' is no class now" in text and "the class 'brown bear' is new" in text
    assert "dropped or relabelled" not in text


def test_status_says_of_a_class_that_is_too_small_where_its_pictures_went(bears: Path) -> None:
    text = status_text(read_status(*open_workspace(bears)))
    assert "grizzly: 4 found, 3 dropped (dropped by a person 3), 1 kept; look at them again" in text


@pytest.mark.parametrize("busy", [False, True])
def test_review_carries_over_what_was_decided_or_leaves_it_where_somebody_is_at_work(
    bears: Path, busy: bool, monkeypatch, capsys
) -> None:
    _edit(bears, '"grizzly"  =', '"brown bear"  =')
    shown = []
    monkeypatch.setattr("pages.local_auth.serve_page", lambda page, *_words, **_more: shown.append(page))
    if busy:
        with hold(open_workspace(bears)[0], "run"):
            result = _run("review", bears)
    else:
        result = _run("review", bears)
    assert result.exit_code == 0 and len(shown) == 1
    assert "the class 'grizzly' is now 'brown bear'" in capsys.readouterr().err + result.output
    assert _dropped(bears) == (["grizzly"] if busy else ["brown bear"]) * 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_as_editors_of_windows_write_it_is_changed_in_that_line_alone(tmp_path, encoding) -> None:
    file, text = tmp_path / "workspace.toml", '[classes]\r\nblack = ["a"]\r\nbrown = ["b"]\r\n# mine\r\n'
    file.write_bytes(text.encode(encoding))
    assert _run("rename", tmp_path, "black", "dark").exit_code == 0
    assert file.read_bytes().decode() == text.replace("black", '"dark"')
