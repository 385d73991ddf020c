import importlib.util
import json
import logging.handlers
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app, main
from workspace.config.model import load_config
from workspace.errors import CollectAndTrainError, ConfigError
from workspace.resolve import folder_for, open_workspace, parse_overrides, run_title

CHECKOUT = Path(__file__).resolve().parents[2]


def test_help_names_every_step_in_the_order_of_the_path() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    steps = ["search", "download", "clean", "features", "curate", "split", "train", "evaluate", "report", "predict"]
    positions = [re.search(rf"│ {step} ", text).start() for step in steps]  # type: ignore[union-attr]
    assert positions == sorted(positions)


def test_init_writes_a_file_that_reads_back_and_never_overwrites_one(tmp_path) -> None:
    assert CliRunner().invoke(app, ["init", "-w", str(tmp_path)]).exit_code == 0
    assert load_config(tmp_path / "workspace.toml").classes["고양이"] == ("고양이", "tabby cat")
    (tmp_path / "workspace.toml").write_text("mine")
    result = CliRunner().invoke(app, ["init", "-w", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert (tmp_path / "workspace.toml").read_text() == "mine"


def test_keywords_make_a_workspace_with_the_settings_given_and_later_runs_may_differ_for_once(tmp_path) -> None:
    overrides = parse_overrides(["train.epochs=3", "train.backbone=efficientnet_lite0", "augment.flip=false"])
    _, config = open_workspace(tmp_path, ["red panda", 'a "quoted" cat'], overrides)
    assert config == load_config(tmp_path / "workspace.toml")
    assert config.classes == {"red panda": ("red panda",), 'a "quoted" cat': ('a "quoted" cat',)}
    assert (config.train.epochs, config.train.backbone, config.augment.flip) == (3, "efficientnet_lite0", False)
    _, once = open_workspace(tmp_path, [], {"train.epochs": 9})
    assert once.train.epochs == 9
    assert load_config(tmp_path / "workspace.toml").train.epochs == 3


def test_other_keywords_than_those_of_the_workspace_are_an_error(tmp_path) -> None:
    open_workspace(tmp_path, ["cat", "dog"])
    with pytest.raises(ConfigError, match="has the classes cat, dog, not cat, fox"):
        open_workspace(tmp_path, ["cat", "fox"])
    open_workspace(tmp_path, ["dog", "cat"])


@pytest.mark.parametrize("word", ["epochs", "=3", " =3"])
def test_a_setting_without_name_or_value_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        parse_overrides([word])


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["red panda", "raccoon"], "data/red-panda-raccoon"),
        (["고양이", "개"], "data/고양이-개"),
        (["../../etc"], "data/etc"),
        (["??"], "data/workspace"),
    ],
)
def test_a_folder_is_named_after_the_keywords(words: list[str], folder: str) -> None:
    assert folder_for(words) == Path(folder)


def test_a_step_without_a_workspace_names_the_command_that_makes_one(tmp_path) -> None:
    result = CliRunner().invoke(app, ["split", "-w", str(tmp_path / "none")])
    assert isinstance(result.exception, CollectAndTrainError)
    assert "collect-and-train init" in str(result.exception)


