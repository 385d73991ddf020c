"""Own photographs and keywords as the input of `run`, `collect`, `init` and the flows."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from flows.inputs import open_inputs
from workspace.config.collect import ALL_PICTURES
from workspace.config.model import load_config
from workspace.errors import ConfigError, DatasetError, UsageError, WorkspaceError
from workspace.resolve import open_workspace, run_title
from workspace.storage.paths import Workspace


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures of black bears and two of grizzlies, an empty folder, and one that is hidden."""
    rng = np.random.default_rng(0)
    root = tmp_path / "my bears"
    for name, count in (("black", 3), ("Grizzly", 2), ("empty", 0), (".thumbs", 1)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (90, 90, 3), np.uint8)).save(root / name / f"{number}.png")
    return root


def _run(*words: str | Path):
    return CliRunner().invoke(app, list(map(str, words)))


def _zip(photos: Path) -> Path:
    return Path(shutil.make_archive(str(photos), "zip", photos))


def _metadata(photos: Path) -> Path:
    rows = [f"{file.relative_to(photos)},{file.parent.name}" for file in sorted(photos.glob("[!.]*/*.png"))]
    (photos / "metadata.csv").write_text("\n".join(["file_name,label", *rows]), encoding="utf-8")
    return photos


def _table(photos: Path) -> Path:
    _metadata(photos).joinpath("metadata.csv").rename(photos / "list.csv")
    return photos / "list.csv"


@pytest.mark.parametrize("form", [Path, _zip, _metadata, _table])
def test_collect_takes_a_folder_per_class_or_another_form_of_it_and_takes_every_picture(
    form, photos: Path, tmp_path: Path, caplog
) -> None:
    result = _run("collect", "--photos", form(photos), "-w", tmp_path / "ws")
    assert result.exit_code == 0, result.exception
    written = load_config(tmp_path / "ws" / "workspace.toml")
    assert written.classes == {"Grizzly": ("Grizzly",), "black": ("black",)}
    assert (written.search.sources, written.search.per_class) == (("folder",), ALL_PICTURES)
    assert "black: 3 clean pictures\n" in result.output and "Grizzly: 2 clean pictures\n" in result.output
    assert "more wanted" not in caplog.text and "network.contact" not in caplog.text
    again = _run("collect", "-w", tmp_path / "ws")
    assert again.exit_code == 0 and "search: 0 done, 5 already there" in again.output


def test_init_writes_the_classes_of_the_photographs_and_overwrites_nothing(photos: Path, tmp_path: Path) -> None:
    assert _run("init", "--photos", photos, "-w", tmp_path / "ws").exit_code == 0
    written = load_config(tmp_path / "ws" / "workspace.toml")
    assert list(written.classes) == ["Grizzly", "black"] and written.search.folder.path == str(photos)
    again = _run("init", "--photos", photos, "-w", tmp_path / "ws").exception
    assert isinstance(again, ConfigError) and "exists already" in str(again)


def test_run_hands_the_flow_a_workspace_that_reads_the_photographs(photos: Path, tmp_path: Path, monkeypatch) -> None:
    handed = []
    monkeypatch.setattr("cli.commands.run.run_flow", lambda *given: handed.append(given))
    _run("run", "--photos", photos, "-w", tmp_path / "ws", "--per-class", "2")
    settings = {"search.sources": ["folder"], "search.folder.path": str(photos), "search.per_class": 2}
    assert handed == [(Workspace(tmp_path / "ws"), settings)]


def test_the_flows_have_the_photographs_among_their_parameters_and_open_the_same(photos: Path, tmp_path: Path) -> None:
    from flows.collect import collect
    from flows.collect_and_train import collect_and_train

    for flow in (collect, collect_and_train):
        schema = flow.parameters.properties["photos"]
        assert schema["type"] == "string" and "folder per class" in schema["description"]
    inputs = open_inputs(str(tmp_path / "ws"), (), str(photos), {"train.epochs": 3})
    assert inputs.config.search.folder.path == str(photos) and inputs.config.train.epochs == 3
    assert run_title({"workspace": "", "photos": str(photos)}) == "my-bears"


