"""Settings of sources under the names that they had before each source got a table of its own."""

import logging
from pathlib import Path

import pytest

from workspace.config.model import load_config, parse_config
from workspace.config.template import render_config
from workspace.errors import ConfigError
from workspace.resolve import open_workspace, parse_overrides

CLASSES = '[classes]\n"red panda" = ["red panda"]\ncat = ["cat"]\n'
# [search] of a config.toml that the version before wrote, as it stood there.
OLD = (
    CLASSES
    + """
[search]
per_class = 60
sources = ["openverse", "results_page"]
openverse_url = "http://127.0.0.1:8000/v1"
results_url = "http://127.0.0.1:8000/search?q={keyword}&page={page}"
urls = {"wikimedia": "http://127.0.0.1:8001", "naver": "http://127.0.0.1:8003", "naver_hub": "http://127.0.0.1:8002"}
credentials = {}
keys_from_environment = true
website = {"red panda" = ["https://s.example/pandas"]}
website_depth = 2
website_pages = 7
folder = "mine"
url_list = "list.csv"
""".replace('"wikimedia":', "wikimedia =")
    .replace('"naver":', "naver =")
    .replace('"naver_hub":', "naver_hub =")
)
# What it wrote for who changed nothing.
UNCHANGED = (
    CLASSES
    + """
[search]
openverse_url = "https://api.openverse.org/v1"
results_url = ""
urls = {}
website = {}
website_depth = 1
website_pages = 100
folder = ""
url_list = ""
"""
)


def test_an_old_file_is_read_under_the_names_of_today() -> None:
    search = parse_config(OLD, "config.toml").search
    assert search.base_url("openverse", "") == "http://127.0.0.1:8000/v1"
    assert search.base_url("wikimedia", "") == "http://127.0.0.1:8001"
    assert search.base_url("naver", "") == "http://127.0.0.1:8002"
    assert search.base_url("gbif", "https://api.gbif.org/v1") == "https://api.gbif.org/v1"
    assert search.results_page.url.endswith("/search?q={keyword}&page={page}")
    assert search.website.model_dump() == {
        "start_pages": {"red panda": ("https://s.example/pandas",)},
        "depth": 2,
        "pages": 7,
    }
    assert (search.folder.path, search.url_list.file, search.per_class) == ("mine", "list.csv", 60)


def test_an_entry_of_urls_counts_before_openverse_url_as_it_did() -> None:
    text = CLASSES + '[search]\nurls = {openverse = "http://127.0.0.1:1"}\nopenverse_url = "http://127.0.0.1:2"\n'
    assert parse_config(text, "text").search.base_url("openverse", "") == "http://127.0.0.1:1"


@pytest.mark.parametrize("text", [OLD, UNCHANGED])
def test_an_old_file_written_anew_has_the_names_of_today_and_the_same_meaning(text: str) -> None:
    config = parse_config(text, "text")
    announced: list[str] = []
    assert parse_config(render_config(config), "text", on_old=announced.append) == config
    assert announced == []


def test_opening_an_old_workspace_says_once_what_each_setting_is_called_now(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "workspace.toml").write_text(OLD, "utf-8")
    with caplog.at_level(logging.WARNING):
        _place, config = open_workspace(tmp_path)
    assert config.search.folder.path == "mine"
    (record,) = caplog.records
    for sentence in (
        "search.openverse_url is now search.openverse.url",
        "search.urls.wikimedia is now search.wikimedia.url",
        "search.results_url is now search.results_page.url",
        "search.website is now search.website.start_pages",
        "search.website_depth is now search.website.depth",
        "search.folder is now search.folder.path",
    ):
        assert sentence in record.message
    caplog.clear()
    assert load_config(tmp_path / "workspace.toml") == config  # as a run's frozen settings are read: no word
    assert not caplog.records


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["search.openverse_url=http://127.0.0.1:1"], "search.openverse_url is now search.openverse.url"),
        (['search.urls={gbif="http://127.0.0.1:1"}'], "search.urls.gbif is now search.gbif.url"),
        (["search.urls.gbif=http://127.0.0.1:1"], "search.urls.gbif is now search.gbif.url"),
        (["search.website_depth=3"], "search.website_depth is now search.website.depth"),
        (["search.folder=mine"], "search.folder is now search.folder.path"),
        (['search.website={cat=["https://s.example"]}'], "search.website is now search.website.start_pages"),
        (['search.website.cat=["https://s.example"]'], "search.website is now search.website.start_pages"),
    ],
)
def test_an_old_name_on_the_command_line_is_a_mistake_that_names_the_new_one(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_config(CLASSES, "text", parse_overrides(words))


def test_a_setting_under_both_names_is_a_mistake_unless_they_agree() -> None:
    text = CLASSES + '[search]\nopenverse_url = "http://127.0.0.1:1"\n[search.openverse]\nurl = "http://127.0.0.1:{}"\n'
    assert parse_config(text.format(1), "text").search.base_url("openverse", "") == "http://127.0.0.1:1"
    with pytest.raises(ConfigError, match=r"search\.openverse_url is the old name of search\.openverse\.url; delete"):
        parse_config(text.format(2), "text")


def test_a_wrong_name_under_search_is_no_table_of_a_source() -> None:
    with pytest.raises(ConfigError, match=r"search\.per_clas: there is no such setting"):
        parse_config(CLASSES + "[search]\nper_clas = 5\n", "text")
    with pytest.raises(ConfigError, match=r"search\.gbif\.ulr: there is no such setting"):
        parse_config(CLASSES + '[search.gbif]\nulr = "http://127.0.0.1:1"\n', "text")
    with pytest.raises(ConfigError, match=r"search\.per_class\.x: there is no such setting"):
        parse_config(CLASSES + "[search]\nper_class = 5\n", "text", {"search.per_class.x": 1})


def test_a_setting_that_is_no_more_is_passed_over_with_one_sentence() -> None:
    told: list[str] = []
    text = CLASSES + "[features]\nviews = 2\nbatch_size = 8\n"
    assert parse_config(text, "workspace.toml", on_old=told.append).features.batch_size == 8
    assert len(told) == 1
    assert "features.views is no setting any more: fine-tuning sees a new view" in told[0]
    with pytest.raises(ConfigError, match=r"features\.views is no setting any more"):
        parse_config(CLASSES, "workspace.toml", {"features.views": 2})


def test_a_default_of_the_former_fine_tuning_is_read_as_todays_and_a_choice_stays() -> None:
    told: list[str] = []
    text = CLASSES + "[features]\nviews = 2\n[train]\nepochs = 12\nbatch_size = 24\nbackbone_lr = 0.001\n"
    train = parse_config(text, "workspace.toml", on_old=told.append).train
    assert (train.epochs, train.batch_size, train.backbone_lr) == ("auto", 24, 0.0033)
    assert "train.epochs = 12 was a default and is read as today's" in told[0]
    assert "batch_size" not in told[0]
    assert parse_config(CLASSES + "[train]\nepochs = 12\n", "workspace.toml").train.epochs == 12