def test_every_command_of_the_documents_exists() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    pages = sorted(page.relative_to(CHECKOUT) for page in (CHECKOUT / "docs").glob("*.md"))
    for document in ("README.md", "CONTRIBUTING.md", "data/README.md", *pages):
        text = (CHECKOUT / document).read_text(encoding="utf-8")
        code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`|^    [^\n]*$", text, re.MULTILINE | re.DOTALL))
        for name in re.findall(r"collect-and-train ([a-z]+)", code):
            assert name in commands, f"{document}: collect-and-train {name}"
        for name in re.findall(r"\bmake ([a-z-]+)", code):
            assert name in targets, f"{document}: make {name}"
        for module in re.findall(r"python -m ([a-z_.]+)", code):
            assert importlib.util.find_spec(module), f"{document}: python -m {module}"


def test_packages_lie_in_the_checkout_and_not_in_some_other_install() -> None:
    import collectors
    import flows
    import gallery
    import preprocessing
    import training
    import workspace

    for package in (collectors, flows, gallery, preprocessing, training, workspace):
        assert Path(package.__file__ or "").resolve().is_relative_to(CHECKOUT), package


def test_the_flow_takes_every_kind_of_setting_that_the_command_line_reads() -> None:
    from flows.collect_and_train import collect_and_train

    settings = parse_overrides(
        ['search.sources=["openverse", "wikimedia"]', "train.epochs=3", "augment.flip=false", "train.head_lr=0.02"]
    )
    taken = collect_and_train.validate_parameters({"workspace": "x", "settings": settings})
    assert taken["settings"] == settings


def test_settings_are_written_as_toml_scalars() -> None:
    values = {"a.b": True, "a.c": 0.5, "a.d": "te xt", "a.e": ["x", "y"]}
    assert parse_overrides([f"{name}={json.dumps(value)}" for name, value in values.items()]) == values


def test_settings_that_are_tables_pass_through_the_flow_and_keys_do_not(tmp_path) -> None:
    from flows.collect_and_train import collect_and_train

    settings = parse_overrides(
        ["search.wikimedia.url=http://127.0.0.1:1", 'search.website.start_pages={"*"=["https://x.example/{keyword}"]}']
    )
    assert collect_and_train.validate_parameters({"workspace": "x", "settings": settings})["settings"] == settings
    open_workspace(tmp_path, ["cat", "dog"])
    for word in ('search.credentials={FLICKR_API_KEY="secret"}', "search.credentials.FLICKR_API_KEY=secret"):
        result = CliRunner().invoke(app, ["run", "-w", str(tmp_path), "--set", word])
        assert isinstance(result.exception, ConfigError)
        assert "environment variable" in str(result.exception)
        assert "secret" not in str(result.exception)


def test_run_makes_the_workspace_and_hands_the_flow_its_folder_and_the_settings_alone(tmp_path, monkeypatch) -> None:
    handed = []
    monkeypatch.setattr("flows.collect_and_train.collect_and_train", lambda **given: handed.append(given))
    words = ["run", "red panda", "cat", "-w", str(tmp_path), "--per-class", "7", "--set", "train.epochs=3"]
    CliRunner().invoke(app, [*words, "--backbone", "efficientnet_lite0"])
    settings = {"train.epochs": 3, "search.per_class": 7, "train.backbone": "efficientnet_lite0"}
    assert handed == [{"workspace": str(tmp_path), "settings": settings}]
    written = load_config(tmp_path / "workspace.toml")
    assert (list(written.classes), written.search.per_class) == (["red panda", "cat"], 7)


@pytest.mark.parametrize(("command", "flow"), [("run", "collect_and_train"), ("retrain", "retrain")])
def test_a_command_with_a_flow_says_once_that_settings_have_old_names(
    command: str, flow: str, tmp_path, monkeypatch
) -> None:
    open_workspace(tmp_path, ["cat", "dog"])
    file = tmp_path / "workspace.toml"
    file.write_text(file.read_text().replace("[search]\n", "[search]\nwebsite_depth = 1\n"))
    opened = []

    def open_as_the_flow_does(workspace: str, settings: dict | None) -> None:
        opened.append(open_workspace(Path(workspace), (), settings))

    told = logging.handlers.BufferingHandler(
        1000
    )  # not caplog, whose handler Prefect takes away when it sets up logging
    monkeypatch.setattr(f"flows.{flow}.{flow}", open_as_the_flow_does)
    logging.getLogger("collect_and_train").addHandler(told)
    try:
        CliRunner().invoke(app, [command, "-w", str(tmp_path)])
    finally:
        logging.getLogger("collect_and_train").removeHandler(told)
    assert len(opened) == 1
    (record,) = told.buffer
    assert "search.website_depth is now search.website.depth" in record.getMessage()


@pytest.mark.parametrize(
    ("parameters", "title"),
    [
        ({"workspace": "data/pandas", "keywords": ["x"]}, "pandas"),
        ({"workspace": "", "keywords": ["Red Panda", "cat"]}, "red-panda-cat"),
        ({"workspace": "", "keywords": None}, "data"),
        ({"workspace": "", "why": "by hand"}, "data"),
    ],
)
def test_a_run_is_titled_after_the_workspace_that_its_parameters_name(parameters: dict, title: str) -> None:
    assert run_title(parameters) == title


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["search", "-w", "WS", "--set", "train.epoch=3"],
            "the command line has 1 problem:\n  train.epoch: there is no",
        ),
        (["search", "-w", "WS", "--set", "train.epochs"], "write it as section.key=value"),
        (["search", "-w", "WS", "--set", "seed.x=3"], "seed is a value"),
        (["search", "-w", "WS", "--set", "search.website_depth=3"], "search.website.depth"),
        (["search", "-w", "WS", "--set", "search.credentials.X=3"], "is not taken from --set"),
        (["search", "-w", "WS", "--set", "storage.files=s3://abc/x"], "are not set for one run"),
        (["run", "cat", "cat"], "at least 2 classes; all keywords are 'cat': name another one"),
        (["run", "cat"], "at least 2 classes, here is one, 'cat'"),
        (["run", "cat", "CAT"], "'cat' and 'CAT' have the same name"),
        (["run", "cat", "dog", "--set", "train.regime=x"], "1 problem:\n  train.regime: 'x' is not one of 'auto'"),
        (["gallery", "my-photos"], "(my-photos): a folder of pictures is named with --photos"),
        (["predict", "--accept", "much", "x.jpg"], "Invalid value for '--accept': 'much' is not a number"),
        (["predict", "--format", "xml", "x.jpg"], "Invalid value for '--format': 'xml' is not one of 'tab', 'csv'"),
        (["predict", "--batch", "0", "x.jpg"], "Invalid value for '--batch': '0' is too low: it must be at least 1"),
        (["export", "-w", "WS", "--to", "gif"], "Invalid value for '--to': 'gif' is not one of 'onnx', 'torch'"),
    ],
)
def test_wrong_usage_has_exit_code_2_and_is_told_in_our_words(words, said, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    open_workspace(tmp_path / "WS", ["cat", "dog"])
    monkeypatch.setattr("sys.argv", ["collect-and-train", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    out = capsys.readouterr()
    text = re.sub(r"\s*│?\n│ ?", " ", out.err + out.out)
    assert ended.value.code == 2 and said in text and "Value error" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["WS"]