def test_a_workspace_is_named_after_the_photographs(photos: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_inputs(photos=photos).workspace.root == Path("data/my-bears")
    assert open_inputs(photos="my bears").config.search.folder.path == str(photos)


def test_keywords_choose_among_the_photographs_and_other_settings_win(photos: Path, tmp_path: Path) -> None:
    (photos / "teddy").mkdir()
    shutil.copy(photos / "black" / "0.png", photos / "teddy")
    chosen = open_inputs(tmp_path / "a", ["black", "grizzly"], photos)
    assert list(chosen.config.classes) == ["black", "grizzly"]
    with pytest.raises(ConfigError, match="has no pictures of polar; it has Grizzly, black, teddy"):
        open_inputs(tmp_path / "b", ["black", "polar"], photos)
    assert not (tmp_path / "b").exists()
    mixed = open_inputs(tmp_path / "b", ["black", "polar"], photos, {"search.sources": ["folder", "openverse"]})
    assert mixed.config.search.sources == ("folder", "openverse")


def test_an_old_workspace_takes_photographs_for_once_and_says_which_of_them_have_no_class(
    photos: Path, tmp_path: Path
) -> None:
    open_workspace(tmp_path, ["black", "brown"], {"search.per_class": 7})
    before = (tmp_path / "workspace.toml").read_text()
    with pytest.raises(ConfigError, match='keywords of no class .*\n  "Grizzly" = ."Grizzly".$'):
        open_inputs(tmp_path, (), photos)
    (tmp_path / "workspace.toml").write_text(before.replace('"brown" = ["brown"]', '"brown" = ["brown", "grizzly"]'))
    inputs = open_inputs(tmp_path, (), photos)
    assert (inputs.config.search.sources, inputs.config.search.per_class) == (("folder",), ALL_PICTURES)
    assert load_config(tmp_path / "workspace.toml").search.per_class == 7


def test_a_folder_named_none_holds_negatives(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "black", photos / "None")
    (photos / "None/0.png").unlink()
    result = _run("collect", "--photos", photos, "-w", tmp_path / "ws")
    assert result.exit_code == 0, result.exception
    written = load_config(tmp_path / "ws" / "workspace.toml")
    assert list(written.classes) == ["Grizzly", "black"] and written.negatives.keywords == ("None",)
    assert "flagged copy_of_class: 2" in result.output or "flagged copy_of_class 2" in result.output
    older = tmp_path / "older"
    open_inputs(older, (), photos, {"negatives.keywords": []})
    with pytest.raises(ConfigError, match=r'has pictures of None, .*\n  \[negatives\] keywords = \["None"\]'):
        open_inputs(older, (), photos)


@pytest.mark.parametrize("words", [("collect", "--photos"), ("init", "--photos"), ("init",)])
def test_a_folder_of_negatives_is_a_setting_of_the_new_workspace(words, photos: Path, tmp_path: Path) -> None:
    own = (photos,) if "--photos" in words else ()
    (tmp_path / "not these").mkdir()
    shutil.copy(photos / "black/0.png", tmp_path / "not these/copy.png")
    result = _run(*words, *own, "--negatives", tmp_path / "not these", "-w", tmp_path / "ws")
    assert result.exit_code == 0, result.exception
    assert load_config(tmp_path / "ws" / "workspace.toml").negatives.folder == str(tmp_path / "not these")
    if words[0] == "collect":
        status = _run("status", "-w", tmp_path / "ws").output
        assert "none (negatives)" in status


@pytest.mark.parametrize("name", ["cat\tdog"])
def test_a_folder_whose_name_cannot_be_a_class_is_named(name: str, photos: Path, tmp_path: Path) -> None:
    (photos / "black").rename(photos / name)
    with pytest.raises(ConfigError, match=r"cannot name a class[^\0]*the names in .*my bears: rename them there"):
        open_inputs(tmp_path / "ws", (), photos)
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize("how", ["--photos", "--set"])
def test_photographs_under_a_name_that_is_not_utf_8_are_refused_with_the_remedy(how, photos, tmp_path) -> None:
    odd = photos.rename(tmp_path / os.fsdecode(b"ca\xf1on"))
    with pytest.raises(
        ConfigError, match=r"search.folder.path.*ca\\udcf1on.*rename the file or folder, or name a link"
    ):
        if how == "--photos":
            open_inputs(tmp_path / "ws", (), odd)
        else:
            open_inputs(tmp_path / "ws", ("black", "grizzly"), settings={"search.folder.path": str(odd)})


def test_run_says_that_prefect_takes_no_folder_that_is_not_utf_8(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"ca\xf1on")
    result = _run("run", "--photos", photos, "--workspace", folder)
    assert isinstance(result.exception, WorkspaceError) and "--workspace ." in str(result.exception)


def test_what_is_no_folder_of_photographs_is_said(photos: Path, tmp_path: Path) -> None:
    for path, why in ((tmp_path / "gone", "does not exist"), (photos / "black", "no subfolder")):
        error = _run("collect", "--photos", path, "-w", tmp_path / "ws").exception
        assert isinstance(error, ConfigError) and why in str(error)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a/note.txt", "no picture")
        archive.writestr("b/note.txt", "no picture")
    error = _run("collect", "--photos", tmp_path / "x.zip", "-w", tmp_path / "ws").exception
    assert isinstance(error, ConfigError) and "has no picture in any of its folders" in str(error)
    assert not (tmp_path / "ws").exists()


def test_collect_takes_keywords_as_run_does(tmp_path: Path, monkeypatch) -> None:
    opened = []
    monkeypatch.setattr("flows.collecting.collect_until_clean", lambda *given: opened.append(given) or {})
    monkeypatch.chdir(tmp_path)
    _run("collect", "red panda", "raccoon", "--per-class", "7")
    workspace, config, _ = opened[0]
    assert workspace.root == Path("data/red-panda-raccoon") and list(config.classes) == ["red panda", "raccoon"]
    assert load_config(workspace.config_file).search.per_class == 7
    assert _run("collect").exit_code == 2 and _run("run").exit_code == 2


@pytest.mark.parametrize(
    ("form", "what"), [(Path, "a second folder"), (_zip, "a second folder"), (_table, "rows with")]
)
def test_photographs_of_one_class_need_a_second(form, what: str, photos: Path, tmp_path: Path) -> None:
    shutil.rmtree(photos / "Grizzly")
    with pytest.raises(
        ConfigError, match=f"of one class, 'black'; a classifier needs at least 2: add {what}"
    ) as caught:
        open_inputs(tmp_path / "ws", (), form(photos))
    assert "rename" not in str(caught.value) and not (tmp_path / "ws").exists()


def test_a_wrong_setting_is_not_blamed_on_the_names_of_the_folders(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train.epoch: there is no such setting") as caught:
        open_inputs(tmp_path / "ws", (), photos, {"train.epoch": 3})
    assert "rename" not in str(caught.value)


@pytest.mark.parametrize("form", [Path, _zip, _table])
def test_run_says_before_it_begins_that_there_are_too_few_photographs(form, photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("flows.server.local.prepare_server", lambda: pytest.fail("it began"))
    own = form(photos)
    error = _run("run", "--photos", own, "-w", tmp_path / "ws").exception
    where = (
        f"put at least 5 more pictures into {photos}/black" if form is Path else "at least 5 more pictures of 'black'"
    )
    assert isinstance(error, DatasetError) and "at least 8 pictures" in str(error) and where in str(error)


@pytest.mark.parametrize("command", ["run", "collect", "init"])
def test_a_folder_in_place_of_keywords_is_told_the_option(command: str, photos: Path, tmp_path: Path) -> None:
    error = _run(command, photos, "-w", tmp_path / "ws").exception
    assert isinstance(error, UsageError) and "my bears is on this machine, and no keyword" in str(error)
    assert not (tmp_path / "ws").exists()


def test_init_takes_keywords_and_says_next_what_fits(photos: Path, tmp_path: Path) -> None:
    for number, (words, said) in enumerate(
        (
            (("cat", "dog"), "Next: collect-and-train run -w"),
            (("--photos", photos), "Next: collect-and-train run -w"),
            ((), "Edit its [classes], then: collect-and-train run -w"),
        )
    ):
        folder = tmp_path / str(number)
        done = _run("init", *words, "-w", folder)
        assert done.exit_code == 0 and said in " ".join(done.output.split())
        text = (folder / "workspace.toml").read_text()
        assert f"# Next: {Workspace(folder).command('run')}\n" in text and "THIS_FOLDER" not in text
    assert list(load_config(tmp_path / "0" / "workspace.toml").classes) == ["cat", "dog"]
